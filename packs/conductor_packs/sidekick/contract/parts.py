"""What stands inside of the tools' answers; a field that is UNSET was not sent.

Promise: keys of a later version are passed over. Refusal: no tool is called here.

Written by `python -m conductor_packs.sidekick.contract.generate --write`: do not edit.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tasks hold."""

    id: str
    title: str
    created_at: str
    updated_at: str
    priority: Literal["P0", "P1", "P2", "P3"]
    status: Literal["canceled", "done", "pending"]
    tags: list[str]
    description: str | UnsetType = UNSET
    due_at: str | UnsetType = UNSET
    defer_until: str | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    depends_on: list[str] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    completed_at: str | UnsetType = UNSET
    canceled_at: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class TaskListItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `TaskListItem`."""

    id: str
    title: str
    created_at: str
    updated_at: str
    priority: Literal["P0", "P1", "P2", "P3"]
    status: Literal["canceled", "done", "pending"]
    tags: list[str]
    description: str | UnsetType = UNSET
    due_at: str | UnsetType = UNSET
    defer_until: str | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    depends_on: list[str] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    completed_at: str | UnsetType = UNSET
    canceled_at: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    blocked_by: list[str] | UnsetType = UNSET
    next_due_at: str | UnsetType = UNSET


class MemoryRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What memorys hold."""

    id: str
    type: Literal["fact", "note", "preference", "snippet"]
    content: str
    created_at: str
    updated_at: str
    tags: list[str]


class MemoryRecallItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `MemoryRecallItem`."""

    id: str
    type: Literal["fact", "note", "preference", "snippet"]
    content: str
    created_at: str
    updated_at: str
    tags: list[str]
    snippet: str | UnsetType = UNSET
    score: float | UnsetType = UNSET


class ChannelRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What channels hold."""

    id: str
    name: str
    created_at: str
    updated_at: str
    type: str


class MessageRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What messages hold."""

    id: str
    channel_id: str
    sender: str
    content: str
    created_at: str
    metadata: dict[str, Any] | UnsetType = UNSET
    external_id: str | UnsetType = UNSET


class ChannelListItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `ChannelListItem`."""

    id: str
    name: str
    created_at: str
    updated_at: str
    type: str
    message_count: int | UnsetType = UNSET
    last_message_at: str | UnsetType = UNSET


class RoutineRecordStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `RoutineRecordStep`."""

    tool: str
    input: dict[str, Any] | UnsetType = UNSET


class RoutineRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What routines hold."""

    id: str
    name: str
    steps: list[RoutineRecordStep]
    created_at: str
    updated_at: str
    cron: str | UnsetType = UNSET
    enabled: bool
    description: str | UnsetType = UNSET
    last_run_at: str | UnsetType = UNSET


class RoutineRunPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `RoutineRunPlan`."""

    index: int
    tool: str
    input: dict[str, Any]


class RoutineRunGovernance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `RoutineRunGovernance`."""

    dispatch_required: bool
    reason: str


class SidekickExportData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of `SidekickExportData`."""

    tasks: list[dict[str, Any]]
    memories: list[dict[str, Any]]
    channels: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    routines: list[dict[str, Any]]
    audit: list[dict[str, Any]] | UnsetType = UNSET
