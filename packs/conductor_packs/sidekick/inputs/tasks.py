"""What the task tools take.

Promise: each model is the whole input of one tool, in both tool sets. Refusal: whether a record
exists or may change is not asked here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from conductor_packs.sidekick.inputs.fields import (
    FULL,
    Body,
    Cron,
    DryRun,
    Id,
    Ids,
    Input,
    Limit,
    Moment,
    Note,
    Priority,
    Query,
    Tags,
    Title,
)

View = Literal["ready", "blocked", "due", "overdue", "deferred"]
_CLEARABLE: dict[str, Any] = {"null": "full"}
_DEPENDS_ON = "Ids of tasks that must be done before this one is ready."
_NOT_BEFORE = "Hidden from `ready` until then."


class TaskCreate(Input):
    """`task:create`."""

    title: Title = Field(description="What is to be done.")
    description: Body | None = Field(None, description="More about it.")
    priority: Priority = Field("P2", description="P0 is the most urgent.")
    due_at: Moment | None = Field(None, description="When it is due.")
    tags: Tags = Field((), description="Blanks and repetitions are dropped.")
    defer_until: Moment | None = Field(None, description=_NOT_BEFORE, json_schema_extra=FULL)
    depends_on: Ids = Field((), description=_DEPENDS_ON, json_schema_extra=FULL)
    dry_run: DryRun = False


class TaskList(Input):
    """`task:list`."""

    status: Literal["pending", "done", "canceled"] | None = Field(
        None,
        description="Only tasks in this state.",
        json_schema_extra={"core": {"enum": ["pending", "done"]}},
    )
    priority: Priority | None = Field(None, description="Only tasks of this priority.")
    tags: Tags = Field((), description="Only tasks with all of these; case does not matter.")
    search: Query | None = Field(
        None, description="Only tasks with all of these words in title or description."
    )
    due_before: Moment | None = Field(
        None,
        description="Only tasks that are due strictly earlier; without a time they are left out.",
    )
    view: View | None = Field(
        None,
        description="Computed now, of pending tasks: ready (nothing stands in the way), blocked (a "
        "dependency is not done), deferred (its defer_until is to come), due (before the "
        "end of today by UTC), overdue (in the past).",
        json_schema_extra=FULL,
    )
    limit: Limit | None = Field(None, description="At most so many; all without it.")


class TaskComplete(Input):
    """`task:complete`."""

    id: Id = Field(description="The task.")
    note: Note | None = Field(None, description="Kept on the task.")
    dry_run: DryRun = False


class TaskSchedule(Input):
    """`task:schedule`."""

    id: Id = Field(description="The task.")
    due_at: Moment | None = Field(None, description="When it is due.", json_schema_extra=_CLEARABLE)
    cron: Cron | None = Field(
        None,
        description="When it is due again and again: five fields, in UTC.",
        json_schema_extra=_CLEARABLE,
    )
    defer_until: Moment | None = Field(
        None, description=_NOT_BEFORE, json_schema_extra=FULL | _CLEARABLE
    )
    dry_run: DryRun = False


class TaskUpdate(Input):
    """`task:update`: only what is named changes, null clears."""

    id: Id = Field(description="The task.")
    title: Title | None = Field(None, description="What is to be done.")
    description: Body | None = Field(
        None, description="More about it.", json_schema_extra=_CLEARABLE
    )
    priority: Priority | None = Field(None, description="P0 is the most urgent.")
    due_at: Moment | None = Field(None, description="When it is due.", json_schema_extra=_CLEARABLE)
    cron: Cron | None = Field(
        None, description="When it is due again and again, in UTC.", json_schema_extra=_CLEARABLE
    )
    defer_until: Moment | None = Field(None, description=_NOT_BEFORE, json_schema_extra=_CLEARABLE)
    tags: Tags | None = Field(None, description="Replaces all tags.")
    depends_on: Ids | None = Field(None, description=_DEPENDS_ON + " Replaces all.")
    note: Note | None = Field(None, description="Kept on the task.", json_schema_extra=_CLEARABLE)
    dry_run: DryRun = False


class TaskCancel(Input):
    """`task:cancel`."""

    id: Id = Field(description="The task.")
    reason: Note | None = Field(None, description="Kept as the task's note.")
    dry_run: DryRun = False
