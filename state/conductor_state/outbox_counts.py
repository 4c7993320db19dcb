"""What a commit adds to the outbox's counts, kind by kind.

Promise: every change keeps accepted = delivered + buffered + dropped. Refusal: no totals here; a
store owns those and adds.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

OVERFLOW = "overflow"
EXPIRED = "expired"
REJECTED = "rejected"
LOST = "lost"
"""The reasons under which the outbox itself counts what it drops; lost: gone with a broken file."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A queued event without its body: what eviction, expiry and the record of the gone need."""

    position: int
    event_id: str
    kind: str
    put_ms: int
    size: int
    trace: str | None = None


class Change(msgspec.Struct):
    """Additions to one kind; `events` and `size` (what is buffered) may be negative."""

    accepted: int = 0
    delivered: int = 0
    duplicates: int = 0
    events: int = 0
    size: int = 0
    dropped: dict[str, int] = {}

    def drop(self, reason: str, count: int = 1) -> None:
        """Count dropped events."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count


class Changes:
    """Additions by kind."""

    def __init__(self) -> None:
        self.by_kind: dict[str, Change] = {}

    def of(self, kind: str) -> Change:
        """Return the kind's change, to be added to."""
        change = self.by_kind.get(kind)
        if change is None:
            change = self.by_kind[kind] = Change()
        return change

    def leave(self, row: Row, dropped: str | None) -> None:
        """Count that a queued event is delivered (None) or dropped for a reason."""
        change = self.of(row.kind)
        change.events -= 1
        change.size -= row.size
        if dropped is None:
            change.delivered += 1
        else:
            change.drop(dropped)

    def ephemeral(
        self, kind: str, accepted: int, delivered: int, dropped: Mapping[str, int]
    ) -> None:
        """Count events that were never stored.

        Raises:
            ValueError: `accepted` is not the sum of the fates, or a number is negative.
        """
        numbers = (accepted, delivered, *dropped.values())
        if accepted != sum(numbers[1:]) or min(numbers) < 0:
            raise ValueError(
                f"{kind}: {accepted} accepted, {delivered} delivered, {dict(dropped)} dropped"
            )
        change = self.of(kind)
        change.accepted += accepted
        change.delivered += delivered
        for reason, count in dropped.items():
            if count:
                change.drop(reason, count)

    def add(self, other: Changes) -> None:
        """Add another commit's changes to these."""
        for kind, more in other.by_kind.items():
            change = self.of(kind)
            change.accepted += more.accepted
            change.delivered += more.delivered
            change.duplicates += more.duplicates
            change.events += more.events
            change.size += more.size
            for reason, count in more.dropped.items():
                change.drop(reason, count)
