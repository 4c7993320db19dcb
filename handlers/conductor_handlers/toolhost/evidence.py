"""Evidence of calls: journal entries, and the event that tells the conductor.

Promise: a started entry is durable before anything runs, and every started call ends with exactly
one finished or interrupted entry. Refusal: inputs and answers are never written down, only their
hashes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from conductor_handlers.toolhost.gate import Gate
from conductor_handlers.toolhost.outcome import Outcome
from conductor_handlers.toolhost.policy import Decided
from conductor_handlers.toolhost.ports import Evidence, OpenCall, ToolEvents
from conductor_handlers.toolhost.records import AnyScope, Request
from conductor_handlers.traced import handed_on
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.event import KernelEvent, keyed_event_id

TOOL_CALLED = "agent-runtime:tool_called"
STARTED = "TOOL_CALL_STARTED"
FINISHED = "TOOL_CALL_FINISHED"
INTERRUPTED = "TOOL_CALL_INTERRUPTED"


@dataclass(slots=True)
class Record:
    """One call on its way through the host."""

    call_id: str
    request: Request
    gate: Gate
    scopes: tuple[AnyScope, ...] | None
    """The caller's; those of the outer call inside of one."""
    began: float
    """The clock's monotonic time."""
    input_text: bytes | None
    """None: the input is not JSON, or too much of it."""
    input_hash: str | None = None
    parent: str | None = None
    """The call whose tool made this one."""
    depth: int = 1
    claimed: bool = False
    """Whether this call owns its idempotency key."""
    dispatched: bool = False
    """Whether the tool was run, so that it may have had an effect."""
    abandoned: bool = False
    """Whether nobody waits for the answer any more."""
    _task: asyncio.Task[object] | None = None

    def began_running(self, task: asyncio.Task[object]) -> None:
        """Take note of the tool's task."""
        self._task = task
        if self.abandoned:
            task.cancel()

    def abandon(self) -> None:
        """End the call: the tool is cancelled, or not run at all."""
        self.abandoned = True
        if self._task is not None:
            self._task.cancel()


def sha256(text: bytes) -> str:
    """Return the hash that traces and approvals know a JSON text by."""
    return hashlib.sha256(text).hexdigest()


class Traces:
    """Writes the evidence of one host."""

    def __init__(self, journal: Evidence, events: ToolEvents, subject: str, clock: Clock) -> None:
        self._journal = journal
        self._events = events
        self._subject = subject
        self._clock = clock

    async def started(self, record: Record) -> None:
        """Write the started entry; durable on return."""
        await self._journal.append(
            STARTED, record.request.caller.actor, {**self._names(record), **record.gate.trace}
        )

    async def finished(self, record: Record, outcome: Outcome) -> None:
        """Write the finished entry; durable on return."""
        payload = {
            **self._names(record),
            "tool": record.gate.tool.name,
            "pack": record.gate.tool.pack,
            "result": outcome.result,
            "duration_ms": self._duration_ms(record),
            "output_hash": sha256(outcome.text),
            "decisions": [_plain(one) for one in outcome.decisions],
        }
        if outcome.output.error is not None:
            payload["code"] = outcome.output.error.code
        if outcome.replayed:
            payload["replayed"] = True
        await self._journal.append(FINISHED, record.request.caller.actor, payload)

    async def push(self, record: Record, outcome: Outcome) -> None:
        """Queue the event; durable on return."""
        payload: dict[str, Any] = {
            "call_id": record.call_id,
            "tool": record.gate.tool.name,
            "pack": record.gate.tool.pack,
            "actor": record.request.caller.actor,
            "surface": record.request.caller.surface,
            "outcome": outcome.result,
            "duration_ms": self._duration_ms(record),
        }
        if record.input_hash is not None:
            payload["input_hash"] = record.input_hash
        if outcome.output.error is not None:
            payload["code"] = outcome.output.error.code
        await self._events.publish([self._event(payload)])

    async def interrupted(self, call: OpenCall) -> None:
        """Close a call that the last process left open: entry and event, durable on return."""
        payload: dict[str, Any] = {
            "call_id": call.call_id, "tool": call.tool, "pack": call.pack, "surface": call.surface,
            "code": "CALL_INTERRUPTED",
        }  # fmt: skip
        if call.input_hash is not None:
            payload["input_hash"] = call.input_hash
        await self._journal.append(INTERRUPTED, call.actor, payload)
        told = {**payload, "actor": call.actor, "outcome": "interrupted", "duration_ms": 0}
        await self._events.publish([self._event(told)])

    def _event(self, payload: Mapping[str, Any]) -> KernelEvent:
        event_id = keyed_event_id(self._subject, TOOL_CALLED, payload["call_id"])
        now = wire_time(self._clock.now())
        # In the trace of the handler that made the call, if one did.
        return KernelEvent(
            2, TOOL_CALLED, event_id, now, self._subject, dict(payload), *handed_on()
        )

    def _names(self, record: Record) -> dict[str, Any]:
        request = record.request
        names: dict[str, Any] = {"call_id": record.call_id, "surface": request.caller.surface}
        if request.run_id is not None:
            names["run_id"] = request.run_id
        if request.task_id is not None:
            names["task_id"] = request.task_id
        if request.session_id is not None:
            names["session_id"] = request.session_id
        if record.input_hash is not None:
            names["input_hash"] = record.input_hash
        if record.parent is not None:
            names["parent_call_id"] = record.parent
        return names

    def _duration_ms(self, record: Record) -> int:
        return max(0, round((self._clock.monotonic() - record.began) * 1000))


def _plain(decided: Decided) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(decided)
    return found
