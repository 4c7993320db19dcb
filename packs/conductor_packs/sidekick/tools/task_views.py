"""What tasks mean at a moment: what stands in their way, when they are due, which are ready.

Promise: pure, and computed when it is asked for; nothing of it is stored. Refusal: no clock is
read; a stored time that is none counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import assert_never

from conductor_packs.sidekick.inputs.tasks import TaskList, View
from conductor_packs.sidekick.records import Task
from conductor_packs.sidekick.times import next_occurrence, read_moment


@dataclass(frozen=True, slots=True)
class Board:
    """All tasks at one moment."""

    tasks: Mapping[str, Task]
    now: datetime

    def blocked_by(self, task: Task) -> list[str]:
        """Return the dependencies that are not done; one that is unknown blocks nothing."""
        known = ((one, self.tasks.get(one)) for one in task.depends_on)
        return [one for one, found in known if found is not None and found.status != "done"]

    def due(self, task: Task) -> datetime | None:
        """Return when the task is due: its time, else the next one of its schedule."""
        due = moment_of(task.due_at)
        return self.recurs(task) if due is None else due

    def recurs(self, task: Task) -> datetime | None:
        """Return when the task's schedule comes round next; None without one."""
        return None if task.cron is None else next_occurrence(task.cron, self.now)

    def shows(self, task: Task, view: View) -> bool:
        """Tell whether a task is in a view; only pending ones are in any."""
        if task.status != "pending":
            return False
        match view:
            case "blocked":
                return bool(self.blocked_by(task))
            case "deferred":
                return self._deferred(task)
            case "ready":
                return not self._deferred(task) and not self.blocked_by(task)
            case "overdue":
                due = self.due(task)
                return due is not None and due < self.now
            case "due":
                due = self.due(task)
                return due is not None and due < _end_of_day(self.now)
            case _:
                assert_never(view)

    def _deferred(self, task: Task) -> bool:
        until = moment_of(task.defer_until)
        return until is not None and until > self.now


def moment_of(text: str | None) -> datetime | None:
    """Return a stored time as a moment; None where there is none or it cannot be read."""
    try:
        return None if text is None else read_moment(text)
    except ValueError:
        return None


def matching(board: Board, wanted: TaskList) -> list[Task]:
    """Return the tasks that pass all filters, last changed first."""
    filters = list(_filters(board, wanted))
    found = [task for task in board.tasks.values() if all(passes(task) for passes in filters)]
    found.sort(key=lambda task: task.updated_at, reverse=True)
    return found[: wanted.limit]


def _filters(board: Board, wanted: TaskList) -> Iterator[Callable[[Task], bool]]:
    """Yield what the caller asked for; a filter that was not given costs nothing."""
    words = (wanted.search or "").casefold().split()
    tags = {tag.casefold() for tag in wanted.tags}
    before, view = moment_of(wanted.due_before), wanted.view
    if wanted.status is not None:
        yield lambda task: task.status == wanted.status
    if wanted.priority is not None:
        yield lambda task: task.priority == wanted.priority
    if tags:
        yield lambda task: tags <= {tag.casefold() for tag in task.tags}
    if words:
        yield lambda task: _has_words(task, words)
    if before is not None:
        yield lambda task: _due_before(task, before)
    if view is not None:
        yield lambda task: board.shows(task, view)


def dependents_of(tasks: Iterable[Task], task_id: str) -> list[Task]:
    """Return the pending tasks that name `task_id` among their dependencies."""
    return [task for task in tasks if task.status == "pending" and task_id in task.depends_on]


def circle(tasks: Mapping[str, Task], task_id: str, depends_on: Sequence[str]) -> list[str] | None:
    """Return the circle that these dependencies of `task_id` would close, from end to end."""
    open_paths = [[task_id, one] for one in depends_on]
    seen: set[str] = set()
    while open_paths:
        path = open_paths.pop()
        if path[-1] == task_id:
            return path
        if path[-1] in seen or path[-1] not in tasks:
            continue
        seen.add(path[-1])
        open_paths += [[*path, one] for one in tasks[path[-1]].depends_on]
    return None


def _has_words(task: Task, words: Sequence[str]) -> bool:
    text = f"{task.title}\n{task.description or ''}".casefold()
    return all(word in text for word in words)


def _due_before(task: Task, before: datetime) -> bool:
    due = moment_of(task.due_at)
    return due is not None and due < before


def _end_of_day(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
