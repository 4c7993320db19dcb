"""What a run tells: numbers by name and label, and notices of what only operators can change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.context import NodeContext
from conductor_flows.execute.errors import (
    DeadlineExceeded,
    KeyCollision,
    MissingOutput,
    NodeFailed,
)
from conductor_flows.execute.instance import Instance
from conductor_flows.execute.notices import Notice, logged
from conductor_flows.execute.outcomes import Halt, Streamed, Value
from conductor_flows.execute.planning.plan import STALL_S
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner, default_ends
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import Buffer, Idempotency, SurfaceIR
from conductor_flows.ir.terms import Effects, NodeKind, SurfaceKind
from conductor_flows.measures.snapshot import SnapshotRecorder
from flow_pieces import edge_ir, flow_ir, node_ir
from virtual_time import turns, virtual

ANY = port_of(Any)


async def same(value: Any) -> Any:
    return value


class Scene:
    """A flow whose first node, `t`, is the trigger, and what its runs tell."""

    def __init__(
        self, edges: list[tuple[str, str]], *surfaces: SurfaceIR, streams: str = "",
        contextual: str = "", key: str = "", capacity: int = 8, **functions: Any,
    ) -> None:  # fmt: skip
        names = list(dict.fromkeys(name for pair in edges for name in pair))
        nodes = [
            node_ir(name, kind=NodeKind.TRIGGER if name == "t" else NodeKind.INLINE,
                    effects=Effects.EFFECTFUL if name == contextual else Effects.PURE,
                    idempotency=Idempotency(key=key if name == contextual else None))
            for name in names
        ]  # fmt: skip
        links = [edge_ir(*pair, buffer=Buffer(max_items=1)) for pair in edges]
        handlers = {
            name: Handler(functions.get(name, same), ANY, ANY, takes_context=name == contextual,
                          streams=name == streams)
            for name in names
        }  # fmt: skip
        self.numbers = SnapshotRecorder()
        self.notices: list[Notice] = []
        services = Services(
            recorder=self.numbers, tell=self.notices.append, capture_capacity=capacity
        )
        self.runner = Runner(Program(flow_ir(nodes, links, list(surfaces)), handlers), services)

    async def run(self, payload: Any, **more: Any) -> Any:
        return await self.runner.run(Invocation(payload, **more))

    def instance(self) -> Instance:
        bound = self.runner.bound(default_ends(self.runner.program.flow))
        run = self.runner.info(Invocation(None), default_ends(self.runner.program.flow))
        return self.runner.instance(bound, run)

    def cut_off(self) -> dict[tuple[str, str], int]:
        return {
            (dict(labels)["node"], dict(labels)["reason"]): count
            for (name, labels), count in self.numbers.counts.items()
            if name == "executor.cancellations_total"
        }


def each(**config: Any) -> SurfaceIR:
    return SurfaceIR(id="each", kind=SurfaceKind.FOR_EACH, targets=["t", "a"], config={
        "v": 1, "source": "t", "body_entry": "a", "body_exit": "a", "collect": "end",
        "items_pointer": ""} | config)  # fmt: skip


@virtual
async def test_a_good_run_tells_latencies_and_depths_and_leaves_every_level_at_zero() -> None:
    async def slow(value: Any) -> Any:
        await asyncio.sleep(0.005)
        return value

    scene = Scene([("t", "a"), ("a", "end")], each(), a=slow)
    assert Value([1, 2, 3]) == await scene.run([1, 2, 3])
    numbers = scene.numbers
    assert [5.0, 5.0, 5.0] == [
        round(took, 3) for took in numbers.observed("executor.node_latency_ms", node="a")
    ]
    assert 1.0 == numbers.highest("executor.queue_depth", edge="t->a")
    assert 1.0 == numbers.highest("executor.active_nodes", node="a", flow="pieces", profile="dev")
    assert (0.0, 0.0) == (
        numbers.level_of("executor.queue_depth"), numbers.level_of("executor.active_nodes")
    )  # fmt: skip
    assert {} == scene.cut_off()


@virtual
async def test_results_that_wait_are_the_depth_of_the_capture() -> None:
    scene = Scene([("t", "a")], capacity=2)
    instance = scene.instance()
    for number in range(2):
        await instance.send(number)
    await turns()
    assert 2.0 == scene.numbers.level_of("executor.queue_depth", edge="capture::a")
    third = asyncio.create_task(instance.send(2))
    await asyncio.sleep(3)
    assert not third.done()
    assert (0, 0) == await instance.next()
    await third
    blocked = scene.numbers.observed("executor.capture_backpressure_ms", capture="a")
    assert [3000.0] == [round(waited, 3) for waited in blocked]
    await instance.cancel("external")
    assert 0.0 == scene.numbers.level_of("executor.queue_depth")


async def fails(value: Any) -> Any:
    raise ValueError(value)


async def never(value: Any) -> Any:
    await asyncio.Event().wait()
    return value


async def halts(value: Any) -> Any:
    return Halt("timer", value, 1.0, value)


@virtual
async def test_what_cuts_a_run_off_is_counted_once_with_its_reason() -> None:
    scene = Scene([("t", "a"), ("a", "end")], a=fails)
    with pytest.raises(NodeFailed):
        await scene.run(1)
    assert {("a", "node_error"): 1} == scene.cut_off()
    assert 1 == scene.numbers.counted(
        "executor.node_errors_total", node="a", error_kind="handler_error"
    )
    late = Scene([("t", "a"), ("a", "end")], a=never)
    with pytest.raises(DeadlineExceeded):
        await late.run(1, deadline_s=2.0)
    assert {("__instance", "deadline"): 1} == late.cut_off()
    assert 0.0 == late.numbers.level_of("executor.active_nodes")
    halted = Scene([("t", "a"), ("a", "end")], a=halts)
    await halted.run(1)
    assert {("__instance", "halt"): 1} == halted.cut_off()
    outside = Scene([("t", "a"), ("a", "end")], a=never)
    run = asyncio.create_task(outside.run(1))
    await turns()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert {("__instance", "external"): 1} == outside.cut_off()


@pytest.mark.parametrize(("kind", "payload", "error_kind"), [
    ("switch", {"m": 1}, "switch_routing_failed"), ("if", {}, "if_routing_failed"),
])  # fmt: skip
def test_a_surface_that_cannot_choose_is_an_error_of_its_node(
    kind: str, payload: Any, error_kind: str
) -> None:
    @virtual
    async def run() -> None:
        config: dict[str, Any] = {"v": 1, "source": "t", "selector_pointer": "/m"}
        config |= {"cases": {"a": "a"}} if kind == "switch" else {"then": "a", "else": "b"}
        branch = SurfaceIR(id="s", kind=SurfaceKind(kind), targets=["t", "a", "b"], config=config)
        scene = Scene([("t", "a"), ("t", "b"), ("a", "end"), ("b", "end")], branch)
        with pytest.raises(NodeFailed) as failed:
            await scene.run(payload)
        assert ("t", error_kind) == (failed.value.alias, failed.value.kind)
        assert 1 == scene.numbers.counted("executor.node_errors_total", error_kind=error_kind)

    run()


@virtual
async def test_a_switch_that_takes_no_way_is_the_reason_of_a_missing_output() -> None:
    config = {"v": 1, "source": "t", "selector_pointer": "/m", "cases": {"a": "a"}}
    branch = SurfaceIR(id="s", kind=SurfaceKind.SWITCH, targets=["t", "a"], config=config)
    scene = Scene([("t", "a")], branch)
    with pytest.raises(MissingOutput):
        await scene.run({"m": "z"})
    assert {("t", "switch_no_target"): 1} == scene.cut_off()


async def pieces(value: Any) -> AsyncIterator[Any]:
    async def give() -> AsyncIterator[Any]:
        for number in range(value):
            yield number
        if value > 2:
            raise ValueError(value)

    return give()


@virtual
async def test_a_stream_is_counted_when_it_is_handed_out_and_when_it_breaks() -> None:
    scene = Scene([("t", "a")], a=pieces, streams="a")
    outcome = await scene.run(2)
    assert isinstance(outcome, Streamed)
    assert [0, 1] == [item async for item in outcome.items]
    assert 1 == scene.numbers.counted("executor.stream_clients_total", node="a")
    assert {} == scene.cut_off()
    broken = await scene.run(3)
    with pytest.raises(NodeFailed):
        _ = [item async for item in broken.items]
    assert 1 == scene.numbers.counted("executor.node_errors_total", node="a")
    closed = await scene.run(1)
    async with aclosing(closed.items):
        pass
    assert 3 == scene.numbers.counted("executor.stream_clients_total", node="a")


@virtual
async def test_only_the_capture_may_stream() -> None:
    scene = Scene([("t", "a"), ("a", "end")], a=pieces, streams="a")
    with pytest.raises(NodeFailed) as failed:
        await scene.run(2)
    assert "invalid_stream_target" == failed.value.kind


@virtual
async def test_a_stream_that_nothing_reaches_misses_its_output_instead_of_waiting() -> None:
    async def nothing(value: Any) -> None:
        del value

    scene = Scene([("t", "a"), ("a", "end")], a=nothing, end=pieces, streams="end")
    with pytest.raises(MissingOutput):
        await scene.run(2)


@virtual
async def test_run030_is_told_once_when_a_payload_waits_for_long() -> None:
    scene = Scene([("t", "a")], a=never, capacity=1)
    instance = scene.instance()
    await instance.send(0)
    second = asyncio.create_task(instance.send(1))
    await asyncio.sleep(STALL_S - 1)
    assert [] == scene.notices
    await asyncio.sleep(STALL_S * 3)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await instance.cancel("external")
    assert [("RUN030", "pieces", "capture::a")] == [
        (each.code, each.flow, each.where) for each in scene.notices
    ]


@virtual
async def test_run030_is_told_once_when_a_rate_limit_is_always_spent() -> None:
    limit = SurfaceIR(id="r", kind=SurfaceKind.RATE_LIMIT, targets=["a"],
                      config={"v": 1, "target": "a", "qps": 1, "burst": 1})  # fmt: skip
    scene = Scene([("t", "a"), ("a", "end")], each(), limit)
    await scene.run(list(range(20)))
    assert [] == scene.notices
    await scene.run(list(range(100)))
    assert [("RUN030", "a")] == [(each.code, each.where) for each in scene.notices]


class Charges:
    """Charges under the key, and counts the attempts."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def charge(self, value: Any, context: NodeContext) -> Any:
        self.keys.append(context.idempotency_key)
        return value


