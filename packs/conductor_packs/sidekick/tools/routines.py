"""The routine tools.

Promise: a routine is a plan; running one returns its calls and makes none. A step that is left out
or doubtful is named with its index. Refusal: nothing is substituted in a step's input, and no
schedule is kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from conductor_packs.sidekick.descriptors import (
    ROUTINE_CREATE,
    ROUTINE_DELETE,
    ROUTINE_LIST,
    ROUTINE_RUN,
    ROUTINE_UPDATE,
)
from conductor_packs.sidekick.inputs.routines import (
    RoutineCreate,
    RoutineDelete,
    RoutineList,
    RoutineRun,
    RoutineUpdate,
)
from conductor_packs.sidekick.records import ROUTINES, Routine, RoutineStep, as_json
from conductor_packs.sidekick.tools.desk import Answer, Desk, found, invalid, runs
from conductor_packs.sidekick.tools.ledger import Ledger

_GOVERNANCE = {
    "dispatch_required": True,
    "reason": "A plan calls nothing. Call each step through the tool host, which decides on it.",
}
_STEP_KEYS = frozenset({"tool", "input"})


@runs(ROUTINE_CREATE)
async def routine_create(given: RoutineCreate, desk: Desk) -> Answer:
    """Keep a named list of tool calls."""
    steps, warnings = _steps(given.steps, desk, strict=given.strict)

    def create(ledger: Ledger) -> Routine:
        routine = Routine(
            id=ledger.new_id(ROUTINES), name=given.name, steps=steps, cron=given.cron,
            enabled=given.enabled, created_at=desk.stamp, updated_at=desk.stamp,
        )  # fmt: skip
        ledger.put(ROUTINES, routine)
        ledger.audit("create", ids=(routine.id,))
        return routine

    routine = await desk.change(create)
    return desk.answer(routine=as_json(routine), warnings=warnings or None)


@runs(ROUTINE_LIST)
async def routine_list(given: RoutineList, desk: Desk) -> Answer:
    """Return the routines, last changed first."""
    routines = await desk.read(lambda view: view.records(ROUTINES))
    wanted = [one for one in routines if one.enabled or not given.enabled_only]
    wanted.sort(key=lambda routine: routine.updated_at, reverse=True)
    items = [as_json(routine) for routine in wanted[: given.limit]]
    return {"items": items, "count": len(items)}


@runs(ROUTINE_RUN)
async def routine_run(given: RoutineRun, desk: Desk) -> Answer:
    """Return a routine's calls, and make none."""
    routine = await desk.read(lambda view: found(view, ROUTINES, given.id))
    await desk.leave_trace("execute", (routine.id,), {"plan_only": True})
    plan = [
        {"index": index, "tool": step.tool, "input": step.input}
        for index, step in enumerate(routine.steps)
    ]
    return {
        "routine_id": routine.id,
        "name": routine.name,
        "plan_only": True,
        "plan": plan,
        "governance": _GOVERNANCE,
    }


@runs(ROUTINE_UPDATE)
async def routine_update(given: RoutineUpdate, desk: Desk) -> Answer:
    """Change the named fields of a routine."""
    named: dict[str, Any] = {
        name: value for name in ("name", "enabled") if (value := getattr(given, name)) is not None
    }
    if given.names("cron"):
        named["cron"] = given.cron
    warnings: list[str] = []
    if given.steps is not None:
        named["steps"], warnings = _steps(given.steps, desk, strict=given.strict)
    if not named:
        raise invalid(("", "name at least one field to change"))

    def change(ledger: Ledger) -> Routine:
        routine = found(ledger, ROUTINES, given.id)
        return ledger.revise(ROUTINES, routine, named, desk.stamp)

    routine = await desk.change(change)
    return desk.answer(routine=as_json(routine), warnings=warnings or None)


@runs(ROUTINE_DELETE)
async def routine_delete(given: RoutineDelete, desk: Desk) -> Answer:
    """Remove a routine."""

    def delete(ledger: Ledger) -> str:
        routine = found(ledger, ROUTINES, given.id)
        ledger.remove(ROUTINES, routine.id)
        ledger.audit("delete", ids=(routine.id,))
        return routine.id

    return desk.answer(deleted_id=await desk.change(delete))


def _steps(
    given: Sequence[Any], desk: Desk, *, strict: bool
) -> tuple[tuple[RoutineStep, ...], list[str]]:
    """Return the steps that can be used, and a warning for each that cannot or is doubtful."""
    known = set(desk.ctx.tools.names())
    steps: list[RoutineStep] = []
    warnings: list[tuple[int, str]] = []
    for index, one in enumerate(given):
        step, problem = _step(one)
        if step is None:
            warnings.append((index, f"{problem}; left out"))
            continue
        steps.append(step)
        if known and step.tool not in known:
            warnings.append((index, f"there is no tool {step.tool} now"))
        elif step.tool == ROUTINE_RUN.name:
            warnings.append((index, f"{ROUTINE_RUN.name} only plans; its steps are not called"))
    if warnings and (strict or not steps):
        raise invalid(*((f"/steps/{index}", f"step {index}: {text}") for index, text in warnings))
    return tuple(steps), [f"step {index}: {text}" for index, text in warnings]


def _step(given: Any) -> tuple[RoutineStep | None, str]:
    fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {"tool": given}
    tool, taken = fields.get("tool"), fields.get("input")
    if not isinstance(tool, str) or not tool.strip():
        return None, "is no tool's name and no object with one"
    if set(fields) - _STEP_KEYS:
        return None, "has keys other than tool and input"
    if taken is not None and not isinstance(taken, dict):
        return None, "has an input that is no object"
    return RoutineStep(tool.strip(), cast("dict[str, Any]", taken or {})), ""
