"""The executor's acceptance cases, under the names that the source project gave them.

Where a case there asserts a gap that is closed here, it stands inverted under the same name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.calling import Caller
from conductor_flows.execute.errors import (
    DeadlineExceeded,
    Failure,
    MissingOutput,
    NodeError,
    NodeFailed,
    SurfaceUnsupported,
)
from conductor_flows.execute.instance import Instance
from conductor_flows.execute.outcomes import Streamed, Value
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.planning.surfaces import SERVED
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner, default_ends
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import Buffer, SurfaceIR
from conductor_flows.ir.terms import NodeKind, SurfaceKind
from flow_pieces import edge_ir, flow_ir, node_ir

ANY = port_of(Any)
PATIENCE_S = 5.0


async def same(value: Any) -> Any:
    return value


def program(
    nodes: list[str], edges: list[tuple[str, str]], surfaces: list[SurfaceIR] | None = None,
    *, buffer: int = 2, streams: str = "", **functions: Any,
) -> Program:  # fmt: skip
    """A flow whose first node is the trigger; functions by alias, others hand on what they get."""
    first, *rest = nodes
    flow = flow_ir(
        [node_ir(first, kind=NodeKind.TRIGGER), *map(node_ir, rest)],
        [edge_ir(a, b, buffer=Buffer(max_items=buffer)) for a, b in edges], surfaces,
    )  # fmt: skip
    handlers = {
        alias: Handler(functions.get(alias, same), ANY, ANY, streams=alias == streams)
        for alias in nodes
    }
    return Program(flow, handlers)


def switch(default: str | None = "c") -> SurfaceIR:
    config = {"v": 1, "source": "route", "selector_pointer": "/mode",
              "cases": {"a": "a", "b": "b"}, "default": default}  # fmt: skip
    return SurfaceIR(id="switch:route:0", kind=SurfaceKind.SWITCH,
                     targets=["route", "a", "b", "c"], config=config)  # fmt: skip


def if_() -> SurfaceIR:
    config = {"v": 1, "source": "route", "selector_pointer": "/flag", "then": "a", "else": "b"}
    return SurfaceIR(id="if:route:0", kind=SurfaceKind.IF, targets=["route", "a", "b"],
                     config=config)  # fmt: skip


def named(name: str) -> Any:
    async def function(value: Any) -> str:
        del value
        return name

    return function


def branching(*surfaces: SurfaceIR, more: tuple[str, ...] = ()) -> Runner:
    ways = ("a", "b", "c", *more)
    edges = [("route", way) for way in ways] + [(way, "end") for way in ways]
    functions = {way: named(way) for way in ways}
    return Runner(program(["route", *ways, "end"], edges, list(surfaces), **functions))


async def value_of(runner: Runner, payload: Any) -> Any:
    outcome = await runner.run(Invocation(payload))
    assert isinstance(outcome, Value)
    return outcome.value


def instance_of(runner: Runner) -> Instance:
    ends = default_ends(runner.program.flow)
    bound = runner.bound(ends)
    caller = Caller(bound, runner.info(Invocation(None), ends), {})
    return Instance(bound, caller, spread=lambda: 0.5)


class Snapshot:
    """A recorder that keeps everything."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.observed: list[str] = []
        self.levels: list[str] = []

    def count(self, name: str, labels: Any, by: int = 1) -> None:
        del labels
        self.counts[name] = self.counts.get(name, 0) + by

    def level(self, name: str, labels: Any, value: float) -> None:
        del labels, value
        self.levels.append(name)

    def observe(self, name: str, labels: Any, value: float) -> None:
        del labels, value
        self.observed.append(name)


async def test_emits_executor_metrics_on_success() -> None:
    recorder = Snapshot()
    runner = Runner(program(["t", "n"], [("t", "n")]), Services(recorder=recorder))
    assert Value(1) == await runner.run(Invocation(1))
    assert ["executor.node_latency_ms"] * 2 == recorder.observed
    assert {} == recorder.counts


@settings(max_examples=32, deadline=None)
@given(capacity=st.integers(1, 4), cycles=st.integers(1, 5))
def test_flow_instance_respects_capture_capacity(capacity: int, cycles: int) -> None:
    async def check() -> None:
        services = Services(capture_capacity=capacity)
        instance = instance_of(Runner(program(["t", "n"], [("t", "n")]), services))
        for _ in range(cycles):
            for number in range(capacity):
                await asyncio.wait_for(instance.send(number), PATIENCE_S)
            late = asyncio.create_task(instance.send("late"))
            await asyncio.sleep(0.001)
            assert not late.done()
            for _ in range(capacity + 1):
                await asyncio.wait_for(instance.next(), PATIENCE_S)
            await late
        await instance.cancel("propagated")

    asyncio.run(check())


async def test_backpressure_applies_when_capture_is_full() -> None:
    services = Services(capture_capacity=1)
    instance = instance_of(Runner(program(["t", "n"], [("t", "n")], buffer=1), services))
    await instance.send("first")
    second = asyncio.create_task(instance.send("second"))
    await asyncio.sleep(0.05)
    assert not second.done()
    assert "first" == (await instance.next())[1]
    await asyncio.wait_for(second, PATIENCE_S)
    assert "second" == (await instance.next())[1]
    await instance.cancel("propagated")


