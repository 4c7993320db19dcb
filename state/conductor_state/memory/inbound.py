"""The inbound tables as plain objects: what the in-memory replay log and dead letters share.

Promise: the same positions, counts and stories as the SQLite stores give. Refusal: nothing
survives the process, and nothing is fast on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.records import Arrival, Cursor, KindCounts, Pending, Position

BATCH_BITS = 12
BATCH_MAX = 1 << BATCH_BITS


@dataclass(slots=True)
class Entry:
    """One event under one position."""

    position: Position
    event: Arrival
    first_received_ms: int
    redriven: bool
    redrives: int = 0
    attempts: int = 0
    not_before_ms: int = 0
    outcome: tuple[int, str, str, int] | None = None
    """(settled_ms, status, action, claimed_ms), or None while it waits."""


@dataclass(slots=True)
class Batch:
    """One receipt."""

    number: int
    received_ms: int
    cursor: Cursor
    redriven: bool
    entries: list[Entry] = field(default_factory=list[Entry])


class Ledger:
    """Counters of one direction, by kind."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}
        self._dropped: dict[str, dict[str, int]] = {}

    def add(self, kind: str, **changes: int) -> None:
        """Change counters; the names are those of `KindCounts`."""
        numbers = self._numbers.setdefault(kind, {})
        for name, change in changes.items():
            numbers[name] = numbers.get(name, 0) + change

    def drop(self, kind: str, reason: str, events: int) -> None:
        """Count dropped events."""
        dropped = self._dropped.setdefault(kind, {})
        dropped[reason] = dropped.get(reason, 0) + events
        self._numbers.setdefault(kind, {})

    def counts(self) -> dict[str, KindCounts]:
        """Return the counters by kind, kinds in order."""
        return {
            kind: KindCounts(dropped=dict(sorted(self._dropped.get(kind, {}).items())), **numbers)
            for kind, numbers in sorted(self._numbers.items())
        }


class MemoryInbound:
    """All inbound state; `MemoryReplayLog` and `MemoryDeadLetters` work on one of these."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ms = 0
        self._next_batch = 1
        self.cursor = Cursor("", 0)
        self.batches: dict[int, Batch] = {}
        self.entries: dict[Position, Entry] = {}
        self.by_id: dict[str, list[Position]] = {}
        """Positions of an id within retention, oldest first."""
        self.claims: dict[Position, int] = {}
        """Position to the time of its claim."""
        self.steps: list[tuple[str, Position, int, str, str]] = []
        """(event id, position, time, what, detail)."""
        self.pack_keys: list[tuple[int, set[tuple[str, str]]]] = []
        self.dead: dict[Position, tuple[Entry, int, str, str, int]] = {}
        """Position to (entry, attempts, error code, error, buried_ms)."""
        self.ledger = Ledger()

    def now_ms(self) -> int:
        """Return the time for a new row: never before the newest one."""
        return max(epoch_ms(self._clock.now()), self._last_ms)

    def store(self, events: list[Arrival], cursor: Cursor, *, redriven: bool) -> list[Entry]:
        """Append events as one batch or more of at most 4,096."""
        stored: list[Entry] = []
        for first in range(0, len(events), BATCH_MAX):
            now_ms = self._last_ms = self.now_ms()
            batch = Batch(self._next_batch, now_ms, cursor, redriven)
            self._next_batch += 1
            self.batches[batch.number] = batch
            for index, event in enumerate(events[first : first + BATCH_MAX]):
                position = batch.number << BATCH_BITS | index
                entry = Entry(position, event, now_ms, redriven)
                self.entries[position] = entry
                self.by_id.setdefault(event.event_id, []).append(position)
                batch.entries.append(entry)
            stored += batch.entries
        return stored

    def waiting(self, position: Position) -> Entry | None:
        """Return the entry at a position if it is stored and not settled."""
        entry = self.entries.get(position)
        return None if entry is None or entry.outcome is not None else entry

    def pending(self, entry: Entry) -> Pending:
        """Show an entry; a claim that is open counts as an attempt."""
        event = entry.event
        attempts = entry.attempts + (entry.position in self.claims)
        return Pending(
            entry.position, event.event_id, event.kind, event.body,
            attempts, entry.not_before_ms, entry.redriven,
        )  # fmt: skip

    def forget(self, batch: Batch) -> None:
        """Remove a settled batch: its ids are new if they come again."""
        del self.batches[batch.number]
        for entry in batch.entries:
            del self.entries[entry.position]
            positions = self.by_id[entry.event.event_id]
            positions.remove(entry.position)
            if not positions:
                del self.by_id[entry.event.event_id]
