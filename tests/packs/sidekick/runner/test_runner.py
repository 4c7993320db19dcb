"""Routines that are due: once each, step by step, with keys that keep a crash from repeating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from conductor_packs.sidekick.records import ROUTINES, RUNS, Routine, RoutineRun, RoutineStep
from conductor_packs.sidekick.runner import KIND, Runner
from conductor_packs.sidekick.schedule import due_time, next_time
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_sdk.clock import ManualClock, wire_time
from conductor_sdk.context import PushReceipt
from conductor_sdk.tool_output import ToolOutput, failed, succeeded

START = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(BaseException):
    """The process died here."""


class Tools:
    """A tool host in miniature: an answer is kept by its key, and the effect happens once."""

    def __init__(self) -> None:
        self.effects: list[tuple[str, Mapping[str, Any]]] = []
        self.keys: list[str | None] = []
        self.answers: dict[str, ToolOutput] = {}
        self.refusals: dict[str, list[ToolOutput]] = {}
        self.crash_after: int | None = None

    async def call(
        self, tool: str, input: Mapping[str, Any] | None = None, *,  # noqa: A002  the port's word
        key: str | None = None,
    ) -> ToolOutput:  # fmt: skip
        self.keys.append(key)
        if key in self.answers:
            return self.answers[key]
        if self.refusals.get(tool):
            return self.refusals[tool].pop(0)
        self.effects.append((tool, dict(input or {})))
        output = succeeded({"n": len(self.effects)})
        if key is not None:
            self.answers[key] = output
        if self.crash_after == len(self.effects):
            self.crash_after = None
            raise Crash
        return output

    def names(self) -> Sequence[str]:
        return ()


class Quiet:
    def info(self, event: str, **fields: object) -> None: ...

    debug = warning = error = info


class Context:
    """What the runner reads of a `PackContext`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.tools = Tools()
        self.log = Quiet()
        self.pushed: dict[str, Mapping[str, Any]] = {}
        self.crash_at_push = False

    async def push(
        self, kind: str, payload: Mapping[str, Any], *, key: str | None = None
    ) -> PushReceipt:
        assert (kind, key is not None) == (KIND, True)
        self.pushed[str(key)] = payload
        if self.crash_at_push:
            self.crash_at_push = False
            raise Crash
        return PushReceipt(str(key), kind, "queued")