@virtual
async def test_idem099_two_inputs_under_one_key_end_the_run() -> None:
    forgiving = SurfaceIR(
        id="e", kind=SurfaceKind.ERROR_HANDLER, targets=["a"],
        config={"v": 1, "scope": {"nodes": ["a"]}, "strategy": "continue"},
    )  # fmt: skip
    charges = Charges()
    scene = Scene([("t", "a"), ("a", "end")], each(), forgiving, contextual="a", key="order",
                  a=charges.charge)  # fmt: skip
    orders = [{"order": 1, "sum": 5}, {"order": 2, "sum": 5}, {"order": 1, "sum": 6}]
    with pytest.raises(KeyCollision) as failed:
        await scene.run(orders)
    assert ("IDEM099", "a") == (failed.value.code, failed.value.alias)
    assert 2 == len(charges.keys)
    assert 1 == scene.numbers.counted("executor.node_errors_total", error_kind="key_collision")


@virtual
async def test_the_same_input_twice_is_no_collision() -> None:
    charges = Charges()
    scene = Scene([("t", "a"), ("a", "end")], each(), contextual="a", key="order",
                  a=charges.charge)  # fmt: skip
    orders = [{"order": 1, "sum": 5}, {"order": 1, "sum": 5}]
    assert Value(orders) == await scene.run(orders)
    assert 1 == len(set(charges.keys))


@virtual
async def test_a_context_that_is_kept_gives_no_key_of_another_node() -> None:
    kept: list[NodeContext] = []

    async def keeps(value: Any, context: NodeContext) -> Any:
        kept.append(context)
        return value

    scene = Scene([("t", "a"), ("a", "end")], contextual="a", a=keeps)
    assert Value(1) == await scene.run(1)
    with pytest.raises(RuntimeError, match="after its call"):
        _ = kept[0].idempotency_key


def test_notices_are_logged_where_nobody_takes_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "conductor_flows"):
        logged(Notice("RUN030", "f", "a", "it waits"))
        logged(Notice("RUN040", "f", "a->b", "7 bytes left memory"))
    assert [
        (logging.WARNING, "RUN030: f at a: it waits"),
        (logging.INFO, "RUN040: f at a->b: 7 bytes left memory"),
    ] == [(record.levelno, record.getMessage()) for record in caplog.records]
