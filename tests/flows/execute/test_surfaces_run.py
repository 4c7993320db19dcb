"""Surfaces at work, in time that jumps: what each lets through, holds back, and gives up."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import pytest

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.context import NodeContext
from conductor_flows.execute.errors import NodeFailed, TimeBudget
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import Buffer, SurfaceIR
from conductor_flows.ir.terms import NodeKind, SurfaceKind
from flow_pieces import edge_ir, flow_ir, node_ir
from virtual_time import virtual

ANY = port_of(Any)
EACH = {"v": 1, "source": "t", "body_entry": "a", "body_exit": "a", "collect": "end",
        "items_pointer": ""}  # fmt: skip


async def same(value: Any) -> Any:
    return value


def now() -> float:
    return round(asyncio.get_running_loop().time(), 3)


def surface(kind: str, targets: list[str], **config: Any) -> SurfaceIR:
    return SurfaceIR(
        id=f"{kind}:{targets[0]}:0", kind=SurfaceKind(kind), targets=targets,
        config={"v": 1} | config,
    )  # fmt: skip


def runner(
    edges: list[tuple[str, str]], *surfaces: SurfaceIR, more: dict[str, Any] | None = None,
    concurrency: int = 1, hints: dict[str, list[str]] | None = None,
    services: Services | None = None, **functions: Any,
) -> Runner:  # fmt: skip
    """A flow whose first node, `t`, is the trigger; `more` is said of the edge into `a`."""
    names = list(dict.fromkeys(name for pair in edges for name in pair))
    nodes = [
        node_ir(name, kind=NodeKind.TRIGGER if name == "t" else NodeKind.INLINE,
                concurrency=concurrency if name == "a" else 1,
                effect_hints=(hints or {}).get(name, []))
        for name in names
    ]  # fmt: skip
    room = {"buffer": Buffer(max_items=8)}
    links = [edge_ir(*pair, **room, **(more or {} if pair[1] == "a" else {})) for pair in edges]
    handlers = {
        name: Handler(functions.get(name, same), ANY, ANY, takes_context=name in (hints or {}))
        for name in names
    }
    return Runner(Program(flow_ir(nodes, links, list(surfaces)), handlers), services or Services())


async def value_of(found: Runner, payload: Any) -> Any:
    outcome = await found.run(Invocation(payload))
    assert isinstance(outcome, Value)
    return outcome.value


@virtual
async def test_resource_bag_available_during_execution() -> None:
    async def looks(value: Any, context: NodeContext) -> Any:
        return {**value, "found": context.use("resource::kv::read")}

    bag = Services(capabilities={"resource::kv::read": "the store"})
    found = runner([("t", "a")], hints={"a": ["resource::kv::read"]}, services=bag, a=looks)
    assert {"found": "the store"} == await value_of(found, {})


@virtual
async def test_fan_in_join() -> None:
    async def slow(value: Any) -> Any:
        await asyncio.sleep(3)
        return value + 1

    join = surface("join", ["a", "b", "end"], sources=["a", "b"])
    edges = [("t", "a"), ("t", "b"), ("a", "end"), ("b", "end")]
    assert {"a": 2, "b": 1} == await value_of(runner(edges, join, a=slow), 1)
    assert 3.0 == now()


@virtual
async def test_a_join_gives_up_what_waits_too_long_for_its_others() -> None:
    async def late(value: Any) -> Any:
        await asyncio.sleep(10)
        return value

    join = surface("join", ["a", "b", "end"], sources=["a", "b"], timeout_ms=2000)
    edges = [("t", "a"), ("t", "b"), ("a", "end"), ("b", "end")]
    with pytest.raises(TimeBudget) as failed:
        await value_of(runner(edges, join, a=late), 1)
    assert ("TIME015", "end", 2.0) == (failed.value.code, failed.value.alias, now())
    quick = surface("join", ["a", "b", "end"], sources=["a", "b"], timeout_ms=11_000)
    assert {"a": 1, "b": 1} == await value_of(runner(edges, quick, a=late), 1)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_for_each_over_zero_one_and_many_items(count: int) -> None:
    @virtual
    async def run() -> None:
        each = surface("for_each", ["t", "a"], **EACH)
        found = runner([("t", "a"), ("a", "end")], each)
        assert list(range(count)) == await value_of(found, list(range(count)))

    run()


@virtual
async def test_for_each_runs_as_many_at_once_as_it_may() -> None:
    at_once: list[int] = []
    running = 0

    async def slow(value: Any) -> Any:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(1)
        running -= 1
        return value

    each = surface("for_each", ["t", "a"], **EACH, concurrency=3)
    found = runner([("t", "a"), ("a", "end")], each, concurrency=3, a=slow)
    assert list(range(7)) == await value_of(found, list(range(7)))
    assert (3, 3.0) == (max(at_once), now())


@virtual
async def test_loop_bound() -> None:
    async def more(value: Any) -> Any:
        return {"n": value["n"] + 1, "more": value["n"] + 1 < value.get("until", 99)} | {
            "until": value.get("until", 99)
        }

    edges = [("t", "a"), ("a", "end")]
    loop = surface("loop", ["t", "a"], source="t", body_entry="a", body_exit="a",
                   condition_pointer="/more", max_iterations=5)  # fmt: skip
    assert 5 == (await value_of(runner(edges, loop, a=more), {"n": 0, "until": 5}))["n"]
    with pytest.raises(NodeFailed, match="more than 5 rounds") as failed:
        await value_of(runner(edges, loop, a=more), {"n": 0, "until": 6})
    assert "loop_routing_failed" == failed.value.kind


@virtual
async def test_a_loop_goes_round_by_the_edge_that_the_document_has() -> None:
    calls: list[str] = []

    def counting(name: str) -> Any:
        async def call(value: Any) -> Any:
            calls.append(name)
            return {"n": value["n"] + (name == "b"), "more": value["n"] < 2}

        return call

    loop = surface("loop", ["s", "b", "end"], source="s", body_entry="a", condition_pointer="/more",
                   max_iterations=9)  # fmt: skip
    edges = [("t", "s"), ("s", "a"), ("a", "b"), ("b", "s"), ("b", "end")]
    found = runner(edges, loop, **{name: counting(name) for name in "sab"})
    assert 3 == (await value_of(found, {"n": 0}))["n"]
    assert list("sab" * 3) == calls


@virtual
async def test_rate_limit_pacing() -> None:
    begun: list[float] = []

    async def call(value: Any) -> Any:
        begun.append(now())
        return value

    limit = surface("rate_limit", ["a"], target="a", qps=2, burst=3)
    each = surface("for_each", ["t", "a"], **EACH)
    found = runner([("t", "a"), ("a", "end")], each, limit, a=call)
    assert list(range(7)) == await value_of(found, list(range(7)))
    assert [0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0] == begun


@virtual
async def test_edge_timeout_is_time015() -> None:
    async def never(value: Any) -> Any:
        await asyncio.Event().wait()
        return value

    with pytest.raises(TimeBudget) as failed:
        await value_of(runner([("t", "a")], more={"timeout_ms": 250}, a=never), 1)
    assert ("TIME015", "a", 0.25) == (failed.value.code, failed.value.alias, now())


@virtual
async def test_ordered_per_partition() -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    running: set[str] = set()
    most = 0

    async def slow(value: Any) -> Any:
        nonlocal most
        key = value["key"]
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        await asyncio.sleep(2 if value["n"] % 2 else 1)
        seen[key].append(value["n"])
        running.discard(key)
        return value["n"]

    items = [{"key": "xyz"[number % 3], "n": number} for number in range(9)]
    each = surface("for_each", ["t", "a"], **EACH)
    config = {"partition_key": "/key"}
    found = runner([("t", "a"), ("a", "end")], each, more=config, concurrency=3, a=slow)
    assert list(range(9)) == sorted(await value_of(found, items))
    assert {"x": [0, 3, 6], "y": [1, 4, 7], "z": [2, 5, 8]} == seen
    assert most > 1
