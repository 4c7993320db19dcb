"""A flow holds what is under way, and nothing of what went through it."""

from __future__ import annotations

import asyncio
import gc
from itertools import pairwise
from typing import Any

import pytest

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.instance import Instance
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner, default_ends
from conductor_flows.ir.model import SurfaceIR
from conductor_flows.ir.terms import NodeKind, SurfaceKind
from conductor_flows.validate.run import validate
from flow_pieces import edge_ir, flow_ir, node_ir

PORT = port_of(Any)
NAMES = ("t", "plain", "timed", "even", "odd", "end")


async def same(value: Any) -> Any:
    return value


async def route(value: Any) -> Any:
    return {**value, "even": value["n"] % 2 == 0}


def instance() -> Instance:
    """A chain with a choice in it, an edge with a timeout, and a partition."""
    nodes = [node_ir(name, kind=NodeKind.TRIGGER if name == "t" else NodeKind.INLINE)
             for name in NAMES]  # fmt: skip
    edges = [edge_ir(*pair) for pair in pairwise(NAMES[:2])]
    edges += [
        edge_ir("plain", "timed", timeout_ms=3_600_000), edge_ir("timed", "even"),
        edge_ir("timed", "odd", partition_key="/n"), edge_ir("even", "end"), edge_ir("odd", "end"),
    ]  # fmt: skip
    choice = SurfaceIR(id="i", kind=SurfaceKind.IF, targets=["timed", "even", "odd"], config={
        "v": 1, "source": "timed", "selector_pointer": "/even", "then": "even", "else": "odd",
    })  # fmt: skip
    flow = flow_ir(nodes, edges, [choice])
    functions = {"timed": route}
    handlers = {name: Handler(functions.get(name, same), PORT, PORT) for name in NAMES}
    runner = Runner(Program(flow, handlers))
    ends = default_ends(flow)
    return runner.instance(runner.bound(ends), runner.info(Invocation(None), ends))


async def through(running: Instance, begin: int, count: int) -> None:
    async def feed() -> None:
        for number in range(begin, begin + count):
            await running.send({"n": number})

    feeding = asyncio.create_task(feed())
    for _ in range(count):
        await running.next()
    await feeding


async def growth(warm: int, count: int) -> int:
    """How many objects more there are after items than after the first of them."""
    running = instance()
    await through(running, 0, warm)
    gc.collect()
    before = len(gc.get_objects())
    await through(running, warm, count)
    gc.collect()
    after = len(gc.get_objects())
    await running.cancel("external")
    return after - before


async def test_nothing_of_an_item_is_left_when_it_has_come_out() -> None:
    asyncio.get_running_loop().set_debug(False)
    assert await growth(1500, 1500) < 100


@pytest.mark.soak
@pytest.mark.timeout(3600)  # a minute and a half on a machine that does nothing else
async def test_memory_is_flat_over_a_million_items() -> None:
    asyncio.get_running_loop().set_debug(False)
    assert await growth(10_000, 1_000_000) < 1000


def test_ten_thousand_nodes_are_validated_alike() -> None:
    names = [f"n{number}" for number in range(10_000)]
    nodes = [node_ir(name, kind=NodeKind.INLINE if place else NodeKind.TRIGGER, summary="A node")
             for place, name in enumerate(names)]  # fmt: skip
    flow = flow_ir(nodes, [edge_ir(*pair) for pair in pairwise(names)])
    assert [] == [each for each in validate(flow) if each.severity == "error"]
