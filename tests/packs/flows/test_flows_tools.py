"""Each flow as a tool of its own: listed by name, checked against its port."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conductor_handlers.pack_lint.entries import check_entries
from conductor_handlers.pack_lint.place import installed_places
from conductor_packs.flows import library
from conductor_packs.flows import offered as offering
from conductor_packs.flows.library import Loaded, Place
from conductor_packs.flows.offered import offered
from conductor_packs.flows.pack import pack
from conductor_packs.flows.taking import Taking
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack import ToolLeftOut
from conductor_sdk.tool_output import ToolOutput
from flow_pack_harness import Make, at_work, code, until
from flow_pack_world import COMPLETED, NAMES, config, effects, flows_in

SHAPES = '''"""Flows with other payloads, and with several entrypoints."""
from dataclasses import dataclass
from typing import Any

from conductor_flows import Flow, node, trigger


@dataclass
class Node:
    name: str
    inner: list["Node"]


@dataclass
class Taken:
    _run: str


def one(name, kind, **words):
    @trigger(summary="take")
    async def take(given: kind) -> kind:
        return given

    @node(effects="pure", determinism="strict", summary="give")
    async def give(given: kind) -> Any:
        return given

    flow = Flow(name, "1.0.0", **words)
    flow.connect(flow.add(take), flow.add(give))
    return flow


tree = one("tree", Node)
names = one("names", list[str])
anything = one("anything", Any)
taken = one("taken", Taken)


@trigger(summary="by name")
async def by_name(given: str) -> str:
    return given


@node(effects="pure", determinism="strict", summary="one way")
async def one_way(given: str) -> str:
    return f"one {given}"


@node(effects="pure", determinism="strict", summary="other way")
async def other_way(given: str) -> str:
    return f"other {given}"


several = Flow("several", "1.0.0", summary="Two ways out")
first, gives, grows = several.add(by_name), several.add(one_way), several.add(other_way)
several.connect(first, gives)
several.connect(first, grows)
several.entrypoint(first, gives, path="/first/one")
several.entrypoint(first, grows, path="/other")
several.entrypoint(first, grows, path="/other/name")
'''
SHAPED = ("tree", "names", "anything", "taken", "several")


def listed(workspace: Path, **flows: str) -> dict[str, ToolManifest | ToolLeftOut]:
    found = offered({"flows": flows} if flows else config(), workspace)
    return {each.name: each for each in found}


def shapes(workspace: Path) -> dict[str, str]:
    (workspace / "shapes.py").write_text(SHAPES)
    return {name: f"shapes.py:{name}" for name in SHAPED}


def result(answer: ToolOutput) -> Any:
    return (answer.data or {})["result"]


def problems(answer: ToolOutput) -> list[str]:
    assert answer.error is not None
    return [each["pointer"] for each in (answer.error.details or {})["problems"]]


def test_what_a_tool_takes_is_drawn_once_for_a_flow_and_not_for_each_call(tmp_path: Path) -> None:
    flows_in(tmp_path)
    listed(tmp_path)
    place = Place(tmp_path.resolve(), "echo", config()["flows"]["echo"])
    found = library.loaded(place)
    assert isinstance(found, Loaded)
    assert Taking.of(found, None) is Taking.of(found, None)
    assert found.bound(found.ends(None)) is found.bound(found.ends(None))


def test_each_flow_is_a_tool_with_its_summary_and_what_it_may(tmp_path: Path) -> None:
    flows_in(tmp_path)
    found = listed(tmp_path)
    assert {f"flows:{name}" for name in NAMES} == set(found)
    echo, strong = found["flows:echo"], found["flows:strong"]
    assert isinstance(echo, ToolManifest)
    assert isinstance(strong, ToolManifest)
    assert ("echo", "read", True) == (echo.description, echo.permission, echo.idempotent)
    assert ("write", False) == (strong.permission, strong.idempotent)
    places = {place.name: place for place in installed_places()}
    assert () == tuple(check_entries(places["flows"], [echo, strong]).findings)


def test_the_fields_of_the_payload_are_those_of_the_tool(tmp_path: Path) -> None:
    flows_in(tmp_path)
    echo = listed(tmp_path)["flows:echo"]
    assert isinstance(echo, ToolManifest)
    drawn: Mapping[str, Any] = echo.input_schema or {}
    assert ["item", "count", "_run"] == list(drawn["properties"])
    assert (["item"], False) == (drawn["required"], drawn["additionalProperties"])
    assert "$defs" not in drawn


async def test_a_call_is_a_run_with_its_keys_and_its_waiting(make: Make) -> None:
    harness = make()
    asked = {"item": "tea", "_run": {"idempotency_key": "one", "wait_s": 0}}
    first = (await harness.call_tool("flows:echo", asked)).data or {}
    # The same request with the same key, by the tool of all flows, is the same run.
    given = {"flow": "echo", "payload": {"item": "tea"}, "idempotency_key": "one"}
    async with at_work(harness):
        again = (await harness.call_tool("flows:run", given)).data or {}
        assert {"item": "TEA", "note": ""} == again["result"]
        await until(lambda: [each for each in harness.pushed if each.kind == COMPLETED])
    assert ("queued", first["run_id"]) == (first["state"], again["run_id"])


async def test_what_does_not_fit_is_refused_and_nothing_is_kept(make: Make) -> None:
    harness = make()
    wrong = [
        await harness.call_tool("flows:echo", given)
        for given in ({"item": 7}, {"itme": "tea"}, {"item": "tea", "_run": {"wait_s": -1}})
    ]
    assert ["INVALID_INPUT"] * 3 == [code(each) for each in wrong]
    assert [["/item"], ["", ""], ["/_run/wait_s"]] == [problems(each) for each in wrong]
    assert {"runs": []} == (await harness.call_tool("flows:runs")).data


async def test_a_flow_that_fails_answers_with_its_code_and_its_run(make: Make) -> None:
    answer = await make().call_tool("flows:failing", {"item": "tea"})
    assert ("FLOW_NODE_FAILED", "failed") == (code(answer), (answer.data or {})["state"])


async def test_any_other_payload_is_a_field(make: Make, tmp_path: Path) -> None:
    harness = make(flows=shapes(tmp_path))
    tree = {"name": "oak", "inner": [{"name": "twig", "inner": []}]}
    assert tree == result(await harness.call_tool("flows:tree", tree))
    assert ["a"] == result(await harness.call_tool("flows:names", {"payload": ["a"]}))
    assert ["/payload/0"] == problems(await harness.call_tool("flows:names", {"payload": [1]}))
    assert [""] == problems(await harness.call_tool("flows:names", {}))
    assert {"b": 1} == result(await harness.call_tool("flows:anything", {"payload": {"b": 1}}))
    assert result(await harness.call_tool("flows:anything", {})) is None
    # A field that is called as the choices are.
    given = {"payload": {"_run": "x"}, "_run": {"wait_s": 5}}
    assert {"_run": "x"} == result(await harness.call_tool("flows:taken", given))


async def test_several_entrypoints_are_several_tools(make: Make, tmp_path: Path) -> None:
    harness = make(flows=shapes(tmp_path))
    found = {name for name in harness.tools.names() if "several" in name}
    assert {"flows:several.first_one", "flows:several.other"} == found
    given = {"payload": "x"}
    assert "one x" == result(await harness.call_tool("flows:several.first_one", given))
    assert "other x" == result(await harness.call_tool("flows:several.other", given))
    described = (await harness.call_tool("flows:describe", {"flow": "several"})).data or {}
    assert ["one_way", "other_way"] == [each["capture"] for each in described["entrypoints"]]
    path = tmp_path / "shapes.py"
    path.write_text(path.read_text().replace('"/other"', '"/gone"').replace('"/other/', '"/it/'))
    gone = await harness.call_tool("flows:several.other", given)
    assert "NOT_FOUND" == code(gone)
    assert "flows:describe" in str(gone.error)


async def test_a_call_is_checked_against_the_port_as_it_is_now(make: Make, tmp_path: Path) -> None:
    harness, path = make(), tmp_path / "flows" / "shop.py"
    before = harness.tools.manifests["flows:echo"].input_schema or {}
    text = path.read_text().replace("    item: str\n    count", "    thing: str\n    count")
    path.write_text(text.replace("order.item.upper", "order.thing.upper"))
    assert ["", ""] == problems(await harness.call_tool("flows:echo", {"item": "tea"}))
    assert "TEA" == result(await harness.call_tool("flows:echo", {"thing": "tea"}))["item"]
    now = listed(tmp_path)["flows:echo"]
    assert isinstance(now, ToolManifest)
    assert ("item", "thing") == (next(iter(before["properties"])),
                                 next(iter((now.input_schema or {})["properties"])))  # fmt: skip


async def test_a_flow_that_was_listed_as_harmless_does_no_harm_when_it_changes(
    make: Make, tmp_path: Path
) -> None:
    harness, path = make(), tmp_path / "flows" / "shop.py"
    assert "read" == harness.tools.manifests["flows:echo"].permission
    path.write_text(path.read_text().replace('built("echo", shout)', 'built("echo", charge)'))
    assert "FLOWS_EFFECTS_DENIED" == code(await harness.call_tool("flows:echo", {"item": "tea"}))
    assert [] == effects(tmp_path)


def test_a_flow_that_cannot_be_loaded_is_left_out_with_the_reason(tmp_path: Path) -> None:
    flows_in(tmp_path)
    (tmp_path / "bad.py").write_text("\n\noops(\n")
    found = listed(tmp_path, bad="bad.py", out="../out.py", echo="flows/shop.py:echo",
                   run="flows/shop.py:echo")  # fmt: skip
    left_out = {name: each.why for name, each in found.items() if isinstance(each, ToolLeftOut)}
    assert {"flows:bad", "flows:out", "flows:run"} == set(left_out)
    assert f"{tmp_path}/bad.py:3" in left_out["flows:bad"]
    assert "rename the flow" in left_out["flows:run"]


def test_a_module_that_does_not_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows_in(tmp_path)
    gate = threading.Event()
    monkeypatch.setattr(threading, "gate_of_the_test", gate, raising=False)
    monkeypatch.setattr(offering, "LIST_WAIT_S", 0.3)
    (tmp_path / "slow.py").write_text("import threading\nthreading.gate_of_the_test.wait(20)\n")
    assert isinstance(listed(tmp_path, echo="flows/shop.py:echo")["flows:echo"], ToolManifest)
    found = listed(tmp_path, slow="slow.py", echo="flows/shop.py:echo")
    gate.set()
    assert isinstance(found["flows:echo"], ToolManifest)
    slow = found["flows:slow"]
    assert isinstance(slow, ToolLeftOut)
    assert "not loaded within 0.3 s" in slow.why


async def test_a_schema_that_the_host_cannot_check_leaves_it_to_the_port(
    make: Make, tmp_path: Path
) -> None:
    looks_ahead = """
from typing import Annotated
import msgspec
from msgspec import Meta

class Odd(msgspec.Struct):
    word: Annotated[str, Meta(pattern="^(?!no).*$")]

odd = one("odd", Odd)
"""
    flows = shapes(tmp_path) | {"odd": "shapes.py:odd"}
    (tmp_path / "shapes.py").write_text(SHAPES + looks_ahead)
    harness = make(flows=flows)
    assert {"word": "yes"} == result(await harness.call_tool("flows:odd", {"word": "yes"}))
    assert "INVALID_INPUT" == code(await harness.call_tool("flows:odd", {"word": "no"}))
    assert [""] == problems(await harness.call_tool("flows:odd", {"word": "yes", "more": 1}))
    chosen = await harness.call_tool("flows:odd", {"word": "yes", "_run": 1})
    assert ["/_run"] == problems(chosen)


def test_without_a_flow_there_is_no_tool(tmp_path: Path) -> None:
    assert pack.tools_in is not None
    assert () == pack.tools_in({}, tmp_path)
    assert [] == offered({"flows": ["a"]}, tmp_path)
