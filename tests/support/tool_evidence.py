"""What a tool host writes down and sends up, kept in lists, for tests.

Promise: `Evidence`, `CallHistory` and `ToolEvents` as the host asks for them, and refused on
request. Refusal: nothing is chained, nothing is durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from conductor_handlers.toolhost.ports import OpenCall
from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent


class Noted(msgspec.Struct, frozen=True):
    """One entry of the evidence."""

    event_type: str
    actor: str
    payload: Mapping[str, Any]


class MemoryEvidence:
    """`Evidence` and `CallHistory` in a list."""

    def __init__(self) -> None:
        self.entries: list[Noted] = []
        self.refuse: set[str] = set()
        """Event types that are refused with an OSError."""

    async def append(self, event_type: str, actor: str, payload: Mapping[str, Any]) -> int:
        """Append one entry; returns its sequence, from 1."""
        if event_type in self.refuse:
            raise OSError(28, "no space left on device")
        self.entries.append(Noted(event_type, actor, dict(payload)))
        return len(self.entries)

    async def open_calls(self) -> list[OpenCall]:
        """Return the calls that have not ended, oldest first."""
        ended = {
            entry.payload["call_id"]
            for entry in self.entries
            if entry.event_type in {"TOOL_CALL_FINISHED", "TOOL_CALL_INTERRUPTED"}
        }
        return [
            OpenCall(
                entry.payload["call_id"], entry.payload["tool"], entry.payload["pack"],
                entry.actor, entry.payload["surface"], entry.payload.get("input_hash"),
            )
            for entry in self.entries
            if entry.event_type == "TOOL_CALL_STARTED" and entry.payload["call_id"] not in ended
        ]  # fmt: skip


class MemoryEvents:
    """`ToolEvents` in a list."""

    def __init__(self) -> None:
        self.pushed: list[KernelEvent] = []

    async def publish(self, events: Sequence[KernelEvent]) -> list[PushReceipt]:
        """Keep events."""
        self.pushed += events
        return [PushReceipt(event.event_id, event.kind, "queued") for event in events]
