"""The replay log in memory, for tests and pack harnesses.

Promise: passes the contract suite of `testing.replay_log`, with the same positions, counts and
stories as SQLite. Refusal: "durable" means as long as the object lives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from conductor_sdk.clock import Clock
from conductor_sdk.records import (
    Arrival,
    Buried,
    Cursor,
    Delivered,
    KindCounts,
    Pending,
    Position,
    Receipt,
    RetryLater,
    Settled,
    Story,
)
from conductor_state.memory.explain import story
from conductor_state.memory.inbound import Entry, MemoryInbound


class MemoryReplayLog:
    """`ReplayLog` without a database."""

    def __init__(self, clock: Clock) -> None:
        self.inbound = MemoryInbound(clock)
        """Shared with `MemoryDeadLetters`."""

    async def cursor(self) -> Cursor:
        """Return how far the link's history is stored."""
        return self.inbound.cursor

    async def receive(
        self,
        epoch: str,
        last: int,
        events: Sequence[Arrival],
        refused: Mapping[tuple[str, str], int] | None = None,
    ) -> Receipt:
        """Store a batch and move the cursor."""
        inbound = self.inbound
        for (kind, reason), number in (refused or {}).items():
            inbound.ledger.add(kind, accepted=number)
            inbound.ledger.drop(kind, reason, number)
        fresh: dict[str, int] = {}
        duplicates = replayed = 0
        for index, event in enumerate(events):
            known = inbound.by_id.get(event.event_id)
            if event.event_id in fresh or (known and inbound.waiting(known[-1])):
                duplicates += 1
                inbound.ledger.add(event.kind, duplicates=1)
            elif known:
                replayed += 1
                inbound.ledger.add(event.kind, replayed=1)
            else:
                fresh[event.event_id] = index
        entries = inbound.store(
            [events[index] for index in fresh.values()], Cursor(epoch, last), redriven=False
        )
        positions: list[Position | None] = [None] * len(events)
        for index, entry in zip(fresh.values(), entries, strict=True):
            positions[index] = entry.position
            inbound.ledger.add(entry.event.kind, accepted=1, buffered=1)
        if epoch == inbound.cursor.epoch:
            last = max(last, inbound.cursor.sequence)
        inbound.cursor = Cursor(epoch, last)
        return Receipt(positions, duplicates, replayed)

    async def reset_cursor(self, epoch: str, sequence: int) -> None:
        """Begin a new history."""
        self.inbound.cursor = Cursor(epoch, sequence)

    async def claim(self, positions: Sequence[Position]) -> None:
        """Count one attempt for each position."""
        self.inbound.claims.update(dict.fromkeys(positions, self.inbound.now_ms()))

    async def settle(self, outcomes: Sequence[Settled]) -> None:
        """Record outcomes; settling a position twice keeps the first."""
        inbound = self.inbound
        now_ms = inbound.now_ms()
        first = {outcome.position: outcome for outcome in reversed(outcomes)}
        for outcome in first.values():
            entry = inbound.waiting(outcome.position)
            if entry is not None:
                self._settle(entry, outcome, now_ms)
        for outcome in outcomes:
            inbound.claims.pop(outcome.position, None)
        keys = {key for outcome in outcomes for key in outcome.keys}
        if keys:
            inbound.pack_keys.append((now_ms, keys))

    async def release(self, positions: Sequence[Position]) -> None:
        """Give claimed events back without costing an attempt."""
        for position in positions:
            self.inbound.claims.pop(position, None)

    async def load(self, positions: Sequence[Position]) -> list[Pending]:
        """Read stored events again, in the order asked; settled ones are left out."""
        entries = [self.inbound.waiting(position) for position in positions]
        return [self.inbound.pending(entry) for entry in entries if entry is not None]

    async def has_key(self, slug: str, key: str) -> bool:
        """Tell whether a pack's replay key is there."""
        return any((slug, key) in keys for _, keys in self.inbound.pack_keys)

    async def put_keys(self, keys: Sequence[tuple[str, str]]) -> None:
        """Store (slug, key) pairs."""
        if keys:
            self.inbound.pack_keys.append((self.inbound.now_ms(), set(keys)))

    async def reap(self) -> int:
        """Count an attempt for every claim that is open; how many events."""
        inbound = self.inbound
        now_ms = inbound.now_ms()
        entries = [inbound.waiting(position) for position in sorted(inbound.claims)]
        inbound.claims.clear()
        left = [entry for entry in entries if entry is not None]
        for entry in left:
            entry.attempts += 1
            self._step(entry, now_ms, "reaped", "the process ended during it")
        return len(left)

    async def pending(self, after: Position, limit: int) -> list[Pending]:
        """Page through what is stored and not settled, in order of arrival."""
        waiting = [
            entry
            for position, entry in sorted(self.inbound.entries.items())
            if position > after and entry.outcome is None
        ]
        return [self.inbound.pending(entry) for entry in waiting[:limit]]

    async def backlog(self) -> int:
        """Count events that are stored and not settled."""
        return sum(entry.outcome is None for entry in self.inbound.entries.values())

    async def prune(self, older_than_ms: int, limit: int) -> int:
        """Forget about `limit` settled events, and pack keys, from before then; returns how many.

        Call again until 0. Whole batches go, oldest first.
        """
        inbound = self.inbound
        forgotten, kept = 0, False
        for batch in list(inbound.batches.values()):
            if batch.received_ms >= older_than_ms or forgotten >= limit:
                break
            waits = any(e.outcome is None or e.position in inbound.dead for e in batch.entries)
            if waits or (batch.redriven and kept):
                kept = True
                continue
            inbound.forget(batch)
            forgotten += len(batch.entries)
        return forgotten + self._prune_keys(older_than_ms, limit)

    async def counts(self) -> dict[str, KindCounts]:
        """Return inbound counts by kind."""
        return self.inbound.ledger.counts()

    async def story(self, event_id: str) -> Story | None:
        """Tell what is known of an inbound event within retention."""
        return story(self.inbound, event_id)

    def _settle(self, entry: Entry, outcome: Settled, now_ms: int) -> None:
        inbound, kind = self.inbound, entry.event.kind
        claimed_ms = inbound.claims.get(entry.position, 0)
        match outcome:
            case Delivered(status=status, action=action):
                entry.outcome = (now_ms, status, action, claimed_ms)
                inbound.ledger.add(kind, buffered=-1)
                if status == "unhandled":
                    inbound.ledger.drop(kind, status, 1)
                else:
                    inbound.ledger.add(kind, delivered=1, replayed=int(status == "replayed"))
            case RetryLater():
                entry.attempts, entry.not_before_ms = outcome.attempts, outcome.not_before_ms
                detail = f"attempt {outcome.attempts}: {outcome.error}"
                self._attempt(entry, claimed_ms, now_ms, "retry", detail)
            case Buried(error_code=code):
                entry.outcome = (now_ms, "dead_letter", code, claimed_ms)
                inbound.dead[entry.position] = (
                    entry, outcome.attempts, code, outcome.error, now_ms,
                )  # fmt: skip
                inbound.ledger.add(kind, buffered=-1, dead_lettered=1)
                detail = f"attempt {outcome.attempts}: {code}: {outcome.error}"
                self._attempt(entry, claimed_ms, now_ms, "dead_letter", detail)
            case _:
                assert_never(outcome)

    def _attempt(self, entry: Entry, began_ms: int, now_ms: int, what: str, detail: str) -> None:
        if began_ms:
            self._step(entry, began_ms, "attempt", "")
        self._step(entry, now_ms, what, detail)

    def _step(self, entry: Entry, at_ms: int, what: str, detail: str) -> None:
        self.inbound.steps.append((entry.event.event_id, entry.position, at_ms, what, detail))

    def _prune_keys(self, older_than_ms: int, limit: int) -> int:
        rows = self.inbound.pack_keys
        forgotten = 0
        while rows and rows[0][0] < older_than_ms and forgotten < limit:
            forgotten += len(rows.pop(0)[1])
        return forgotten
