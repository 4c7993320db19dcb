"""The task tools.

Promise: what is answered is what is stored, with its audit event, or nothing is. Refusal: nothing
becomes pending again, nothing is removed, and no schedule runs anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from conductor_packs.sidekick import codes
from conductor_packs.sidekick.descriptors import (
    TASK_CANCEL,
    TASK_COMPLETE,
    TASK_CREATE,
    TASK_LIST,
    TASK_SCHEDULE,
    TASK_UPDATE,
)
from conductor_packs.sidekick.inputs.tasks import (
    TaskCancel,
    TaskComplete,
    TaskCreate,
    TaskList,
    TaskSchedule,
    TaskUpdate,
)
from conductor_packs.sidekick.records import TASKS, Task, as_json
from conductor_packs.sidekick.tools.desk import Answer, Desk, Refused, found, invalid, runs
from conductor_packs.sidekick.tools.ledger import Ledger, Reader
from conductor_packs.sidekick.tools.task_views import Board, circle, dependents_of, matching
from conductor_sdk.clock import wire_time

_CLEARABLE = ("description", "due_at", "cron", "defer_until", "note")
_LISTS = ("tags", "depends_on")
_KEPT = ("title", "priority", "tags", "depends_on")


@runs(TASK_CREATE)
async def task_create(given: TaskCreate, desk: Desk) -> Answer:
    """Add a pending task."""

    def create(ledger: Ledger) -> Task:
        task = Task(
            id=ledger.new_id(TASKS), title=given.title, description=given.description or None,
            priority=given.priority, tags=tuple(given.tags), due_at=given.due_at,
            defer_until=given.defer_until, depends_on=tuple(given.depends_on),
            created_at=desk.stamp, updated_at=desk.stamp,
        )  # fmt: skip
        _check_dependencies(ledger, task.id, task.depends_on)
        ledger.put(TASKS, task)
        ledger.audit("create", ids=(task.id,))
        return task

    return desk.answer(task=as_json(await desk.change(create)))


@runs(TASK_LIST)
async def task_list(given: TaskList, desk: Desk) -> Answer:
    """Return the tasks that match, with what stands in their way and when they recur."""

    def listed(view: Reader) -> list[dict[str, Any]]:
        board = Board({task.id: task for task in view.records(TASKS)}, desk.now)
        return [_shown(board, task) for task in matching(board, given)]

    items = await desk.read(listed)
    return {"items": items, "count": len(items)}


@runs(TASK_COMPLETE)
async def task_complete(given: TaskComplete, desk: Desk) -> Answer:
    """Mark a task done; on a done one only a new note is kept."""

    def complete(ledger: Ledger) -> tuple[Task, list[str]]:
        task = _open_or_done(found(ledger, TASKS, given.id))
        note = given.note or task.note
        first = task.status == "pending"
        if not first and note == task.note:
            return task, []
        done = msgspec.structs.replace(
            task, status="done", note=note, completed_at=task.completed_at or desk.stamp,
            updated_at=desk.stamp,
        )  # fmt: skip
        ledger.put(TASKS, done)
        ledger.audit("update", ids=(task.id,))
        return done, _unblocked(ledger, done, desk) if first else []

    done, unblocked = await desk.change(complete)
    return desk.answer(task=as_json(done), unblocked=unblocked or None)


@runs(TASK_SCHEDULE)
async def task_schedule(given: TaskSchedule, desk: Desk) -> Answer:
    """Set when a task is due, recurs, or is shown again."""
    changes = _named(given, ("due_at", "cron", "defer_until"), ())
    if not changes:
        raise invalid(("", "give due_at or cron"))
    return await _changed(desk, given.id, changes)


@runs(TASK_UPDATE)
async def task_update(given: TaskUpdate, desk: Desk) -> Answer:
    """Change the named fields of a task."""
    changes = _named(given, _CLEARABLE, _KEPT)
    if not changes:
        raise invalid(("", "name at least one field to change"))
    return await _changed(desk, given.id, changes)


@runs(TASK_CANCEL)
async def task_cancel(given: TaskCancel, desk: Desk) -> Answer:
    """End a task for good, and name the pending tasks that wait for it."""

    def cancel(ledger: Ledger) -> tuple[Task, list[str]]:
        task = found(ledger, TASKS, given.id)
        waiting = [one.id for one in dependents_of(ledger.records(TASKS), task.id)]
        if task.status == "canceled":
            return task, waiting
        if task.status == "done":
            raise Refused(codes.CONFLICT, f"{task.id} is done", details={"status": task.status})
        canceled = msgspec.structs.replace(
            task, status="canceled", reason=given.reason or None, canceled_at=desk.stamp,
            updated_at=desk.stamp,
        )  # fmt: skip
        ledger.put(TASKS, canceled)
        details = {"status": "canceled", "dependents": waiting}
        ledger.audit("update", ids=(task.id,), details=details)
        return canceled, waiting

    canceled, waiting = await desk.change(cancel)
    return desk.answer(task=as_json(canceled), dependents=waiting)


async def _changed(desk: Desk, task_id: str, changes: dict[str, Any]) -> Answer:
    def change(ledger: Ledger) -> Task:
        task = _open_or_done(found(ledger, TASKS, task_id))
        if "depends_on" in changes:
            _check_dependencies(ledger, task_id, changes["depends_on"])
        return ledger.revise(TASKS, task, changes, desk.stamp)

    return desk.answer(task=as_json(await desk.change(change)))


def _named(
    given: TaskSchedule | TaskUpdate, clearable: Sequence[str], kept: Sequence[str]
) -> dict[str, Any]:
    """Return the fields that the caller named: null clears the clearable, blank text too."""
    named = {name: getattr(given, name) or None for name in clearable if given.names(name)}
    for name in kept:
        if (value := getattr(given, name)) is not None:
            named[name] = tuple(value) if name in _LISTS else value
    return named


def _open_or_done(task: Task) -> Task:
    if task.status == "canceled":
        raise Refused(codes.CONFLICT, f"{task.id} is canceled", details={"status": task.status})
    return task


def _check_dependencies(ledger: Ledger, task_id: str, depends_on: Sequence[str]) -> None:
    """Refuse dependencies that are unknown, canceled, or lead back to the task."""
    if not depends_on:
        return
    tasks = {task.id: task for task in ledger.records(TASKS)}
    problems: list[tuple[str, str]] = []
    for index, one in enumerate(depends_on):
        if one not in tasks:
            problems.append((f"/depends_on/{index}", f"there is no task {one}"))
        elif tasks[one].status == "canceled":
            problems.append((f"/depends_on/{index}", f"{one} is canceled"))
    closed = circle(tasks, task_id, depends_on)
    if closed is not None:
        problems.append(("/depends_on", f"goes round in a circle: {' > '.join(closed)}"))
    if problems:
        raise invalid(*problems)


def _unblocked(ledger: Ledger, done: Task, desk: Desk) -> list[str]:
    """Return the tasks that waited for this one last."""
    tasks = {task.id: task for task in ledger.records(TASKS)} | {done.id: done}
    board = Board(tasks, desk.now)
    waiting = dependents_of(tasks.values(), done.id)
    return [task.id for task in waiting if not board.blocked_by(task)]


def _shown(board: Board, task: Task) -> dict[str, Any]:
    shown = as_json(task)
    if task.status != "pending":
        return shown
    blocked_by, recurs = board.blocked_by(task), board.recurs(task)
    if blocked_by:
        shown["blocked_by"] = blocked_by
    if recurs is not None:
        shown["next_due_at"] = wire_time(recurs)
    return shown
