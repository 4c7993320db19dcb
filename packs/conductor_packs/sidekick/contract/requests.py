"""What each tool takes; a field that is UNSET is not sent.

Promise: a request that is encoded is an input of its tool. Refusal: no tool is called here.

Written by `python -m conductor_packs.sidekick.contract.generate --write`: do not edit.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class TaskCreateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:create`."""

    title: str
    description: str | UnsetType = UNSET
    priority: Literal["P0", "P1", "P2", "P3"] | UnsetType = UNSET
    due_at: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    defer_until: str | UnsetType = UNSET
    depends_on: list[str] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class TaskListRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:list`."""

    status: Literal["pending", "done", "canceled"] | UnsetType = UNSET
    priority: Literal["P0", "P1", "P2", "P3"] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    search: str | UnsetType = UNSET
    due_before: str | UnsetType = UNSET
    view: Literal["ready", "blocked", "due", "overdue", "deferred"] | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class TaskCompleteRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:complete`."""

    id: str
    note: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class TaskScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:schedule`."""

    id: str
    due_at: str | UnsetType | None = UNSET
    cron: str | UnsetType | None = UNSET
    defer_until: str | UnsetType | None = UNSET
    dry_run: bool | UnsetType = UNSET


class TaskUpdateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:update`."""

    id: str
    title: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    priority: Literal["P0", "P1", "P2", "P3"] | UnsetType = UNSET
    due_at: str | UnsetType | None = UNSET
    cron: str | UnsetType | None = UNSET
    defer_until: str | UnsetType | None = UNSET
    tags: list[str] | UnsetType = UNSET
    depends_on: list[str] | UnsetType = UNSET
    note: str | UnsetType | None = UNSET
    dry_run: bool | UnsetType = UNSET


class TaskCancelRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`task:cancel`."""

    id: str
    reason: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class MemoryStoreRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:store`."""

    type: Literal["fact", "preference", "note", "snippet"]
    content: str
    tags: list[str] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class MemoryRecallRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:recall`."""

    query: str | UnsetType = UNSET
    type: Literal["fact", "preference", "note", "snippet"] | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    since: str | UnsetType = UNSET
    until: str | UnsetType = UNSET
    semantic: bool | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class MemoryForgetRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:forget`."""

    id: str
    dry_run: bool | UnsetType = UNSET


class MemoryUpdateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`memory:update`."""

    id: str
    type: Literal["fact", "preference", "note", "snippet"] | UnsetType = UNSET
    content: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ChannelConfigureRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:configure`."""

    name: str
    type: Literal["terminal"] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ChannelSendRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:send`."""

    provider: str | UnsetType = UNSET
    channel: str | UnsetType = UNSET
    content: str
    sender: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ChannelReceiveRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:receive`."""

    provider: str | UnsetType = UNSET
    channel: str | UnsetType = UNSET
    cursor: str | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    since: str | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class ChannelListRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:list`."""

    type: Literal["terminal"] | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class ChannelDeleteRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channel:delete`."""

    name: str
    dry_run: bool | UnsetType = UNSET


class RoutineCreateStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `RoutineCreateStep`."""

    tool: str
    input: dict[str, Any] | UnsetType = UNSET


class RoutineCreateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:create`."""

    name: str
    steps: list[str | RoutineCreateStep]
    cron: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    strict: bool | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class RoutineListRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:list`."""

    enabled_only: bool | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class RoutineRunRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:run`."""

    id: str


class RoutineUpdateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:update`."""

    id: str
    name: str | UnsetType = UNSET
    steps: list[str | RoutineCreateStep] | UnsetType = UNSET
    cron: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    strict: bool | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class RoutineDeleteRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`routine:delete`."""

    id: str
    dry_run: bool | UnsetType = UNSET


class SidekickInitRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`sidekick:init`."""

    dry_run: bool | UnsetType = UNSET


class SidekickStatusRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`sidekick:status`."""


class SidekickExportRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`sidekick:export`."""

    include_audit: bool | UnsetType = UNSET
