"""What happens at a conductor, for people who look on.

Promise: watching never slows a link; a watcher that does not keep up is told how much it missed.
Refusal: this is no log; nothing is kept for those who come later.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import msgspec

from conductor_sdk.clock import Clock, epoch_ms

What = Literal[
    "started",
    "token_issued",
    "token_revoked",
    "enrolled",
    "enrollment_refused",
    "rotation_ordered",
    "rotation_fetched",
    "rotated",
    "refused",
    "connected",
    "resumed",
    "gap",
    "taken_over",
    "departed",
    "disconnected",
    "sent",
    "delivered",
    "acked",
    "pushed",
    "rejected",
    "anchor_flagged",
    "peer_error",
    "complaint",
    "drain",
    "fault",
    "restarted",
    "missed",
]
"""Everything that can happen; a live display shows these words."""


class EventRef(msgspec.Struct, frozen=True, gc=False):
    """An event as a line of a live display names it."""

    event_id: str
    kind: str
    sequence: int | None = None
    note: str = ""
    """duplicate, or why it was rejected; empty when all went well."""


class Activity(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened; a batch is one record that names its events."""

    at_ms: int
    what: What
    workspace: str = ""
    detail: str = ""
    events: list[EventRef] = []


class Feed:
    """Hands each record to everyone who watches at that moment."""

    def __init__(self, clock: Clock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        # Weak: an iterator that was never started has no `finally` that could sign it off.
        self._watchers: weakref.WeakSet[_Watcher] = weakref.WeakSet()

    @property
    def watched(self) -> bool:
        """Whether anyone looks on: whoever would build a long record asks first."""
        return len(self._watchers) > 0

    def tell(
        self, what: What, workspace: str = "", detail: str = "", events: Sequence[EventRef] = ()
    ) -> None:
        """Publish a record to the present watchers."""
        if self.watched:
            record = Activity(epoch_ms(self._clock.now()), what, workspace, detail, list(events))
            for watcher in self._watchers:
                watcher.put(record)

    def watch(self) -> AsyncIterator[Activity]:
        """Return what happens from this call on, until the iterator is closed."""
        watcher = _Watcher(self._capacity)
        self._watchers.add(watcher)
        return self._records(watcher)

    async def _records(self, watcher: _Watcher) -> AsyncIterator[Activity]:
        try:
            while True:
                for record in await watcher.take():
                    yield record
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    def __init__(self, capacity: int) -> None:
        self._records: deque[Activity] = deque(maxlen=capacity)
        self._missed = 0
        self._wake = asyncio.Event()

    def put(self, record: Activity) -> None:
        self._missed += len(self._records) == self._records.maxlen
        self._records.append(record)
        self._wake.set()

    async def take(self) -> list[Activity]:
        await self._wake.wait()
        self._wake.clear()
        records = list(self._records)
        self._records.clear()
        if self._missed:
            records.insert(
                0, Activity(records[0].at_ms, "missed", detail=f"{self._missed} records")
            )
            self._missed = 0
        return records
