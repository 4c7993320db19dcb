"""In-memory twins of what a pack is given: they keep the daemon's rules and record everything.

Promise: what the daemon refuses is refused here with the same error. Refusal: nothing is durable,
nothing leaves the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from conductor_sdk.clock import Clock
from conductor_sdk.context import PushReceipt
from conductor_sdk.errors import EventMalformed, SubjectMismatch, UnknownKind
from conductor_sdk.event import KernelEvent, event_from_fields, parse_event
from conductor_sdk.event_builder import build_kernel_event_v2

MAX_EVENT_BYTES = 262_144


class SimulatedCrash(BaseException):
    """The process died here. Not an Exception, so that no handler survives it."""


class RecordingSyncPort:
    """A `SyncPort` with a switch for the link.

    Events of `queue` kinds wait while disconnected and arrive in order at `connect`; `ephemeral`
    ones are dropped with the reason `disconnected`.
    """

    def __init__(
        self, policy: Mapping[str, Literal["queue", "ephemeral"]], subject: str, clock: Clock
    ) -> None:
        """Start connected.

        Args:
            policy: The kinds that may be pushed, each with its policy.
            subject: The only `from` that is accepted.
            clock: Gives the time of events that are pushed as mappings.
        """
        self._policy = policy
        self._subject = subject
        self._clock = clock
        self.connected = True
        self.pushed: list[KernelEvent] = []
        """Every event that was queued or sent, once for each id, in order."""
        self.waiting: list[KernelEvent] = []
        """Queued events that the conductor does not have yet."""
        self.arrived: list[KernelEvent] = []
        """What the conductor has seen."""
        self.receipts: list[PushReceipt] = []

    async def push_kernel_events(
        self, events: Sequence[KernelEvent | Mapping[str, Any]]
    ) -> list[PushReceipt]:
        """Push events: all or nothing, one receipt per event in order.

        Raises:
            UnknownKind: The manifest does not declare the kind.
            SubjectMismatch: `from` is not the enrolled subject.
            EventMalformed: The event has the wrong shape or is too large.
        """
        checked = [self._checked(event) for event in events]
        receipts = [self._take(event) for event in checked]
        self.receipts += receipts
        return receipts

    def connect(self) -> None:
        """Bring the link up: what waited arrives, in order."""
        self.connected = True
        self.arrived += self.waiting
        self.waiting.clear()

    def disconnect(self) -> None:
        """Take the link down."""
        self.connected = False

    def _checked(self, event: KernelEvent | Mapping[str, Any]) -> KernelEvent:
        if not isinstance(event, KernelEvent):
            event = self._built(event)
        if event.schema_version == 1:
            return event
        if event.kind not in self._policy:
            raise UnknownKind(event.kind, data={"kind": event.kind})
        if event.from_ != self._subject:
            raise SubjectMismatch(f"{event.from_!r}, enrolled as {self._subject!r}")
        body = event.to_json()
        if len(body) > MAX_EVENT_BYTES:
            raise EventMalformed(f"{len(body)} bytes, the limit is {MAX_EVENT_BYTES}")
        return parse_event(body)

    def _built(self, fields: Mapping[str, Any]) -> KernelEvent:
        if fields.get("schema_version") == 1:
            return event_from_fields(fields)
        rest = {"from": self._subject, **fields}
        key = rest.pop("idempotency_key", None)
        return build_kernel_event_v2(rest, idempotency_key=key, clock=self._clock)

    def _take(self, event: KernelEvent) -> PushReceipt:
        if self._policy.get(event.kind, "queue") == "ephemeral":
            if not self.connected:
                return PushReceipt(event.event_id, event.kind, "dropped", "disconnected")
            self.pushed.append(event)
            self.arrived.append(event)
            return PushReceipt(event.event_id, event.kind, "sent")
        if all(known.event_id != event.event_id for known in self.pushed):
            self.pushed.append(event)
            (self.arrived if self.connected else self.waiting).append(event)
        return PushReceipt(event.event_id, event.kind, "queued")


class HarnessKeys:
    """A `PackReplayLog` whose keys become durable with the outcome of the event."""

    def __init__(self) -> None:
        self.durable: set[str] = set()
        self.pending: set[str] = set()
        self.fail_at_put: Literal["crash", "cancel"] | None = None
        """What the next `put` meets instead of recording its key."""

    async def has(self, key: str) -> bool:
        """Tell whether `key` was put."""
        return key in self.durable or key in self.pending

    async def put(self, key: str) -> None:
        """Record `key` until `commit`."""
        match self.fail_at_put:
            case None:
                self.pending.add(key)
            case "crash":
                raise SimulatedCrash
            case "cancel":
                raise asyncio.CancelledError

    def commit(self) -> None:
        """Make what is pending durable."""
        self.durable |= self.pending
        self.pending.clear()


class LogEntry(msgspec.Struct, frozen=True):
    """One captured line."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: Mapping[str, object]


class CapturedLog:
    """A `Log` that keeps its lines in a list."""

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []

    def debug(self, event: str, **fields: object) -> None:
        """Keep a line."""
        self.entries.append(LogEntry("debug", event, fields))

    def info(self, event: str, **fields: object) -> None:
        """Keep a line."""
        self.entries.append(LogEntry("info", event, fields))

    def warning(self, event: str, **fields: object) -> None:
        """Keep a line."""
        self.entries.append(LogEntry("warning", event, fields))

    def error(self, event: str, **fields: object) -> None:
        """Keep a line."""
        self.entries.append(LogEntry("error", event, fields))