class World:
    """One workspace through several lives of its daemon."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.storage = MemoryStoragePort(clock=self.clock)
        self.ctx = Context(self.clock)
        self.start()

    def start(self) -> None:
        self.runner = Runner(self.storage, self.ctx)  # type: ignore[arg-type]  # a part of a context

    async def routine(self, *tools: str, cron: str | None = "0 * * * *", **fields: Any) -> Routine:
        stamp = wire_time(self.clock.now())
        routine = Routine(
            id="routine-1", name="hourly", cron=cron, created_at=stamp, updated_at=stamp,
            steps=tuple(RoutineStep(tool, {"i": index}) for index, tool in enumerate(tools)),
            **fields,
        )  # fmt: skip
        await self.storage.change(lambda change: change.put(ROUTINES, routine))
        return routine

    async def runs(self) -> list[RoutineRun]:
        return await self.storage.read(lambda view: view.records(RUNS))

    async def crashes(self) -> None:
        with pytest.raises(Crash):
            await self.runner.run_due()
        self.start()


@pytest.fixture
def world() -> World:
    return World()


async def test_a_due_routine_calls_its_steps_in_order_with_a_key_for_each(world: World) -> None:
    await world.routine("task:create", "memory:store")
    assert await world.runner.run_due() == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert world.ctx.tools.effects == []
    world.clock.advance(3600)
    assert await world.runner.run_due() == datetime(2026, 1, 1, 2, tzinfo=UTC)
    assert world.ctx.tools.effects == [("task:create", {"i": 0}), ("memory:store", {"i": 1})]
    assert world.ctx.tools.keys == [
        "routine-1:2026-01-01T01:00:00.000Z:0", "routine-1:2026-01-01T01:00:00.000Z:1",
    ]  # fmt: skip
    [run] = await world.runs()
    assert (run.state, run.due_at, [step.success for step in run.steps]) == (
        "succeeded", "2026-01-01T01:00:00.000Z", [True, True],
    )  # fmt: skip
    await world.runner.run_due()
    assert len(world.ctx.tools.effects) == 2


async def test_a_run_is_pushed_and_audited(world: World) -> None:
    await world.routine("task:create")
    world.clock.advance(3600)
    await world.runner.run_due()
    [run] = await world.runs()
    assert world.ctx.pushed == {
        f"{run.id}:succeeded": {
            "routine_id": "routine-1", "run_id": run.id, "due_at": run.due_at,
            "state": "succeeded", "steps": 1,
        }
    }  # fmt: skip
    [event] = await world.storage.audit_events()
    assert (event.op, event.actor, event.ids) == (
        "execute", "sidekick:runner", ("routine-1", run.id),
    )  # fmt: skip


async def test_times_that_were_missed_are_one_run_the_latest(world: World) -> None:
    await world.routine("task:create")
    world.clock.advance(10 * 3600 + 60)
    for _ in range(3):
        await world.runner.run_due()
    assert [run.due_at for run in await world.runs()] == ["2026-01-01T10:00:00.000Z"]


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_a_crash_after_any_step_repeats_none_of_them(world: World, after: int) -> None:
    await world.routine("a", "b", "c")
    world.clock.advance(3600)
    world.ctx.tools.crash_after = after
    await world.crashes()
    world.clock.advance(5)
    await world.runner.run_due()
    assert [tool for tool, _ in world.ctx.tools.effects] == ["a", "b", "c"]
    assert [run.state for run in await world.runs()] == ["succeeded"]


async def test_a_crash_between_push_and_store_pushes_the_same_event_again(world: World) -> None:
    await world.routine("a")
    world.clock.advance(3600)
    world.ctx.crash_at_push = True
    await world.crashes()
    await world.runner.run_due()
    assert (len(world.ctx.pushed), len(world.ctx.tools.effects)) == (1, 1)


async def test_a_clock_that_goes_back_repeats_nothing(world: World) -> None:
    await world.routine("a")
    world.clock.advance(3600)
    await world.runner.run_due()
    world.clock.jump(-1800)
    await world.runner.run_due()
    world.clock.advance(1800)
    await world.runner.run_due()
    assert len(world.ctx.tools.effects) == 1
    world.clock.advance(3600)
    await world.runner.run_due()
    assert len(world.ctx.tools.effects) == 2


async def test_a_clock_that_was_far_ahead_and_comes_back_does_not_stop_the_routine(
    world: World,
) -> None:
    await world.routine("a")
    world.clock.jump(400 * 86_400)
    await world.runner.run_due()
    world.clock.jump(-400 * 86_400)
    world.clock.advance(3600)
    await world.runner.run_due()
    assert len(world.ctx.tools.effects) == 2


async def test_a_failure_stops_the_run(world: World) -> None:
    await world.routine("a", "b", "c")
    world.ctx.tools.refusals["b"] = [failed("SCOPE_DENIED", "no")]
    world.clock.advance(3600)
    await world.runner.run_due()
    await world.runner.run_due()
    [run] = await world.runs()
    assert ([tool for tool, _ in world.ctx.tools.effects], run.state, run.error) == (
        ["a"], "failed", "step 1: SCOPE_DENIED",
    )  # fmt: skip
    assert [(step.success, step.code) for step in run.steps] == [
        (True, None),
        (False, "SCOPE_DENIED"),
    ]


async def test_a_step_whose_call_was_interrupted_is_not_repeated(world: World) -> None:
    await world.routine("a", "b")
    world.ctx.tools.refusals["a"] = [failed("CALL_INTERRUPTED", "the daemon died")]
    world.clock.advance(3600)
    await world.runner.run_due()
    assert [run.state for run in await world.runs()] == ["interrupted"]
    assert world.ctx.tools.effects == []


async def test_a_run_waits_for_an_approval_and_goes_on_when_it_is_given(world: World) -> None:
    await world.routine("a", "memory:forget", "c")
    asks = failed("APPROVAL_REQUIRED", "ask", details={"request_id": "req-1"})
    world.ctx.tools.refusals["memory:forget"] = [asks, asks]
    world.clock.advance(3600)
    due = await world.runner.run_due()
    [run] = await world.runs()
    assert (run.state, run.error) == ("running", "waits for approval req-1")
    assert due is not None
    assert (due - world.clock.now()).total_seconds() == 60
    await world.runner.run_due()
    assert len(world.ctx.tools.keys) == 2  # not asked again before its time
    for _ in range(2):
        world.clock.advance(60)
        await world.runner.run_due()
    [run] = await world.runs()
    assert ([tool for tool, _ in world.ctx.tools.effects], run.state) == (
        ["a", "memory:forget", "c"], "succeeded",
    )  # fmt: skip


async def test_a_run_that_waits_too_long_failed(world: World) -> None:
    await world.routine("memory:forget")
    asks = failed("APPROVAL_REQUIRED", "ask", details={"request_id": "req-1"})
    world.ctx.tools.refusals["memory:forget"] = [asks] * 5
    world.clock.advance(3600)
    await world.runner.run_due()
    world.clock.advance(86_400)
    await world.runner.run_due()
    assert (await world.runs())[0].state == "failed"


async def test_a_denied_approval_fails_the_run(world: World) -> None:
    await world.routine("memory:forget")
    world.ctx.tools.refusals["memory:forget"] = [failed("APPROVAL_DENIED", "no")]
    world.clock.advance(3600)
    await world.runner.run_due()
    assert [run.state for run in await world.runs()] == ["failed"]


async def test_a_routine_that_is_changed_while_its_run_waits_ends_the_run(world: World) -> None:
    await world.routine("memory:forget")
    world.ctx.tools.refusals["memory:forget"] = [failed("APPROVAL_REQUIRED", "ask")]
    world.clock.advance(3600)
    await world.runner.run_due()
    world.clock.advance(60)
    await world.routine("other")
    await world.runner.run_due()
    assert (await world.runs())[0].state == "interrupted"
    assert world.ctx.tools.effects == []


@pytest.mark.parametrize("fields", [{"enabled": False}, {"cron": None}])
async def test_what_is_not_enabled_or_has_no_schedule_is_never_run(
    world: World, fields: dict[str, Any]
) -> None:
    await world.routine("a", **fields)
    world.clock.advance(86_400)
    assert await world.runner.run_due() is None
    assert world.ctx.tools.effects == []


async def test_of_two_runners_one_runs_it(world: World) -> None:
    import asyncio

    await world.routine("a")
    world.clock.advance(3600)
    other = Runner(world.storage, world.ctx)  # type: ignore[arg-type]  # a part of a context
    await asyncio.gather(world.runner.run_due(), other.run_due())
    assert (len(world.ctx.tools.effects), len(await world.runs())) == (1, 1)


def routine(cron: str, **fields: Any) -> Routine:
    stamp = "2026-01-01T00:00:00.000Z"
    return Routine(
        id="r", name="n", steps=(), cron=cron, created_at=stamp, updated_at=stamp, **fields
    )


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-01-01T08:59:59.900+00:00", None),
        ("2026-01-01T09:00:00+00:00", "2026-01-01T09:00:00+00:00"),
        ("2026-01-01T23:00:00+00:00", "2026-01-01T09:00:00+00:00"),
        ("2026-01-09T08:00:00+00:00", "2026-01-08T09:00:00+00:00"),
    ],
)
def test_the_due_time_is_the_latest_that_has_come(now: str, expected: str | None) -> None:
    due = due_time(routine("0 9 * * *"), datetime.fromisoformat(now))
    assert (due and due.isoformat()) == expected


def test_a_schedule_that_was_spoilt_in_the_file_is_never_due() -> None:
    spoilt = routine("every now and then")
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert (due_time(spoilt, now), next_time(spoilt, now)) == (None, None)


def test_what_was_missed_before_a_routine_was_changed_is_not_made_up_for() -> None:
    changed = routine("0 9 * * *")
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert due_time(changed, now) is not None
    import msgspec

    changed = msgspec.structs.replace(changed, updated_at="2026-01-05T11:00:00.000Z")
    assert due_time(changed, now) is None
    assert next_time(changed, now) == datetime(2026, 1, 6, 9, tzinfo=UTC)
