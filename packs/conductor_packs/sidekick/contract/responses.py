"""What each tool answers where it succeeds; a field that is UNSET was not sent.

Promise: keys of a later version are passed over. Refusal: no tool is called here.

Written by `python -m conductor_packs.sidekick.contract.generate --write`: do not edit.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from conductor_packs.sidekick.contract.parts import (
    ChannelListItem,
    ChannelRecord,
    MemoryRecallItem,
    MemoryRecord,
    MessageRecord,
    RoutineRecord,
    RoutineRunGovernance,
    RoutineRunPlan,
    SidekickExportData,
    TaskListItem,
    TaskRecord,
)


class TaskCreateResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:create`."""

    task: TaskRecord
    dry_run: bool | UnsetType = UNSET


class TaskListResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:list`."""

    items: list[TaskListItem]
    count: int


class TaskCompleteResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:complete`."""

    task: TaskRecord
    unblocked: list[str] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class TaskScheduleResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:schedule`."""

    task: TaskRecord
    dry_run: bool | UnsetType = UNSET


class TaskUpdateResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:update`."""

    task: TaskRecord
    dry_run: bool | UnsetType = UNSET


class TaskCancelResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:cancel`."""

    task: TaskRecord
    dependents: list[str]
    dry_run: bool | UnsetType = UNSET


class MemoryStoreResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:store`."""

    memory: MemoryRecord
    dry_run: bool | UnsetType = UNSET


class MemoryRecallResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:recall`."""

    items: list[MemoryRecallItem]
    count: int


class MemoryForgetResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:forget`."""

    deleted_id: str
    dry_run: bool | UnsetType = UNSET


class MemoryUpdateResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:update`."""

    memory: MemoryRecord
    dry_run: bool | UnsetType = UNSET


class ChannelConfigureResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:configure`."""

    channel: ChannelRecord
    dry_run: bool | UnsetType = UNSET


class ChannelSendResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:send`."""

    message: MessageRecord | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    capability: Literal["send", "read"] | UnsetType = UNSET
    channel: str | UnsetType = UNSET
    external_message_id: str | UnsetType = msgspec.field(default=UNSET, name="externalMessageId")
    metadata: dict[str, Any] | UnsetType = UNSET
    delivery_id: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ChannelReceiveResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:receive`."""

    items: list[MessageRecord] | UnsetType = UNSET
    count: int | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    capability: Literal["send", "read"] | UnsetType = UNSET
    channel: str | UnsetType = UNSET
    records: list[dict[str, Any]] | UnsetType = UNSET
    next_cursor: str | UnsetType = msgspec.field(default=UNSET, name="nextCursor")
    metadata: dict[str, Any] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ChannelListResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:list`."""

    items: list[ChannelListItem]
    count: int


class ChannelDeleteResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:delete`."""

    deleted_id: str
    deleted_messages: int
    dry_run: bool | UnsetType = UNSET


class RoutineCreateResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:create`."""

    routine: RoutineRecord
    warnings: list[str] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class RoutineListResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:list`."""

    items: list[RoutineRecord]
    count: int


class RoutineRunResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:run`."""

    routine_id: str
    name: str
    plan_only: bool
    plan: list[RoutineRunPlan]
    governance: RoutineRunGovernance


class RoutineUpdateResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:update`."""

    routine: RoutineRecord
    warnings: list[str] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class RoutineDeleteResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:delete`."""

    deleted_id: str
    dry_run: bool | UnsetType = UNSET


class SidekickInitResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`sidekick:init`."""

    initialized: bool
    root_dir: str
    dry_run: bool | UnsetType = UNSET


class SidekickStatusResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`sidekick:status`."""

    initialized: bool
    version: str
    task_count: int
    pending_tasks: int
    completed_tasks: int
    canceled_tasks: int
    memory_entries: int
    channels: int
    messages: int
    routines: int
    audit_events: int


class SidekickExportResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`sidekick:export`."""

    exported_at: str
    version: str
    checksum: str
    data: SidekickExportData