async def test_back_pressure_bounds_every_branch_of_a_fan_out() -> None:
    gate, begun = asyncio.Event(), 0

    async def slow(value: Any) -> Any:
        await gate.wait()
        return value

    async def quick(value: Any) -> None:
        nonlocal begun
        del value
        begun += 1

    flow = program(["t", "slow", "quick"], [("t", "slow"), ("t", "quick")], slow=slow, quick=quick)
    runner = Runner(flow, Services(capture_capacity=10_000))
    ends = Ends("t", "slow")
    bound = runner.bound(ends)
    instance = Instance(bound, Caller(bound, runner.info(Invocation(None), ends), {}),
                        spread=lambda: 0.5)  # fmt: skip

    async def feed() -> None:
        for number in range(200):
            await instance.send(number)

    feeding = asyncio.create_task(feed())
    await asyncio.sleep(0.1)
    assert begun <= 1 + 2 + 1  # one at work in the slow branch, two before it, one in the trigger
    gate.set()
    for _ in range(200):
        await asyncio.wait_for(instance.next(), PATIENCE_S)
    await feeding
    assert 200 == begun
    await instance.cancel("propagated")


async def test_cancellation_propagates_on_error() -> None:
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def fails(value: Any) -> Any:
        await running.wait()
        raise ValueError(value)

    async def waits(value: Any) -> Any:
        del value
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    edges = [("t", "a"), ("t", "b"), ("a", "end"), ("b", "end")]
    runner = Runner(program(["t", "a", "b", "end"], edges, a=fails, b=waits))
    with pytest.raises(NodeFailed) as failed:
        await asyncio.wait_for(runner.run(Invocation("boom")), PATIENCE_S)
    assert "a" == failed.value.alias
    assert cancelled.is_set()


async def test_a_deadline_reaches_a_function_that_is_running() -> None:
    cancelled = asyncio.Event()

    async def waits(value: Any) -> Any:
        del value
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    runner = Runner(program(["t", "n"], [("t", "n")], n=waits))
    with pytest.raises(DeadlineExceeded):
        await runner.run(Invocation(1, deadline_s=0.02))
    assert cancelled.is_set()


@pytest.mark.parametrize(("mode", "way"), [("a", "a"), ("b", "b"), ("zzz", "c")])
async def test_switch_routes_only_selected_branch(mode: str, way: str) -> None:
    assert way == await value_of(branching(switch()), {"mode": mode})


async def test_switch_without_default_and_without_a_match_misses_its_output() -> None:
    edges = [("route", "a"), ("route", "b"), ("a", "end"), ("b", "end")]
    surface = switch(default=None)
    runner = Runner(program(["route", "a", "b", "end"], edges, [surface]))
    with pytest.raises(MissingOutput):
        await runner.run(Invocation({"mode": "zzz"}))


@pytest.mark.parametrize("payload", [{}, {"mode": 3}, {"mode": None}, []])
async def test_switch_selector_pointer_missing_or_of_the_wrong_type(payload: Any) -> None:
    with pytest.raises(NodeFailed) as failed:
        await branching(switch()).run(Invocation(payload))
    assert "route" == failed.value.alias


async def test_switch_does_not_gate_edges_outside_targets() -> None:
    runner = branching(switch(), more=("always",))
    outcome = await value_of(runner, {"mode": "a"})
    assert ["a", "always"] == sorted(outcome)


@pytest.mark.parametrize(("flag", "way"), [(True, "a"), (False, "b")])
async def test_if_true_and_false(flag: bool, way: str) -> None:
    outcome = await value_of(branching(if_()), {"flag": flag})
    assert sorted(["c", way]) == sorted(outcome)  # c is no target of the if: it fires always


@pytest.mark.parametrize("payload", [{}, {"flag": "yes"}, {"flag": 1}])
async def test_if_selector_pointer_missing_or_of_the_wrong_type(payload: Any) -> None:
    with pytest.raises(NodeFailed) as failed:
        await branching(if_()).run(Invocation(payload))
    assert "route" == failed.value.alias


async def test_partition_control_surface_is_metadata_only() -> None:
    """Inverted: a partition keeps its order, and partitions run beside each other."""
    log: list[tuple[str, int]] = []
    gate = asyncio.Event()

    async def work(value: Any) -> Any:
        if value["p"] == "slow":
            await gate.wait()
        log.append((value["p"], value["n"]))
        if value["p"] == "quick" and value["n"] == 2:
            gate.set()
        return value

    config = {"v": 1, "edge": {"from": "split", "to": "work"}, "key": "p"}
    each = {"v": 1, "source": "t", "items_pointer": "", "body_entry": "split"}
    flow = flow_ir(
        [node_ir("t", kind=NodeKind.TRIGGER), node_ir("split"), node_ir("work", concurrency=4)],
        [edge_ir("t", "split"), edge_ir("split", "work", buffer=Buffer(max_items=16))],
        [SurfaceIR(id="e", kind=SurfaceKind.FOR_EACH, targets=["t", "split"], config=each),
         SurfaceIR(id="p", kind=SurfaceKind.PARTITION, targets=["split", "work"], config=config)],
    )  # fmt: skip
    handlers = {name: Handler(same, ANY, ANY) for name in ("t", "split")}
    handlers["work"] = Handler(work, ANY, ANY)
    items = [{"p": p, "n": n} for n in range(3) for p in ("slow", "quick")]
    await asyncio.wait_for(value_of(Runner(Program(flow, handlers)), items), PATIENCE_S)
    assert [("quick", n) for n in range(3)] == log[:3]
    assert [("slow", n) for n in range(3)] == log[3:]


