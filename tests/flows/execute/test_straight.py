"""A chain that one task takes a payload along ends as the same chain at work with queues."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.context import NodeContext
from conductor_flows.execute.errors import (
    DeadlineExceeded,
    Failure,
    KeyCollision,
    NodeError,
    PortRefused,
)
from conductor_flows.execute.outcomes import Halt, Value
from conductor_flows.execute.planning.compiling import Ends, compile_plan
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner, default_ends
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import Buffer, EdgeIR, NodeIR, SurfaceIR
from conductor_flows.ir.rich import RetryBackoff, Schedule
from conductor_flows.ir.terms import NodeKind, Ordering, SurfaceKind
from conductor_flows.measures.snapshot import SnapshotRecorder
from flow_pieces import edge_ir, flow_ir, node_ir
from virtual_time import VirtualLoop, turns, virtual

ACTS = (
    "give", "wait", "nothing", "transient", "permanent", "schema_mismatch", "timeout", "breaks",
    "halts", "cancels_itself", "hangs", "keeps_the_cancellation", "fails_when_cancelled", "exits",
    "is_late_by_itself", "is_late_and_goes_on", "fails_in_a_group", "asks_another", "gives_no_json",
)  # fmt: skip
EXTREMES = (
    "recurses",
    "has_no_text",
    "raises_what_is_no_exception",
    "shields",
    "gives_a_generator",
)
"""Done at least once each."""
NO_JSON, GENERATOR = object(), (number for number in range(3))


@dataclass(frozen=True)
class Link:
    """One node: what it does at each attempt, and for how long and how often it may."""

    acts: tuple[str, ...] = ("give",)
    timeout: bool = False
    attempts: int | None = None
    with_context: bool = False


@dataclass
class World:
    """What one run has done."""

    calls: list[tuple[str, Any, str | None]] = field(default_factory=list[Any])
    outcome: str = ""
    took_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict[str, int])


async def act(what: str, value: Any) -> Any:
    match what:
        case "give":
            return value + 1
        case "wait":
            await asyncio.sleep(0.01)
            return value + 10
        case "nothing":
            pass
        case "breaks":
            raise ValueError(value)
        case "halts":
            return Halt("timer", value, 1.0, value)
        case "cancels_itself":
            raise asyncio.CancelledError
        case "hangs":
            await asyncio.Event().wait()
        case "keeps_the_cancellation":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return value
        case "fails_when_cancelled":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("interrupted") from None
        case _:
            return await act_oddly(what, value)
    return None


class Mute(Exception):
    """Has no text that could be read."""

    def __str__(self) -> str:
        raise self

    __repr__ = __str__


async def act_oddly(what: str, value: Any) -> Any:
    match what:
        case "is_late_by_itself" | "is_late_and_goes_on":
            with contextlib.suppress(TimeoutError if what == "is_late_and_goes_on" else ()):
                async with asyncio.timeout(0.002):
                    await asyncio.Event().wait()
        case "fails_in_a_group":
            async with asyncio.TaskGroup() as group:
                group.create_task(act("permanent", value))
                await asyncio.Event().wait()
        case "asks_another":
            inner = runner_of([Link(), Link(("wait",), timeout=True)], World(), None)
            return (await inner.run(Invocation(value, deadline_s=0.02))).value
        case "shields":
            return await asyncio.shield(act("wait", value))
        case "takes_it_back":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                running().uncancel()
        case "collides_late":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            raise KeyCollision("n1", "k")
        case "cancels_its_task":
            running().cancel()
            await asyncio.sleep(0)
        case _:
            return end_oddly(what, value)
    return value


def end_oddly(what: str, value: Any) -> Any:
    match what:
        case "exits":
            raise SystemExit(value)
        case "gives_no_json":
            return NO_JSON
        case "gives_a_generator":
            return GENERATOR
        case "recurses":
            return end_oddly(what, value)
        case "has_no_text":
            raise Mute
        case "raises_what_is_no_exception":
            raise BaseExceptionGroup("odd", [GeneratorExit(), SystemExit()])
        case _:
            raise NodeError(Failure(what), f"{what} at {value}")


def running() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def function_of(alias: str, link: Link, world: World) -> Any:
    async def call(value: Any, context: NodeContext | None = None) -> Any:
        made = sum(1 for name, _, _ in world.calls if name == alias)
        key = None if context is None else f"{context.attempt} {context.idempotency_key}"
        world.calls.append((alias, value, key))
        return await act(link.acts[min(made, len(link.acts) - 1)], value)

    return call


def runner_of(links: list[Link], world: World, recorder: SnapshotRecorder | None) -> Runner:
    names = [f"n{number}" for number in range(len(links))]
    nodes: list[NodeIR] = []
    for name, link in zip(names, links, strict=True):
        backoff = RetryBackoff(base="PT0.02S", jitter=0.5, max_attempts=link.attempts)
        schedule = Schedule(
            timeout="PT0.05S" if link.timeout else None,
            retry_backoff=None if link.attempts is None else backoff,
        )
        kind = NodeKind.INLINE if nodes else NodeKind.TRIGGER
        nodes.append(msgspec.structs.replace(node_ir(name, kind=kind), schedule=schedule))
    port = port_of(Any)
    handlers = {
        name: Handler(function_of(name, link, world), port, port, takes_context=link.with_context)
        for name, link in zip(names, links, strict=True)
    }
    edges = [edge_ir(*pair) for pair in pairwise(names)]
    return Runner(
        Program(flow_ir(nodes, edges), handlers),
        Services(recorder=recorder, random=lambda: 0.5),
    )


async def run(runner: Runner, asked: Invocation, *, queues: bool) -> Any:
    if not queues:
        return await runner.run(asked)
    ends = default_ends(runner.program.flow)
    bound = runner.bound(ends)
    instance = runner.instance(bound, runner.info(asked, ends))

    async def begin() -> None:
        await instance.send(asked.payload)

    return await runner.conclude(instance, bound, begin, deadline_s=asked.deadline_s)


async def lived(
    links: list[Link], *, deadline_s: float | None, cancel_s: float | None, queues: bool
) -> World:
    world, recorder = World(), SnapshotRecorder()
    runner = runner_of(links, world, recorder)
    assert runner.bound(None).straight == tuple(range(len(links)))
    loop = asyncio.get_running_loop()
    asked = Invocation(1, deadline_s=deadline_s, labels={"lf.run_id": "r"})
    begun, task = loop.time(), asyncio.create_task(run(runner, asked, queues=queues))
    if cancel_s is not None:
        loop.call_later(cancel_s, task.cancel)
    done, _ = await asyncio.wait({task}, timeout=5)
    world.took_s = round(loop.time() - begun, 6)
    if not done:
        task.cancel()
        await asyncio.wait({task})
        world.outcome = "for ever"
    elif task.cancelled():
        world.outcome = "cancelled"
    elif (error := task.exception()) is not None:
        world.outcome = f"{type(error).__name__}: {error}"
    else:
        world.outcome = re.sub(" at 0x[0-9a-f]+", "", repr(task.result()))
    assert 0.0 == recorder.level_of("executor.active_nodes")
    world.counts = {
        f"{name} {sorted(labels)}": count for (name, labels), count in recorder.counts.items()
    }
    return world


link = st.builds(
    Link, st.lists(st.sampled_from(ACTS), min_size=1, max_size=3).map(tuple), st.booleans(),
    st.sampled_from((None, 1, 2, 3)), st.booleans(),
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(link, min_size=1, max_size=4), st.sampled_from((None, 0.005, 0.03, 0.2)),
       st.sampled_from((None, None, 0.004, 0.04)))  # fmt: skip
@example([Link(), Link(("keeps_the_cancellation",)), Link()], 0.03, None)
@example([Link(), Link(("keeps_the_cancellation",), timeout=True), Link()], None, None)
@example([Link(("transient", "give"), attempts=2, with_context=True)], None, None)
@example([Link(("cancels_itself", "give"), attempts=2)], None, None)
@example([Link(), Link(("takes_it_back",)), Link()], 0.03, None)
@example([Link(), Link(("takes_it_back",))], 0.03, None)
def test_it_ends_as_with_queues(
    links: list[Link], deadline_s: float | None, cancel_s: float | None
) -> None:
    found: list[World] = []
    for queues in (False, True):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            world = lived(links, deadline_s=deadline_s, cancel_s=cancel_s, queues=queues)
            found.append(runner.run(world))
    assert found[1] == found[0]


@pytest.mark.parametrize("what", EXTREMES)
@pytest.mark.parametrize("last", [True, False])
def test_it_ends_as_with_queues_whatever_happens(what: str, *, last: bool) -> None:
    links = [Link(), Link((what, "give"), attempts=2), *([] if last else [Link()])]
    test_it_ends_as_with_queues.hypothesis.inner_test(links, None, None)


@pytest.mark.parametrize("queues", [False, True])
@pytest.mark.parametrize("last", [True, False])
def test_a_function_that_cancels_the_task_it_runs_in_ends_its_run(
    *, queues: bool, last: bool
) -> None:
    links = [Link(("cancels_its_task",)), *([] if last else [Link(("wait",))])]
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        world = runner.run(lived(links, deadline_s=None, cancel_s=None, queues=queues))
    # In a task of its own that is known to be nobody else's doing.
    ended = "Cancelled: The run was cancelled: external" if queues else "cancelled"
    assert (ended, 0.0) == (world.outcome, world.took_s)
    assert [1] == list(world.counts.values())


@pytest.mark.parametrize("what", [
    "hangs", "keeps_the_cancellation", "fails_when_cancelled", "takes_it_back", "collides_late",
])  # fmt: skip
def test_a_deadline_leaves_nothing_behind_in_the_task(what: str) -> None:
    @virtual
    async def run() -> None:
        runner = runner_of([Link(), Link((what,))], World(), None)
        with pytest.raises(DeadlineExceeded):
            await runner.run(Invocation(1, deadline_s=0.01))
        assert 0 == running().cancelling()
        await asyncio.sleep(1)

    run()


@virtual
async def test_a_cancellation_that_comes_with_the_deadline_is_not_lost() -> None:
    runner = runner_of([Link(), Link(("hangs",))], World(), None)
    task = asyncio.create_task(runner.run(Invocation(1, deadline_s=0.01)))
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    await asyncio.wait({task})
    assert task.cancelled()


async def test_no_task_is_made_for_a_chain() -> None:
    world = World()
    runner = runner_of([Link(), Link(), Link()], world, None)
    made: list[Any] = []
    loop = asyncio.get_running_loop()

    def make(_: Any, coroutine: Any, **named: Any) -> Any:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **named)

    loop.set_task_factory(make)
    assert Value(4) == await runner.run(Invocation(1))
    assert [] == made


@virtual
async def test_a_long_chain_that_never_waits_lets_others_have_the_loop() -> None:
    world = World()
    runner = runner_of([Link()] * 250, world, None)
    seen: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(world.calls)))
    assert Value(251) == await runner.run(Invocation(1))
    assert [100] == seen


@virtual
async def test_what_one_run_was_told_does_not_reach_another() -> None:
    world = World()
    runner = runner_of([Link(("wait",), with_context=True)] * 2, world, None)
    runs = [Invocation(number, labels={"lf.run_id": f"r{number}"}) for number in range(5)]
    outcomes = await asyncio.gather(*(runner.run(each) for each in runs))
    assert [Value(number + 20) for number in range(5)] == outcomes
    await turns()
    assert 10 == len({key for _, _, key in world.calls})


def chain(*surfaces: SurfaceIR, extra: tuple[tuple[str, str], ...] = (), **edge: Any) -> Any:
    nodes = [node_ir("t", kind=NodeKind.TRIGGER), *map(node_ir, "abc")]
    edges: list[EdgeIR] = [edge_ir("t", "a", **edge), edge_ir("a", "b")]
    edges += [edge_ir(*pair) for pair in extra]
    return compile_plan(flow_ir(nodes, edges, list(surfaces)), Ends("t", "b")).chain


def surface(kind: SurfaceKind, targets: list[str], **config: Any) -> SurfaceIR:
    return SurfaceIR(id="s", kind=kind, targets=targets, config={"v": 1} | config)


def test_a_chain_is_one_only_where_nothing_stands_between() -> None:
    assert (0, 1, 2) == chain()
    for plan in (
        chain(timeout_ms=5), chain(partition_key="/k"), chain(ordering=Ordering.UNORDERED),
        chain(extra=(("c", "b"),)), chain(extra=(("b", "c"),)), chain(extra=(("t", "c"),)),
        chain(extra=(("b", "a"),)), chain(buffer=Buffer(max_items=2, spill_tier="disk")),
        chain(surface(SurfaceKind.RATE_LIMIT, ["a"], target="a", qps=1, burst=1)),
        chain(surface(SurfaceKind.ERROR_HANDLER, ["a"], scope={"nodes": ["a"]},
                      strategy="continue")),
        chain(surface(SurfaceKind.FOR_EACH, ["t", "a"], source="t", body_entry="a",
                      items_pointer="")),
        chain(surface(SurfaceKind.WINDOW, ["t", "a"], event_time_pointer="/t", size_ms=5,
                      watermark="m")),
    ):  # fmt: skip
        assert () == plan


def test_a_node_with_a_bound_of_its_own_is_part_of_a_chain() -> None:
    bound = surface(SurfaceKind.TIMEOUT, ["a"], scope={"nodes": ["a"]}, duration_ms=5)
    assert (0, 1, 2) == chain(bound)


def test_a_failure_may_be_named_by_its_text() -> None:
    assert Failure.PERMANENT is NodeError(cast("Failure", "permanent"), "no").failure


async def test_the_payload_is_refused_before_anything_runs() -> None:
    world = World()
    runner = runner_of([Link()], world, None)
    port = port_of(int)
    handler = Handler(function_of("n0", Link(), world), port, port)
    typed = Runner(Program(runner.program.flow, {"n0": handler}))
    with pytest.raises(PortRefused):
        await typed.run(Invocation("no number"))
    assert [] == world.calls
