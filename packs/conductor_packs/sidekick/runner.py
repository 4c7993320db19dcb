"""The runner: due routines, step by step, through the tool host.

Promise: one run for each due time, in whatever process; a step that was answered is not called
again, since its call has the key `<routine>:<due time>:<step>`. A run stops at the first failure,
and waits at a step that needs an approval. Refusal: nothing is substituted in a step's input, and
without `run_routines` nothing runs at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from conductor_packs.sidekick.records import (
    ROUTINES,
    RUNS,
    Routine,
    RoutineRun,
    RunState,
    RunStep,
)
from conductor_packs.sidekick.schedule import due_time, next_time
from conductor_packs.sidekick.storage.port import Change, StoragePort, View
from conductor_packs.sidekick.times import read_moment
from conductor_sdk.clock import wire_time
from conductor_sdk.context import PackContext
from conductor_sdk.tool_output import ToolOutput

KIND = "sidekick:routine_run"
TOOL = "routine:run"
ACTOR = "sidekick:runner"
RUNS_KEPT = 100
"""How many runs of each routine are kept."""
ASK_AGAIN_S = 60.0
"""How often a step that waits for an approval is tried."""
WAIT_MAX = timedelta(days=1)
"""How long after its begin a run may wait; then it failed."""
_WAITING = frozenset({"APPROVAL_REQUIRED", "CALL_IN_PROGRESS"})


@dataclass(slots=True)
class Runner:
    """Runs the routines of one workspace."""

    storage: StoragePort
    ctx: PackContext
    _not_before: dict[str, datetime] = field(default_factory=dict[str, datetime])

    async def run_due(self) -> datetime | None:
        """Go on with what was begun, then run what is due.

        Returns when there is something to do next; None: nothing is scheduled.
        """
        for run in await self.storage.read(_unfinished):
            if self._not_before.get(run.id, self.ctx.clock.now()) <= self.ctx.clock.now():
                await self._go_on(run)
        for routine in await self.storage.read(_scheduled):
            begun = await self._begin(routine.id)
            if begun is not None:
                await self._go_on(begun)
        return await self.storage.read(self._next)

    async def _begin(self, routine_id: str) -> RoutineRun | None:
        """Store that a run begins, together with the due time that it serves."""
        now = self.ctx.clock.now()

        def begin(change: Change) -> RoutineRun | None:
            routine = change.get(ROUTINES, routine_id)
            due = None if routine is None else due_time(routine, now)
            if routine is None or due is None or _is_running(change, routine_id):
                return None
            stamp = wire_time(due)
            change.put(ROUTINES, msgspec.structs.replace(routine, last_run_at=stamp))
            if any(r.due_at == stamp and r.routine_id == routine_id for r in change.records(RUNS)):
                return None
            run = RoutineRun(
                id=change.new_id(RUNS), routine_id=routine_id, due_at=stamp,
                started_at=wire_time(now),
            )  # fmt: skip
            change.put(RUNS, run)
            return run

        return await self.storage.change(begin)

    async def _go_on(self, run: RoutineRun) -> None:
        """Call the steps that were not answered yet."""
        routine = await self.storage.read(lambda view: view.get(ROUTINES, run.routine_id))
        if routine is None or routine.updated_at > run.started_at:
            await self._finish(run, "interrupted", "the routine was changed or removed meanwhile")
            return
        run = msgspec.structs.replace(
            run, steps=tuple(s for s in run.steps if s.success), error=None
        )
        for index in range(len(run.steps), len(routine.steps)):
            output = await self._call(routine, run, index)
            run = _with_step(run, index, routine.steps[index].tool, output)
            if output.success:
                await self.storage.change(_put(run))
                continue
            await self._stopped(run, output)
            return
        await self._finish(run, "succeeded")

    async def _call(self, routine: Routine, run: RoutineRun, index: int) -> ToolOutput:
        step = routine.steps[index]
        key = f"{routine.id}:{run.due_at}:{index}"
        return await self.ctx.tools.call(step.tool, step.input, key=key)

    async def _stopped(self, run: RoutineRun, output: ToolOutput) -> None:
        code = output.error.code if output.error else "TOOL_EXECUTION_FAILED"
        waited = self.ctx.clock.now() - read_moment(run.started_at)
        if code in _WAITING and waited < WAIT_MAX:
            waits = msgspec.structs.replace(run, error=_waiting_for(output))
            await self.storage.change(_put(waits))
            again = self.ctx.clock.now() + timedelta(seconds=ASK_AGAIN_S)
            self._not_before[run.id] = again
            return
        state: RunState = "interrupted" if code == "CALL_INTERRUPTED" else "failed"
        await self._finish(run, state, f"step {len(run.steps) - 1}: {code}")

    async def _finish(self, run: RoutineRun, state: RunState, error: str | None = None) -> None:
        now = wire_time(self.ctx.clock.now())
        done = msgspec.structs.replace(run, state=state, error=error, finished_at=now)
        # Pushed first: after a crash in between it is pushed again with the same id, and is one.
        await self.ctx.push(KIND, _payload(done), key=f"{run.id}:{state}")

        def finish(change: Change) -> None:
            change.put(RUNS, done)
            change.audit(
                "execute", TOOL, actor=ACTOR, ids=(run.routine_id, run.id),
                details={"due_at": run.due_at, "outcome": state, "steps": len(run.steps)},
            )  # fmt: skip
            mine = [each for each in change.records(RUNS) if each.routine_id == run.routine_id]
            for old in mine[: max(0, len(mine) - RUNS_KEPT)]:
                change.remove(RUNS, old.id)

        await self.storage.change(finish)
        self._not_before.pop(run.id, None)
        self.ctx.log.info(
            "routine_run", routine=run.routine_id, run=run.id, state=state, error=error
        )

    def _next(self, view: View) -> datetime | None:
        now = self.ctx.clock.now()
        waiting = [self._not_before.get(run.id, now) for run in _unfinished(view)]
        coming = [next_time(routine, now) for routine in _scheduled(view)]
        return min([*waiting, *(when for when in coming if when is not None)], default=None)


def _with_step(run: RoutineRun, index: int, tool: str, output: ToolOutput) -> RoutineRun:
    metadata = output.metadata or {}
    call_id, duration_ms = metadata.get("call_id"), metadata.get("duration_ms")
    step = RunStep(
        index=index, tool=tool, success=output.success,
        code=output.error.code if output.error else None,
        call_id=call_id if isinstance(call_id, str) else None,
        duration_ms=duration_ms if isinstance(duration_ms, int) else None,
    )  # fmt: skip
    return msgspec.structs.replace(run, steps=(*run.steps, step))


def _waiting_for(output: ToolOutput) -> str:
    error = output.error
    details = (error.details if error else None) or {}
    asked = details.get("request_id")
    return f"waits for approval {asked}" if asked else "waits for a call that is still running"


def _payload(run: RoutineRun) -> dict[str, object]:
    told: dict[str, object] = {
        "routine_id": run.routine_id,
        "run_id": run.id,
        "due_at": run.due_at,
        "state": run.state,
        "steps": len(run.steps),
    }
    return {**told, "error": run.error} if run.error else told


def _put(run: RoutineRun) -> _Put:
    return _Put(run)


@dataclass(frozen=True, slots=True)
class _Put:
    run: RoutineRun

    def __call__(self, change: Change) -> None:
        change.put(RUNS, self.run)


def _unfinished(view: View) -> list[RoutineRun]:
    return [run for run in view.records(RUNS) if run.state == "running"]


def _is_running(view: View, routine_id: str) -> bool:
    return any(run.routine_id == routine_id for run in _unfinished(view))


def _scheduled(view: View) -> list[Routine]:
    return [each for each in view.records(ROUTINES) if each.enabled and each.cron is not None]
