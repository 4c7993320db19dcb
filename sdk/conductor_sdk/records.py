"""The records that layers hand to each other.

Promise: frozen, small, made of ids, kinds, bytes and times, so that siblings (stores, adapters,
dispatcher, sessions) share words without knowing each other. Refusal: no behaviour lives here.
All times are integer milliseconds since 1970-01-01 UTC and end in `_ms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, final

import msgspec

from conductor_sdk.event import KernelEvent

Position: TypeAlias = int
"""Where an inbound event stands in the replay log: grows with arrival, never reused."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One well-formed inbound event, before the replay log has seen it."""

    event_id: str
    kind: str
    body: bytes
    """The event's JSON exactly as received."""
    trace: str | None = None
    """The event's W3C traceparent, if it came with one: kept as long as its receipt."""


class Receipt(msgspec.Struct, frozen=True):
    """What `ReplayLog.receive` answers for a batch, in the batch's order."""

    positions: list[Position | None]
    """The position of each fresh event; None for a duplicate."""
    duplicates: int
    """Resends of events that are still buffered."""
    replayed: int
    """Resends of events that are already settled."""


class Pending(msgspec.Struct, frozen=True):
    """A stored inbound event that is not settled."""

    position: Position
    event_id: str
    kind: str
    body: bytes
    attempts: int
    """Attempts already counted, crashed ones included."""
    not_before_ms: int
    """0, or the time before which it must not be tried again."""
    redriven: bool = False


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """Settle: the handler answered; the event never runs again."""

    position: Position
    status: Literal["handled", "replayed", "ignored", "unhandled"]
    """`unhandled`: no enabled pack subscribes to the kind; counted as dropped{unhandled}."""
    action: str
    keys: tuple[tuple[str, str], ...] = ()
    """(pack slug, replay key) pairs that become durable in the same commit."""


@final
class RetryLater(msgspec.Struct, frozen=True):
    """Settle: this attempt failed; the event stays buffered until `not_before_ms`."""

    position: Position
    attempts: int
    not_before_ms: int
    error: str
    keys: tuple[tuple[str, str], ...] = ()


class Buried(msgspec.Struct, frozen=True):
    """Settle: the event moves to the dead letters with its payload and this error."""

    position: Position
    attempts: int
    error_code: str
    error: str
    keys: tuple[tuple[str, str], ...] = ()


Settled: TypeAlias = Delivered | RetryLater | Buried


class DeadLetter(msgspec.Struct, frozen=True):
    """An inbound event that was given up, kept until someone redrives or drops it."""

    event_id: str
    kind: str
    body: bytes
    position: Position
    attempts: int
    error_code: str
    error: str
    received_ms: int
    buried_ms: int
    redrives: int = 0


class Outgoing(msgspec.Struct, frozen=True):
    """One event on its way up."""

    event_id: str
    kind: str
    body: bytes
    trace: str | None = None
    """W3C traceparent of the push, carried with the row."""
    put_ms: int = 0
    """When it was queued; 0 for an event that never was."""


class Queued(msgspec.Struct, frozen=True, gc=False):
    """An outbox row; `position` grows in the order in which events were put."""

    position: int
    event_id: str
    kind: str
    body: bytes
    trace: str | None = None
    """As it was put."""
    put_ms: int = 0


class PutResult(msgspec.Struct, frozen=True):
    """What the outbox did with one event: stored, already there, or refused by its cap."""

    event_id: str
    status: Literal["queued", "duplicate", "dropped"]
    reason: str | None = None


class KindCounts(msgspec.Struct, frozen=True):
    """The conservation law of one kind in one direction.

    accepted = delivered + buffered + sum(dropped) + dead_lettered, at all times.
    """

    accepted: int = 0
    delivered: int = 0
    buffered: int = 0
    dropped: Mapping[str, int] = {}
    dead_lettered: int = 0
    duplicates: int = 0
    """Seen again; not part of the law."""
    replayed: int = 0
    """Seen again after it was settled, or answered replayed; not part of the law."""

    @property
    def balanced(self) -> bool:
        """Whether the law holds."""
        return self.surplus == 0

    @property
    def surplus(self) -> int:
        """How many more were accepted than can be told of; 0 where the law holds."""
        told = self.delivered + self.buffered + sum(self.dropped.values()) + self.dead_lettered
        return self.accepted - told


class Trace(msgspec.Struct, frozen=True):
    """One line of `conductor explain`: something that happened to an event."""

    at_ms: int
    what: str
    """received, stored, attempt, retry, settled, dead_letter, redriven, pushed, confirmed, …"""
    detail: str = ""


class Story(msgspec.Struct, frozen=True):
    """Everything a store knows of one event, oldest first."""

    event_id: str
    direction: Literal["inbound", "outbound"]
    kind: str
    state: str
    steps: list[Trace]
    trace_id: str = ""
    """The trace that the event belongs to: the one that it came with, or the derived one."""


class Cursor(msgspec.Struct, frozen=True):
    """How far the link's history is durably stored here."""

    epoch: str
    """The conductor's history; "" before the first welcome."""
    sequence: int


class OutboxDepth(msgspec.Struct, frozen=True):
    """The outbox, from one transaction."""

    events: int
    bytes: int
    oldest_ms: int | None


class StoredEvent(msgspec.Struct, frozen=True):
    """An event in a conductor's history."""

    sequence: int
    event: KernelEvent
    body: bytes


class Claimed(msgspec.Struct, frozen=True):
    """What became of an attempt to claim an idempotency key of a tool call."""

    state: Literal["fresh", "done", "running", "conflict"]
    """fresh: this call owns it; done: `output` is the first answer; running: another call is at
    it; conflict: it was used with another input."""
    output: bytes | None = None
