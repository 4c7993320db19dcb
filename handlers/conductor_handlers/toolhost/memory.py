"""In-memory twins of what the tool host is built on: for tests and for packs' own.

Promise: the rules of the ports, at most one owner for each grant and key included. Refusal:
nothing is durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from conductor_handlers.toolhost.ports import OpenCall
from conductor_sdk.approval import Approval, ApprovalRequest
from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Claimed
from conductor_sdk.tool_output import failed
from conductor_sdk.tool_schema import to_json


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


class MemoryApprovals:
    """`ApprovalStore` in a dict. An unknown id is a KeyError here."""

    def __init__(self) -> None:
        self._approvals: dict[str, Approval] = {}

    async def request(self, request: ApprovalRequest) -> Approval:
        """Store a request, or return the open one for the same action."""
        now_ms = request.requested_at_ms
        for approval in self._of(request.tool, request.actor, request.input_hash, now_ms):
            if approval.state in {"pending", "granted"}:
                return approval
        self._approvals[request.request_id] = Approval(request, "pending")
        return self._approvals[request.request_id]

    async def use(self, tool: str, actor: str, input_hash: str, now_ms: int) -> Approval | None:
        """Use up a granted approval for exactly this action."""
        found = self._of(tool, actor, input_hash, now_ms)
        for approval in found:
            if approval.state == "granted":
                used = msgspec.structs.replace(approval, state="used", used_at_ms=now_ms)
                self._approvals[approval.request.request_id] = used
                return used
        return next((approval for approval in found if approval.state == "denied"), None)

    async def decide(
        self, request_id: str, *, granted: bool, by: str, reason: str | None, now_ms: int
    ) -> Approval:
        """Grant or deny a pending request."""
        decided = msgspec.structs.replace(
            self._approvals[request_id], state="granted" if granted else "denied",
            decided_by=by, reason=reason, decided_at_ms=now_ms,
        )  # fmt: skip
        self._approvals[request_id] = decided
        return decided

    async def approvals(
        self, *, states: Sequence[str] = (), limit: int = 100, now_ms: int
    ) -> list[Approval]:
        """Return approvals, newest first."""
        shown = [_shown(approval, now_ms) for approval in reversed(self._approvals.values())]
        return [one for one in shown if not states or one.state in states][:limit]

    def _of(self, tool: str, actor: str, input_hash: str, now_ms: int) -> list[Approval]:
        return [
            _shown(approval, now_ms)
            for approval in self._approvals.values()
            if (approval.request.tool, approval.request.actor, approval.request.input_hash)
            == (tool, actor, input_hash)
            and approval.request.expires_at_ms > now_ms
        ]


def _shown(approval: Approval, now_ms: int) -> Approval:
    if approval.state == "pending" and approval.request.expires_at_ms <= now_ms:
        return msgspec.structs.replace(approval, state="expired")
    return approval


class MemoryResults:
    """`ResultStore` in a dict."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], tuple[str, bytes | None, int]] = {}

    async def claim(self, actor: str, tool: str, key: str, input_hash: str, now_ms: int) -> Claimed:
        """Claim a key before the tool runs."""
        place = (actor, tool, key)
        if place not in self._kept:
            self._kept[place] = (input_hash, None, now_ms)
            return Claimed("fresh")
        first_hash, output, _ = self._kept[place]
        if first_hash != input_hash:
            return Claimed("conflict")
        return Claimed("running") if output is None else Claimed("done", output)

    async def finish(self, actor: str, tool: str, key: str, output: bytes, now_ms: int) -> None:
        """Keep the answer of a claimed key."""
        input_hash, _, _ = self._kept[actor, tool, key]
        self._kept[actor, tool, key] = (input_hash, output, now_ms)

    async def release(self, actor: str, tool: str, key: str) -> None:
        """Give a claim back."""
        self._kept.pop((actor, tool, key), None)

    async def abandon_running(self) -> int:
        """Turn what was running into answers `CALL_INTERRUPTED`."""
        text = to_json(failed("CALL_INTERRUPTED", "the daemon ended while the tool ran"))
        running = [place for place, kept in self._kept.items() if kept[1] is None]
        for place in running:
            input_hash, _, at_ms = self._kept[place]
            self._kept[place] = (input_hash, text, at_ms)
        return len(running)

    async def prune(self, before_ms: int) -> int:
        """Forget answers older than `before_ms`."""
        old = [p for p, (_, output, at_ms) in self._kept.items() if output and at_ms < before_ms]
        for place in old:
            del self._kept[place]
        return len(old)
