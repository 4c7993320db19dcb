"""What is written when, and how a run goes on from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import pytest

from conductor_flows.capabilities.rows import MemoryRows, Rows
from conductor_flows.durable.errors import (
    CheckpointNotFound,
    LeaseConflict,
    LeaseLost,
    NothingWaits,
    ResumeExhausted,
    StateCorrupted,
    StillWaiting,
    TokenUnknown,
    TokenUsed,
    VersionIncompatible,
)
from conductor_flows.durable.keeper import RENEWALS
from conductor_flows.durable.ports import Lease, ScheduleStatus, Ticket
from conductor_flows.durable.records import Status
from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import Durability, in_memory, on_rows
from conductor_flows.durable.stores import RowCheckpointStore
from conductor_flows.durable.timers import resume_due
from conductor_flows.execute.errors import DurabilityMissing, FlowError, NodeFailed, PortRefused
from conductor_flows.execute.outcomes import Halt, Halted, Value
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import DurabilityPolicy, NodeDurability, Policies
from conductor_flows.ir.terms import DurabilityMode, Effects, NodeKind
from conductor_sdk.clock import ManualClock
from flow_pieces import edge_ir, flow_ir, node_ir

Handle = Callable[..., Awaitable[Any]]
T = TypeVar("T")


class JsonPort:
    """Takes JSON objects, and what `allowed` says."""

    name = None
    kind = None

    def __init__(self, *keys: str) -> None:
        self._keys = keys

    def decode(self, value: Any) -> Any:
        for key in self._keys:
            if key not in value:
                raise PortRefused(f"{key} is missing", pointer=f"/{key}")
        return value

    def encode(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {}


async def same(value: Any) -> Any:
    return value


def chain(
    *functions: tuple[str, Handle], mode: DurabilityMode = DurabilityMode.PARTIAL,
    halts: tuple[str, ...] = (), version: str = "1.0.0", **policy: Any,
) -> Program:  # fmt: skip
    """Nodes one after the other; those in `halts` give a `Halt`."""
    names = ["trigger", *(name for name, _ in functions)]
    nodes = [
        node_ir(name, kind=NodeKind.INLINE if place else NodeKind.TRIGGER, effects=(
            Effects.EFFECTFUL if name == "effect" else Effects.PURE
        ), durability=NodeDurability(halts=name in halts))
        for place, name in enumerate(names)
    ]  # fmt: skip
    edges = [edge_ir(*pair) for pair in pairwise(names)]
    policies = Policies(durability=DurabilityPolicy(mode=mode, **policy))
    flow = msgspec.structs.replace(flow_ir(nodes, edges, policies=policies), version=version)
    gives = {name: JsonPort("ok") if name in halts else JsonPort() for name in names}
    handlers = {
        name: Handler(function, JsonPort(), gives[name])
        for name, function in [("trigger", same), *functions]
    }
    return Program(flow, handlers)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def durability(clock: ManualClock) -> Durability:
    return in_memory(clock=clock)


def runner(program: Program, durability: Durability | None) -> Runner:
    return Runner(program, Services(durability=durability))


def asks(kind: Any = "approval", after_s: float | None = 60.0, otherwise: Any = None) -> Handle:
    async def halt(value: Any) -> Any:
        return Halt(kind, {"of": value}, after_s, otherwise or {"ok": False})

    return halt


async def halted(program: Program, durability: Durability, payload: Any) -> Halted:
    outcome = await runner(program, durability).run(Invocation(payload))
    assert isinstance(outcome, Halted)
    return outcome


def approval(**more: Any) -> Program:
    async def end(value: Any) -> Any:
        return {"end": value}

    return chain(("ask", asks()), ("end", end), halts=("ask",), **more)


async def test_a_flow_without_a_halt_needs_no_store_in_partial_mode() -> None:
    program = chain(("a", same))
    assert Value({"n": 1}) == await runner(program, None).run(Invocation({"n": 1}))


@pytest.mark.parametrize("mode", [DurabilityMode.PARTIAL, DurabilityMode.STRONG])
async def test_preflight_missing_checkpoint_store(mode: DurabilityMode) -> None:
    program = approval(mode=mode)
    with pytest.raises(DurabilityMissing) as caught:
        await runner(program, None).run(Invocation({}))
    assert "DAG-CKPT-003" == caught.value.code
    assert ["checkpoint_store"] == caught.value.data["missing"]


async def test_preflight_names_every_service_that_is_missing() -> None:
    program = chain(("a", same), mode=DurabilityMode.STRONG, blob_threshold_bytes=10)
    nodes = [*program.flow.nodes, node_ir("t", durability=NodeDurability(halts=True))]
    timer = msgspec.structs.replace(nodes[-1], identifier="std::timer::wait::t")
    call = msgspec.structs.replace(nodes[-1], identifier="std.callback.wait")
    flow = msgspec.structs.replace(program.flow, nodes=[*nodes[:-1], timer, call])
    expected = ["checkpoint_blob_store", "resume_scheduler", "resume_signal_source"]
    lacking = Durability(store=in_memory().store)
    assert expected == lacking.lacks(flow)
    assert ["checkpoint_store"] == Durability().lacks(approval().flow)


async def test_off_writes_nothing_and_partial_only_at_a_halt(durability: Durability) -> None:
    assert durability.store is not None
    off = await halted(approval(mode=DurabilityMode.OFF), durability, {})
    assert (None, None) == (off.checkpoint_id, off.token)
    await runner(chain(("a", same)), durability).run(Invocation({}))
    assert [] == await durability.store.list()
    await halted(approval(), durability, {})
    assert 1 == len(await durability.store.list())


async def test_an_approval_goes_on_with_what_the_signal_brings(durability: Durability) -> None:
    assert durability.store is not None
    wait = await halted(approval(), durability, {"n": 1})
    assert ("ask", {"of": {"n": 1}}) == (wait.alias, wait.payload)
    assert wait.checkpoint_id is not None
    record = await durability.store.get(wait.checkpoint_id)
    assert ["ask"] == record.frontier.pending
    assert ["trigger"] == [each.node_alias for each in record.frontier.completed]
    signal = Signal({"ok": True}, wait.token)
    outcome = await resume(
        runner(approval(), durability), durability, wait.checkpoint_id, signal=signal
    )
    assert Value({"end": {"ok": True}}) == outcome
    assert [] == await durability.store.list()


async def test_an_approval_that_nobody_gives_in_time_is_a_rejection(
    durability: Durability, clock: ManualClock
) -> None:
    wait = await halted(approval(), durability, {})
    again = runner(approval(), durability)
    assert [] == await resume_due(again, durability)
    with pytest.raises(StillWaiting):
        await resume(again, durability, str(wait.checkpoint_id))
    clock.advance(60)
    expected = [(wait.checkpoint_id, Value({"end": {"ok": False}}))]
    assert expected == await resume_due(again, durability)
    assert [] == await resume_due(again, durability)


async def test_timer_wait_halts_with_schedule(durability: Durability, clock: ManualClock) -> None:
    assert durability.scheduler is not None
    assert durability.store is not None
    program = chain(("t", asks("timer", 5.0, {"ok": "passed"})), ("end", same), halts=("t",))
    wait = await halted(program, durability, {})
    assert wait.token is None
    record = await durability.store.get(str(wait.checkpoint_id))
    schedule = str(record.waits[0].schedule_id)
    assert ScheduleStatus.PENDING is await durability.scheduler.status(schedule)
    assert record.resume_after_ms == record.created_at_ms + 5000
    clock.advance(5)
    outcome = await resume(runner(program, durability), durability, record.checkpoint_id)
    assert Value({"ok": "passed"}) == outcome
    assert ScheduleStatus.FIRED is await durability.scheduler.status(schedule)


async def test_callback_wait_resumes_when_signaled_and_its_token_is_for_one_use(
    durability: Durability,
) -> None:
    program = chain(("one", asks("callback")), ("two", asks("callback")), halts=("one", "two"))
    first = await halted(program, durability, {})
    again = runner(program, durability)
    checkpoint = str(first.checkpoint_id)
    with pytest.raises(TokenUnknown):
        await resume(again, durability, checkpoint, signal=Signal({"ok": 1}, "made up"))
    second = await resume(again, durability, checkpoint, signal=Signal({"ok": 1}, first.token))
    assert isinstance(second, Halted)
    assert ("two", checkpoint) == (second.alias, second.checkpoint_id)
    with pytest.raises(TokenUsed):
        await resume(again, durability, checkpoint, signal=Signal({"ok": 2}, first.token))
    last = await resume(again, durability, checkpoint, signal=Signal({"ok": 2}, second.token))
    assert Value({"ok": 2}) == last


async def test_a_signal_that_does_not_fit_is_refused_and_uses_nothing_up(
    durability: Durability,
) -> None:
    wait = await halted(approval(), durability, {})
    again, checkpoint = runner(approval(), durability), str(wait.checkpoint_id)
    with pytest.raises(PortRefused):
        await resume(again, durability, checkpoint, signal=Signal({"no": 1}, wait.token))
    found = await resume(again, durability, checkpoint, signal=Signal({"ok": 1}, wait.token))
    assert isinstance(found, Value)


async def test_an_answer_survives_a_failure_behind_it(durability: Durability) -> None:
    tries: list[int] = []

    async def fails_once(value: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError
        return value

    program = chain(("ask", asks()), ("end", fails_once), halts=("ask",))
    wait = await halted(program, durability, {})
    again, checkpoint = runner(program, durability), str(wait.checkpoint_id)
    with pytest.raises(NodeFailed):
        await resume(again, durability, checkpoint, signal=Signal({"ok": 1}, wait.token))
    assert Value({"ok": 1}) == await resume(again, durability, checkpoint)


async def test_two_waits_at_once_are_ended_one_after_the_other(durability: Durability) -> None:
    async def end(value: Any) -> Any:
        return value

    names = ("trigger", "left", "right", "end")
    nodes = [
        node_ir(name, kind=NodeKind.TRIGGER if name == "trigger" else NodeKind.INLINE,
                durability=NodeDurability(halts=name in {"left", "right"}))
        for name in names
    ]  # fmt: skip
    edges = [edge_ir("trigger", "left"), edge_ir("trigger", "right"), edge_ir("left", "end"),
             edge_ir("right", "end")]  # fmt: skip
    functions = {"trigger": same, "left": asks(), "right": asks(), "end": end}
    handlers = {name: Handler(each, JsonPort(), JsonPort()) for name, each in functions.items()}
    program = Program(flow_ir(nodes, edges), handlers)
    again = runner(program, durability)
    first = await halted(program, durability, {})
    checkpoint = str(first.checkpoint_id)
    second = await resume(again, durability, checkpoint, signal=Signal({"l": 1}, first.token))
    assert isinstance(second, Halted)
    assert "right" == second.alias
    outcome = await resume(again, durability, checkpoint, signal=Signal({"r": 2}))
    assert isinstance(outcome, Value)
    assert [{"l": 1}, {"r": 2}] == sorted(outcome.value, key=str)


async def test_strong_mode_writes_before_anything_begins_that_depends_on_it(
    durability: Durability,
) -> None:
    assert durability.store is not None
    store = durability.store
    seen: list[list[str]] = []

    async def look(value: Any) -> Any:
        record = (await store.list())[0]
        seen.append([each.node_alias for each in record.frontier.completed])
        return value

    program = chain(("a", look), ("effect", look), ("c", look), mode=DurabilityMode.STRONG)
    await runner(program, durability).run(Invocation({}))
    assert [["trigger"], ["trigger", "a"], ["trigger", "a", "effect"]] == seen
    assert [] == await store.list()


class CountedRows(MemoryRows):
    """Counts what would be a commit each."""

    commits = 0

    async def run(self, work: Callable[[Rows], T]) -> T:
        self.commits += 1
        return await super().run(work)


async def test_a_strong_run_of_ten_nodes_is_eleven_commits(clock: ManualClock) -> None:
    rows = CountedRows()
    chained = [(f"n{number}", same) for number in range(9)]
    program = chain(*chained, mode=DurabilityMode.STRONG)
    again = runner(program, on_rows(rows, clock=clock))
    assert Value({"n": 1}) == await again.run(Invocation({"n": 1}))
    assert 11 == rows.commits  # the payload, nine ends that something begins after, the end
    assert [] == rows.keys("") + rows.keys(".leases")


async def test_what_a_run_goes_on_from_does_not_grow_with_the_nodes_behind_it(
    durability: Durability,
) -> None:
    assert durability.store is not None
    store, sizes = durability.store, list[int]()

    async def look(value: Any) -> Any:
        (record,) = await store.list()
        sizes.append(len(bytes(record.state.data)))
        return value

    chained = [(f"n{number}", look) for number in range(10, 50)]
    program = chain(*chained, mode=DurabilityMode.STRONG)
    assert Value({}) == await runner(program, durability).run(Invocation({}))
    assert max(sizes) - min(sizes) <= 1  # the number of the edge


def diamond(end: Handle, *, mode: DurabilityMode, halts: bool = False) -> Program:
    """Two ways that meet at `end`, which takes turns."""
    functions: dict[str, Handle] = {"trigger": same, "left": same, "right": same, "end": end}
    nodes = [
        node_ir(name, kind=NodeKind.TRIGGER if name == "trigger" else NodeKind.INLINE,
                durability=NodeDurability(halts=halts and name == "end"))
        for name in functions
    ]  # fmt: skip
    edges = [edge_ir("trigger", "left"), edge_ir("trigger", "right"), edge_ir("left", "end"),
             edge_ir("right", "end")]  # fmt: skip
    policies = Policies(durability=DurabilityPolicy(mode=mode))
    handlers = {name: Handler(each, JsonPort(), JsonPort()) for name, each in functions.items()}
    return Program(flow_ir(nodes, edges, policies=policies), handlers)


async def test_an_answer_that_others_are_still_to_come_after_is_written(
    durability: Durability,
) -> None:
    assert durability.store is not None
    calls: list[int] = []

    async def second_fails(value: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise LookupError
        return value

    again = runner(diamond(second_fails, mode=DurabilityMode.STRONG), durability)
    with pytest.raises(NodeFailed):
        await again.run(Invocation({"n": 1}))
    (record,) = await durability.store.list()
    outcome = await resume(again, durability, record.checkpoint_id)
    assert Value([{"n": 1}, {"n": 1}]) == outcome
    assert 3 == len(calls)


async def test_a_record_says_whose_turn_it_is_where_ways_meet(durability: Durability) -> None:
    assert durability.store is not None
    program = diamond(asks(), mode=DurabilityMode.PARTIAL, halts=True)
    wait = await halted(program, durability, {})
    record = await durability.store.get(str(wait.checkpoint_id))
    nodes = msgspec.json.decode(bytes(record.state.data))["nodes"]
    assert [(3, 1)] == [(each["node"], each["turn"]) for each in nodes]


async def test_a_record_that_is_kept_knows_the_end_of_every_node(durability: Durability) -> None:
    assert durability.store is not None
    program = chain(("a", same), mode=DurabilityMode.STRONG, retain_completed_for=60_000)
    await runner(program, durability).run(Invocation({}))
    (record,) = await durability.store.list(status=Status.COMPLETED)
    assert ["trigger", "a"] == [each.node_alias for each in record.frontier.completed]
    assert [] == record.frontier.pending


async def test_a_crash_before_the_end_is_written_repeats_the_last_node_with_its_key(
    durability: Durability,
) -> None:
    assert durability.store is not None
    keys: list[str] = []

    async def last(value: Any, context: Any) -> Any:
        keys.append(context.idempotency_key)
        return value

    program = chain(("effect", same), mode=DurabilityMode.STRONG)
    handlers = {**program.handlers, "effect": Handler(last, JsonPort(), JsonPort(), True)}
    program, ack = Program(program.flow, handlers), durability.store.ack

    async def dies(*_: Any, **__: Any) -> None:
        raise FlowError("no power")

    durability.store.ack = dies  # type: ignore[method-assign]  # it dies here
    with pytest.raises(FlowError, match="no power"):
        await runner(program, durability).run(Invocation({"n": 1}))
    durability.store.ack = ack  # type: ignore[method-assign]  # and is back
    (record,) = await durability.store.list()
    found = await resume(runner(program, durability), durability, record.checkpoint_id)
    assert Value({"n": 1}) == found
    assert (2, 1) == (len(keys), len(set(keys)))


async def test_a_failed_run_in_strong_mode_goes_on_from_where_it_failed(
    durability: Durability,
) -> None:
    assert durability.store is not None
    calls: list[str] = []
    broken = [True]

    async def effect(value: Any) -> Any:
        calls.append("effect")
        return {"n": value["n"] + 1}

    async def fails(value: Any) -> Any:
        calls.append("last")
        if broken.pop() if broken else False:
            raise LookupError
        return value

    program = chain(
        ("effect", effect), ("last", fails), mode=DurabilityMode.STRONG, retain_completed_for=60_000
    )
    with pytest.raises(NodeFailed):
        await runner(program, durability).run(Invocation({"n": 1}))
    (record,) = await durability.store.list(status=Status.FAILED)
    assert 1 == len(record.idempotency.consumed["effect"])
    outcome = await resume(runner(program, durability), durability, record.checkpoint_id)
    assert Value({"n": 2}) == outcome
    assert ["effect", "last", "last"] == calls
    assert [Status.COMPLETED] == [
        each.status(each.created_at_ms) for each in await durability.store.list()
    ]
    with pytest.raises(CheckpointNotFound, match="completed"):
        await resume(runner(program, durability), durability, record.checkpoint_id)


async def test_resume_metadata_includes_checkpoint_and_resume_ids(durability: Durability) -> None:
    seen: list[Any] = []

    async def look(value: Any, context: Any) -> Any:
        seen.append(context.run)
        return value

    program = approval()
    handlers = {**program.handlers, "end": Handler(look, JsonPort(), JsonPort(), True)}
    program = Program(program.flow, handlers)
    wait = await halted(program, durability, {})
    await resume(
        runner(program, durability), durability, str(wait.checkpoint_id), signal=Signal({"ok": 1})
    )
    (run,) = seen
    assert wait.checkpoint_id == run.labels["lf.checkpoint_id"]
    assert "1" == run.labels["lf.resume_attempt"]
    assert run.labels["lf.resume_id"].startswith("resume-")
    assert run.labels["lf.run_id"] == run.run_id
    assert ["ask"] == run.extensions["lf.resume"]["frontier"]["pending"]


async def test_a_run_that_is_under_way_is_not_resumed(durability: Durability) -> None:
    assert durability.store is not None
    store = durability.store
    program: list[Program] = []

    async def intrude(value: Any) -> Any:
        record = (await store.list())[0]
        with pytest.raises(LeaseConflict) as caught:
            await resume(runner(program[0], durability), durability, record.checkpoint_id)
        assert "DAG-CKPT-007" == caught.value.code
        return value

    program.append(chain(("a", intrude), mode=DurabilityMode.STRONG))
    assert Value({}) == await runner(program[0], durability).run(Invocation({}))


async def test_a_lease_that_somebody_else_has_taken_ends_the_run_and_says_nothing_of_it(
    durability: Durability, clock: ManualClock
) -> None:
    assert durability.store is not None
    store, stuck = durability.store, asyncio.Event()

    async def wait(value: Any) -> Any:
        clock.advance(1)  # the lease runs out while the run is busy
        await store.lease((await store.list())[0].checkpoint_id, 60)
        await stuck.wait()
        return value

    program = chain(("a", wait), mode=DurabilityMode.STRONG, lease_ttl=60)
    with pytest.raises(LeaseLost):
        await runner(program, durability).run(Invocation({}))
    (record,) = await store.list()
    assert None is record.failed
    with pytest.raises(LeaseConflict):
        await store.lease(record.checkpoint_id, 60)


async def test_a_run_goes_on_though_the_clock_has_jumped_over_its_lease(
    durability: Durability, clock: ManualClock
) -> None:
    async def sleep(value: Any) -> Any:
        clock.jump(3600)
        return value

    async def wake(value: Any) -> Any:
        clock.jump(-7200)
        return value

    program = chain(("a", sleep), ("b", wake), ("c", same), mode=DurabilityMode.STRONG)
    assert Value({}) == await runner(program, durability).run(Invocation({}))
    assert durability.store is not None
    assert [] == await durability.store.list()


@pytest.mark.parametrize(("failures", "survives"), [(RENEWALS - 1, True), (RENEWALS, False)])
async def test_a_store_that_fails_for_a_moment_costs_no_lease(
    durability: Durability, failures: int, survives: bool
) -> None:
    renewed, left = asyncio.Event(), [failures]

    class Flaky(RowCheckpointStore):
        async def renew(self, lease: Lease, ttl_s: float) -> Lease:
            if left[0]:
                left[0] -= 1
                raise OSError(28, "No space left on device")
            renewed.set()
            return await super().renew(lease, ttl_s)

    async def wait(value: Any) -> Any:
        await renewed.wait()
        return value

    assert durability.rows is not None
    places = Durability(store=Flaky(durability.rows))
    run = runner(chain(("a", wait), mode=DurabilityMode.STRONG, lease_ttl=200), places)
    if survives:
        assert Value({}) == await run.run(Invocation({}))
        return
    with pytest.raises(FlowError, match="the lease could not be renewed"):
        await run.run(Invocation({}))


async def test_an_answer_that_nothing_waits_for_is_refused_and_the_kept_one_may_come_again(
    durability: Durability,
) -> None:
    broken = [True, True]

    async def fails(value: Any) -> Any:
        if broken and broken.pop():
            raise LookupError
        return value

    program = chain(("ask", asks()), ("end", fails), halts=("ask",))
    checkpoint = str((await halted(program, durability, {})).checkpoint_id)
    again = runner(program, durability)
    for _ in range(2):
        with pytest.raises(NodeFailed):
            await resume(again, durability, checkpoint, signal=Signal({"ok": True}))
    with pytest.raises(NothingWaits) as caught:
        await resume(again, durability, checkpoint, signal=Signal({"ok": False}))
    assert "FLOW_NOTHING_WAITS" == caught.value.code
    assert Value({"ok": True}) == await resume(again, durability, checkpoint)


async def test_a_token_whose_wait_was_never_written_brings_nothing(
    durability: Durability,
) -> None:
    program = approval()
    wait = await halted(program, durability, {})
    assert durability.signals is not None
    ticket = Ticket(str(wait.checkpoint_id), "another")
    token = await durability.signals.create_token(ticket)
    with pytest.raises(TokenUnknown):
        await resume(
            runner(program, durability), durability, str(wait.checkpoint_id),
            signal=Signal({"ok": True}, token),
        )  # fmt: skip
    assert ticket == await durability.signals.peek(token)


async def test_a_token_that_a_crash_has_left_brings_no_second_answer(
    durability: Durability,
) -> None:
    async def fails(value: Any) -> Any:
        raise LookupError

    program = chain(("ask", asks()), ("end", fails), halts=("ask",))
    wait = await halted(program, durability, {})
    checkpoint, again = str(wait.checkpoint_id), runner(program, durability)
    with pytest.raises(NodeFailed):
        await resume(again, durability, checkpoint, signal=Signal({"ok": 1}))
    with pytest.raises(TokenUsed):
        await resume(again, durability, checkpoint, signal=Signal({"ok": 2}, wait.token))
    with pytest.raises(NodeFailed):  # whoever asks again, as the process had died, brings the same
        await resume(again, durability, checkpoint, signal=Signal({"ok": 1}, wait.token))


@pytest.mark.parametrize("more", [True, False])
async def test_a_run_whose_lease_was_taken_over_writes_no_more(
    durability: Durability, clock: ManualClock, more: bool
) -> None:
    assert durability.store is not None
    store = durability.store
    calls: list[str] = []

    async def lose(value: Any) -> Any:
        clock.advance(60)
        await store.lease((await store.list())[0].checkpoint_id, 60)
        return value

    async def after(value: Any) -> Any:
        calls.append("after")
        return value

    chained = [("a", lose), *([("effect", after)] if more else [])]
    program = chain(*chained, mode=DurabilityMode.STRONG)
    with pytest.raises(LeaseLost):
        await runner(program, durability).run(Invocation({}))
    assert [] == calls
    assert 1 == len(await store.list())


async def test_another_version_and_a_changed_flow_are_refused(durability: Durability) -> None:
    wait = await halted(approval(), durability, {})
    changed = chain(("ask", asks()), ("more", same), ("end", same), halts=("ask",))
    for program in (approval(version="2.0.0"), changed):
        with pytest.raises(VersionIncompatible) as caught:
            await resume(runner(program, durability), durability, str(wait.checkpoint_id),
                         signal=Signal({"ok": 1}))  # fmt: skip
        assert "DAG-CKPT-009" == caught.value.code
    again = await resume(runner(approval(), durability), durability, str(wait.checkpoint_id),
                         signal=Signal({"ok": 1}))  # fmt: skip
    assert isinstance(again, Value)


async def test_resuming_is_given_up_after_as_many_attempts_as_the_flow_allows(
    durability: Durability,
) -> None:
    async def fails(value: Any) -> Any:
        raise LookupError

    program = chain(("ask", asks()), ("end", fails), halts=("ask",), max_resume_attempts=2)
    wait = await halted(program, durability, {})
    again, checkpoint = runner(program, durability), str(wait.checkpoint_id)
    for _ in range(2):
        with pytest.raises(NodeFailed):
            await resume(again, durability, checkpoint, signal=Signal({"ok": 1}))
    with pytest.raises(ResumeExhausted):
        await resume(again, durability, checkpoint)


async def test_a_checkpoint_that_is_unknown_or_too_old_is_not_found(
    durability: Durability, clock: ManualClock
) -> None:
    program = approval(checkpoint_ttl=10_000)
    wait = await halted(program, durability, {})
    again = runner(program, durability)
    with pytest.raises(CheckpointNotFound) as caught:
        await resume(again, durability, "cp-unknown")
    assert "DAG-CKPT-006" == caught.value.code
    clock.advance(10)
    with pytest.raises(CheckpointNotFound, match="expired"):
        await resume(again, durability, str(wait.checkpoint_id), signal=Signal({"ok": 1}))
    assert isinstance(durability.store, RowCheckpointStore)
    assert 1 == await durability.store.collect()
    assert [] == await durability.store.list()


async def test_a_large_state_stands_in_a_blob_that_is_checked(durability: Durability) -> None:
    assert durability.store is not None
    assert durability.blobs is not None
    assert durability.rows is not None
    program, big = approval(blob_threshold_bytes=1000), {"big": "x" * 2000}
    wait = await halted(program, durability, big)
    checkpoint = str(wait.checkpoint_id)
    record = await durability.store.get(checkpoint)
    (ref,) = record.state.blobs
    assert f"blob://checkpoint/{checkpoint}/state.1" == ref.ref_id
    assert ref.size_bytes > 2000
    good = await durability.blobs.get_checkpoint_blob(ref)
    again, signal = runner(program, durability), Signal({"ok": 1})
    await durability.rows.run(
        lambda rows: rows.put(".blobs", f"{checkpoint}/state.1", good.replace(b"x", b"y", 1))
    )
    with pytest.raises(StateCorrupted) as caught:
        await resume(again, durability, checkpoint, signal=signal)
    assert "DAG-CKPT-008" == caught.value.code
    await durability.rows.run(lambda rows: rows.put(".blobs", f"{checkpoint}/state.1", good))
    assert isinstance(await resume(again, durability, checkpoint, signal=signal), Value)
    assert [] == await durability.rows.run(lambda rows: rows.keys(".blobs"))


async def test_a_store_that_fails_fails_the_run(durability: Durability) -> None:
    class Full(RowCheckpointStore):
        async def put(self, *_: Any) -> None:
            raise FlowError("no space")

    assert durability.rows is not None
    places = Durability(store=Full(durability.rows))
    with pytest.raises(FlowError, match="no space"):
        await runner(chain(("a", same), mode=DurabilityMode.STRONG), places).run(Invocation({}))


async def test_nothing_begins_while_a_record_is_being_written(durability: Durability) -> None:
    calls: list[str] = []
    instances: list[Any] = []

    class Driving(RowCheckpointStore):
        """Something else may drive the run at any time, as an alarm does."""

        async def put(self, *record: Any) -> None:
            before = list(calls)
            for instance in instances:
                instance.drive()
            await asyncio.sleep(0)
            assert before == calls
            await super().put(*record)

    def noting(name: str) -> Handle:
        async def call(value: Any) -> Any:
            calls.append(name)
            return value

        return call

    assert durability.rows is not None
    places = Durability(store=Driving(durability.rows))
    program = chain(("a", noting("a")), ("b", noting("b")), mode=DurabilityMode.STRONG)
    again = runner(program, places)
    bound, run = again.bound(None), again.info(Invocation({}), Ends("trigger", "b"))
    keeper = places.keeper(program.flow, Ends("trigger", "b"), bound, run)
    instances.append(again.instance(bound, run, keeper))

    async def begin() -> None:
        await instances[0].send({})
        await keeper.begun(instances[0])
        instances[0].drive()

    assert Value({}) == await again.conclude(instances[0], bound, begin)
    assert ["a", "b"] == calls
