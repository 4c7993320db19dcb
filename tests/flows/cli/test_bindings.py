from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conductor_flows.capabilities.bindings.lock import content_hash
from conductor_flows.capabilities.bindings.providers import PROVIDERS
from conductor_flows.capabilities.bindings.spec import ALIASES
from conductor_flows.ir.identity import flow_id
from house import ROOT

Flows = Callable[..., Any]
PREFLIGHT = ROOT / "examples/flows/s4_preflight/flow.py"
SPILL = ROOT / "examples/flows/s6_spill/flow.py"


def test_a_lock_is_written_and_used(flows: Flows, folder: Path) -> None:
    lock = ("--bindings-lock", "lock.json")

    made = flows(
        "bindings", "lock", "generate", PREFLIGHT, "--bind", "kv=sqlite:kv.db", "--out",
        "lock.json",
    )  # fmt: skip

    written = json.loads((folder / "lock.json").read_text())
    assert (0, "", "wrote lock.json\n") == (made.code, made.out, made.err)
    assert content_hash(written) == written["content_hash"]
    assert [flow_id("s4_preflight_flow", "1.0.0")] == list(written["flows"])
    assert "OK  s4_preflight_flow 1.0.0: resource::kv=kv.sqlite\n" == (
        flows("bindings", "lock", "check", PREFLIGHT, *lock).out
    )
    assert 0 == flows("run", "local", PREFLIGHT, "--payload", '{"key": "a"}', *lock).code
    assert (folder / "kv.db").exists()


def test_the_same_input_gives_the_same_bytes(flows: Flows, folder: Path) -> None:
    command = ("bindings", "lock", "generate", PREFLIGHT, SPILL, "--bind", "kv=memory",
               "--bind", "blob=memory")  # fmt: skip

    first, second = flows(*command), flows(*command)

    assert first.out == second.out
    assert "1970-01-01T00:00:00Z" == first.json["generated_at"]
    assert 2 == len(first.json["flows"])


def test_the_lock_of_an_example_is_what_the_command_writes(flows: Flows) -> None:
    shipped = json.loads((PREFLIGHT.parent / "bindings.lock.json").read_text())

    ran = flows("bindings", "lock", "generate", PREFLIGHT, "--bind", "resource::kv=memory")

    assert shipped["flows"].keys() == ran.json["flows"].keys()
    assert content_hash(shipped) == shipped["content_hash"]


def test_a_time_can_be_given(flows: Flows, folder: Path) -> None:
    command = ("bindings", "lock", "generate", "echo.py", "--generated-at")

    assert "2026-01-01T00:00:00Z" == flows(*command, "2026-01-01T00:00:00Z").json["generated_at"]
    assert 2 == flows(*command, "yesterday").code


def test_help_lists_what_can_be_bound(flows: Flows) -> None:
    text = flows("bindings", "--help").out
    rows = re.findall(r"^ {4}([a-z_, ]+?)  +([a-z].*)$", text, re.MULTILINE)
    listed = {
        f"{name}.{provider.strip().partition(':')[0]}"
        for names, providers in rows
        for name in names.split(", ")
        for provider in providers.partition(";")[0].split(",")
    }

    assert set(PROVIDERS) == listed
    assert all(re.search(rf"\b{name}\b", text) for name in ALIASES)


@pytest.mark.parametrize(
    "bind", ["kv", "kvv=memory", "kv=sqlit:x.db", "kv=sqlite", "cache=memory:x"]
)
def test_a_wrong_binding_leads_to_the_list(flows: Flows, folder: Path, bind: str) -> None:
    ran = flows("run", "local", PREFLIGHT, "--payload", '{"key": "a"}', "--bind", bind)
    written = flows("bindings", "lock", "generate", PREFLIGHT, "--bind", bind)

    assert (2, 2) == (ran.code, written.code)
    assert "next: see what can be bound: flows bindings --help\n" in ran.err


def test_what_is_not_bound_is_named(flows: Flows, folder: Path) -> None:
    ran = flows("bindings", "lock", "generate", PREFLIGHT, "--out", "lock.json")

    assert 1 == ran.code
    assert "[CAP101]" in ran.err
    assert "next: add --bind kv=memory" in ran.err
    assert not (folder / "lock.json").exists()


def test_a_lock_that_was_changed_is_refused(flows: Flows, folder: Path) -> None:
    shipped = (PREFLIGHT.parent / "bindings.lock.json").read_text()
    (folder / "bindings.lock.json").write_text(shipped.replace("kv.memory", "kv.sqlite"))

    changed = flows("bindings", "lock", "check", PREFLIGHT)
    other = flows("bindings", "lock", "check", SPILL)
    absent = flows("bindings", "lock", "check", PREFLIGHT, "--bindings-lock", "nowhere.json")

    assert (4, 4, 2) == (changed.code, other.code, absent.code)
    assert "hash mismatch" in changed.err