async def test_unsupported_control_surface_fails_instantiation() -> None:
    """Inverted: every surface is served here; CTRL901 stays for a host that lacks one."""
    limit = SurfaceIR(id="rate_limit:0", kind=SurfaceKind.RATE_LIMIT, targets=["n"],
                      config={"v": 1, "target": "n", "qps": 1000, "burst": 10})  # fmt: skip
    flow = program(["t", "n"], [("t", "n")], [limit])
    assert 1 == await value_of(Runner(flow), 1)
    poor = Services(served=SERVED - {SurfaceKind.RATE_LIMIT})
    with pytest.raises(SurfaceUnsupported) as refused:
        await Runner(flow, poor).run(Invocation(1))
    assert {"id": "rate_limit:0", "kind": "rate_limit"} == refused.value.details


async def pieces(value: Any) -> AsyncIterator[int]:
    for number in range(1, value + 1):
        yield number
        await asyncio.sleep(0)


async def opened(value: Any) -> AsyncIterator[int]:
    return pieces(value)


async def test_streaming_capture_emits_events() -> None:
    outcome = await Runner(program(["t", "n"], [("t", "n")], streams="n", n=opened)).run(
        Invocation(3)
    )
    assert isinstance(outcome, Streamed)
    assert [1, 2, 3] == [item async for item in outcome.items]


async def test_dropping_stream_cancels_run() -> None:
    ended = asyncio.Event()

    async def endless(value: Any) -> AsyncIterator[int]:
        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield value
                    await asyncio.sleep(0)
            finally:
                ended.set()

        return items()

    before = len(asyncio.all_tasks())
    outcome = await Runner(program(["t", "n"], [("t", "n")], streams="n", n=endless)).run(
        Invocation(1)
    )
    assert isinstance(outcome, Streamed)
    async with contextlib.aclosing(outcome.items) as items:  # type: ignore[type-var]  # an iterator that can be closed
        assert 1 == await anext(items)
    await asyncio.wait_for(ended.wait(), 0.05)
    assert before == len(asyncio.all_tasks())


async def test_closing_a_stream_that_nobody_reads_closes_what_would_have_given_it() -> None:
    class Held:
        closed = 0

        def __aiter__(self) -> Held:
            return self

        async def __anext__(self) -> int:
            return 1

        async def aclose(self) -> None:
            self.closed += 1

    held = Held()

    async def hold(value: Any) -> AsyncIterator[int]:
        del value
        return held

    runner = Runner(program(["t", "n"], [("t", "n")], streams="n", n=hold))
    outcome = await runner.run(Invocation(1))
    assert isinstance(outcome, Streamed)
    async with contextlib.aclosing(outcome.items):  # type: ignore[type-var]  # an iterator that can be closed
        pass
    assert 1 == held.closed


async def test_null_in_is_null_out_but_nothing_comes_of_a_value_that_gives_none() -> None:
    async def small(value: Any) -> Any:
        return value if value is None or value < 10 else None

    runner = Runner(program(["t", "n", "end"], [("t", "n"), ("n", "end")], n=small))
    assert None is await value_of(runner, None)
    assert 3 == await value_of(runner, 3)
    with pytest.raises(MissingOutput):
        await runner.run(Invocation(30))


async def test_a_loop_whose_exit_is_the_capture_gives_its_last_round() -> None:
    config = {"v": 1, "source": "t", "body_entry": "n", "body_exit": "n",
              "condition_pointer": "/more", "max_iterations": 10}  # fmt: skip
    surface = SurfaceIR(id="loop:t:0", kind=SurfaceKind.LOOP, targets=["t", "n"], config=config)

    async def count(value: Any) -> Any:
        return {"n": value["n"] + 1, "more": value["n"] + 1 < 4}

    runner = Runner(program(["t", "n"], [("t", "n")], [surface], n=count))
    assert {"n": 4, "more": False} == await value_of(runner, {"n": 0})


async def test_a_failure_keeps_its_kind() -> None:
    async def fails(value: Any) -> Any:
        raise NodeError(Failure.PERMANENT, str(value))

    with pytest.raises(NodeFailed) as failed:
        await Runner(program(["t", "n"], [("t", "n")], n=fails)).run(Invocation("no"))
    assert Failure.PERMANENT == failed.value.failure
