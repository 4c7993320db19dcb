"""Scopes of layers intersected: never wider than any of them."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_handlers.toolhost.network import network_intersection, parse_entry
from conductor_handlers.toolhost.scopes import intersect, label, reach
from conductor_sdk.manifest_tools import NetworkScope, PathScope
from conductor_sdk.scope_patterns import matches, parse

PACKAGES, API = "packages.example:443", "api.example:443"
HOST = "packages/@lumenflow/kernel/src/tool-host/**"


def read(pattern: str) -> PathScope:
    return PathScope(type="path", pattern=pattern, access="read")


def write(pattern: str) -> PathScope:
    return PathScope(type="path", pattern=pattern, access="write")


def net(*entries: str, posture: Literal["off", "full", "allowlist"] | None = None) -> NetworkScope:
    return NetworkScope(
        type="network", posture=posture or "allowlist", allowlist_entries=tuple(entries)
    )


FULL, OFF = net(posture="full"), net(posture="off")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (
            [
                [read("packages/**")], [read("packages/@lumenflow/**")], [read(HOST)],
                [read("packages/@lumenflow/kernel/src/**")],
            ],
            ["read:" + HOST],
        ),
        (
            [
                [read("docs/**"), write("packages/**")],
                [read("docs/tasks/**"), write("packages/@lumenflow/**")],
                [read("docs/**"), write(HOST)],
            ],
            ["read:docs/tasks/**", "write:" + HOST],
        ),
        ([[FULL, read("docs/**")], [FULL], [OFF], [FULL]], []),
        (
            [
                [read("packages/**")], [read("packages/@lumenflow/**")],
                [read("packages/@lumenflow/kernel/**")],
                [read("packages/@lumenflow/kernel/src/**")],
            ],
            ["read:packages/@lumenflow/kernel/src/**"],
        ),
        ([[read("**")], [], [read("**")]], []),
        ([[read("docs/**")], [read("docs/**")], [read("packages/**")]], []),
        (
            [
                [read("packages/a/**")], [read("packages/*/src/**")],
                [read("packages/b/src/**")], [read("packages/**")],
            ],
            [],
        ),
        ([[FULL]] * 4, ["network:full"]),
        ([[net(PACKAGES)], [net(API)], [net(PACKAGES)], [net(PACKAGES)]], []),
        ([[FULL], [net(PACKAGES)], [net(PACKAGES)], [net(PACKAGES)]], ["network:" + PACKAGES]),
        ([[net(PACKAGES)], [OFF], [net(PACKAGES)], [net(PACKAGES)]], []),
        ([[read("**")], [write("**")]], []),
        ([[read("**")], [read(".sidekick/**")]], ["read:.sidekick/**"]),
    ],
)  # fmt: skip
def test_layers_leave_what_all_of_them_allow(layers: list[list[Any]], expected: list[str]) -> None:
    assert expected == [label(scope) for scope in intersect(layers)]


@pytest.mark.parametrize(
    "pattern", ["{docs,packages}/**", "@(docs|src|packages)/**", "docs/../packages/**", "!docs/**"]
)
def test_a_pattern_in_another_dialect_allows_nothing_instead_of_more(pattern: str) -> None:
    docs = [read("docs/**")]
    found = reach(docs, docs, [read(pattern)])
    assert () == found.scopes
    assert (read(pattern),) == found.missing


def test_partly_overlapping_patterns_leave_the_part_that_overlaps() -> None:
    layers = [[read("packages/a/**")], [read("packages/*/src/**")]]
    assert ["read:packages/a/src/**"] == [label(scope) for scope in intersect(layers)]


def test_a_tool_of_which_one_scope_is_not_left_is_short_of_it() -> None:
    found = reach([read("**")], None, [read(".demo/**"), write(".demo/**")])
    assert (read(".demo/**"),) == found.scopes
    assert (write(".demo/**"),) == found.missing


def test_a_tool_that_wants_no_network_is_short_of_nothing() -> None:
    found = reach([read("**")], None, [read(".demo/**"), OFF])
    assert () == found.missing
    assert (read(".demo/**"),) == found.scopes


def test_writing_where_no_tool_may_is_named_and_reading_is_not() -> None:
    found = reach(
        [write("**"), read("**")], None, [write(".lumenflow/state/**"), read(".lumenflow/x")]
    )
    assert (".lumenflow/state/**",) == found.reserved


NAMES = st.sampled_from(["a", "b", ".a", "ab"])
SEGMENT = st.sampled_from(["**", "*", "a", "b", "a*", "?", ".*"])
SCOPE = st.builds(
    lambda segments, access: PathScope(type="path", pattern="/".join(segments), access=access),
    st.lists(SEGMENT, min_size=1, max_size=3),
    st.sampled_from(["read", "write"]),
)
LAYER = st.lists(SCOPE, max_size=3)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(LAYER, min_size=2, max_size=4),
    st.lists(NAMES, min_size=1, max_size=4),
    st.sampled_from(["read", "write"]),
)
def test_whatever_the_result_allows_every_layer_allows(
    layers: list[list[PathScope]], path: list[str], access: str
) -> None:
    def allows(scopes: Any) -> bool:
        return any(
            scope.access == access and matches(parse(scope.pattern), path) for scope in scopes
        )

    assert all(map(allows, layers)) == allows(intersect(layers))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["10.0.0.0/8"], ["10.1.0.0/16"], ["10.1.0.0/16"]),
        (["10.0.0.0/8"], ["10.1.2.3:443"], ["10.1.2.3:443"]),
        (["10.0.0.0/8"], ["11.1.2.3:443"], []),
        (["10.0.0.0/8"], ["example.com:443"], []),
        (["fd00::/8"], ["[fd00::1]:8080"], ["[fd00::1]:8080"]),
        (["fd00::/8"], ["10.0.0.0/8"], []),
        (["Example.COM.:443"], ["example.com:443"], ["example.com:443"]),
        (["example.com:443"], ["example.com:80"], []),
        (["a.example:1", "b.example:2"], ["b.example:2", "c.example:3"], ["b.example:2"]),
        (["10.0.0.0/9", "10.128.0.0/9"], ["10.0.0.0/8"], ["10.0.0.0/9", "10.128.0.0/9"]),
    ],
)  # fmt: skip
def test_allowlists_have_in_common_what_both_reach(
    first: list[str], second: list[str], expected: list[str]
) -> None:
    for layers in ([[net(*first)], [net(*second)]], [[net(*second)], [net(*first)]]):
        found = network_intersection(layers)
        assert expected == ([] if found is None else list(found.allowlist_entries))


@pytest.mark.parametrize(
    "entry",
    [
        "example.com", "*:443", "*.example.com:443", "example.com:0", "example.com:65536",
        "10.0.0.1/8", "10.0.0.0/33", "fd00::1:443", "1.2.3:80", "exa mple.com:1", ":443", "/8",
        "http://example.com:443", "example.com:\u0664\u0664", "[example.com]:443", "0x7f.1:80",
    ],
)  # fmt: skip
def test_an_entry_that_is_not_understood_allows_nothing(entry: str) -> None:
    assert parse_entry(entry) is None
    assert network_intersection([[FULL], [net(entry)]]) is None
