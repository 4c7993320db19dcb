"""The allow-lists: hosts, origins, and tools of two lists at once."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_handlers.toolhost.records import Caller
from conductor_sidecar.http.access import Callers, Credential, intersect, may_call
from conductor_sidecar.http.hosts import (
    allowed_hosts,
    allowed_origins,
    host_allowed,
    origin_allowed,
)

NAMES = ("task:create", "task:list", "memory:store", "memory:recall", "a[b", "a*b")
PATTERNS = st.sampled_from([
    "*", "task:*", "task:create", "*:create", "memory:?tore", "t*e", "[tm]*", "a[[]b", "a[*]b",
    "x", "", "task:*e", "*a*", "mem*", "memory:*",
])  # fmt: skip


def test_nothing_that_is_configured_switches_the_check_off() -> None:
    hosts = allowed_hosts("127.0.0.1", 7433, ["", " "])

    assert not host_allowed([], hosts)
    assert not host_allowed([(b"host", b"")], hosts)
    assert not host_allowed([(b"host", b"*")], allowed_hosts("127.0.0.1", 7433, ["*"]) - {b"*"})
    assert not origin_allowed([(b"origin", b"null")], allowed_origins(["null", "*", ""]))
    assert not origin_allowed([(b"origin", b"")], allowed_origins([""]))


def test_there_is_exactly_one_host_and_at_most_one_origin() -> None:
    hosts, origins = allowed_hosts("127.0.0.1", 7433), allowed_origins(["https://app.example"])
    host, origin = (b"host", b"localhost:7433"), (b"origin", b"https://app.example")

    assert host_allowed([host], hosts)
    assert not host_allowed([host, host], hosts)
    assert not host_allowed([host, (b"host", b"evil.example")], hosts)
    assert origin_allowed([origin], origins)
    assert not origin_allowed([origin, origin], origins)


@pytest.mark.parametrize("name", ["localhost:7433", "127.0.0.1:7433", "[::1]:7433"])
def test_the_names_of_this_machine_are_allowed_with_the_port(name: str) -> None:
    assert host_allowed([(b"host", name.encode())], allowed_hosts("127.0.0.1", 7433))


def test_port_80_may_be_left_out() -> None:
    assert host_allowed([(b"host", b"localhost")], allowed_hosts("127.0.0.1", 80))
    assert not host_allowed([(b"host", b"localhost")], allowed_hosts("127.0.0.1", 81))


def test_a_wildcard_address_is_no_name() -> None:
    assert not host_allowed([(b"host", b"0.0.0.0:7433")], allowed_hosts("0.0.0.0", 7433))
    assert host_allowed([(b"host", b"10.1.2.3:7433")], allowed_hosts("10.1.2.3", 7433))


def test_a_further_name_is_allowed_with_its_port_or_the_listening_one() -> None:
    hosts = allowed_hosts("127.0.0.1", 7433, ["Tools.example", "other.example:443"])

    found = [
        name
        for name in (b"tools.example", b"tools.example:7433", b"tools.example:1", b"other.example",
                     b"other.example:443")
        if host_allowed([(b"host", name)], hosts)
    ]  # fmt: skip
    assert [b"tools.example", b"tools.example:7433", b"other.example:443"] == found


def test_an_origin_is_compared_whole() -> None:
    origins = allowed_origins(["https://App.example/"])

    assert origin_allowed([(b"origin", b"https://app.example")], origins)
    assert not origin_allowed([(b"origin", b"https://app.example:444")], origins)
    assert origin_allowed([], origins)


@given(first=st.lists(PATTERNS, max_size=4), second=st.lists(PATTERNS, max_size=4))
def test_both_lists_must_cover_a_tool(first: list[str], second: list[str]) -> None:
    both = Caller("a", "http", None, intersect(first, second, NAMES))

    for name in NAMES:
        expected = all(any(fnmatchcase(name, one) for one in each) for each in (first, second))
        assert expected == may_call(both, name)


@given(
    first=st.lists(PATTERNS, max_size=3), second=st.lists(PATTERNS, max_size=3),
    name=st.text(alphabet="task:creatmemory*[]?", max_size=14),
)  # fmt: skip
def test_the_intersection_never_widens(first: list[str], second: list[str], name: str) -> None:
    if may_call(Caller("a", "http", None, intersect(first, second, NAMES)), name):
        assert any(fnmatchcase(name, one) for one in first)
        assert any(fnmatchcase(name, one) for one in second)


def test_nothing_allowed_on_one_side_is_nothing_at_all() -> None:
    assert () == intersect([], ["*"], NAMES) == intersect(["*"], [], NAMES)
    assert not may_call(Caller("a", "http", None, ()), "task:create")


def test_a_credential_has_one_caller() -> None:
    callers = Callers(["task:*"], lambda: NAMES)
    credential = Credential("ci", ("*:create",))

    assert callers.of(credential) is callers.of(Credential("ci", ("*:create",)))
    assert Caller("token:ci", "http", None, ("task:create",)) == callers.of(credential)
