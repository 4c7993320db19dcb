"""The replay log in SQLite: what came down the link, until it is settled and forgotten.

Promise: an event is stored once within retention, is there until it is settled, and its outcome,
its replay keys and the counters change in one commit. Refusal: it never looks into a body and
never decides whether to try again.

How it is fast: a batch is a row, whatever its size (`batches`); a log-structured index tells new
ids from old without touching the disk (`key_index`); concurrent calls share a commit (`database`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from conductor_sdk.records import (
    Arrival,
    Cursor,
    KindCounts,
    Pending,
    Position,
    Receipt,
    Settled,
    Story,
)
from conductor_state import receiving, retention, settling, stored_events
from conductor_state.counters import read_counts
from conductor_state.crash_points import AFTER_CLAIM, AFTER_RELEASE
from conductor_state.database import Database
from conductor_state.errors import StoreCorrupt
from conductor_state.explain import story
from conductor_state.inbound import Inbound
from conductor_state.key_index import SEAL_AT, key_of
from conductor_state.queries import load_queries


class SqliteReplayLog:
    """`ReplayLog` on a database with the schema `sidecar`. Make it with `open`.

    The database is opened and closed by its owner; one replay log for each.
    """

    def __init__(self, inbound: Inbound) -> None:
        self.inbound = inbound
        """Shared with `SqliteDeadLetters`."""

    @classmethod
    async def open(cls, database: Database, *, seal_at: int = SEAL_AT) -> SqliteReplayLog:
        """Read the cursor, the claims and the newest keys.

        Args:
            database: Open, with the schema `sidecar`.
            seal_at: Keys in memory at which a part of the index is written; tests lower it.

        Raises:
            StoreCorrupt: The counters contradict each other.
        """
        log = cls(await Inbound.open(database, seal_at=seal_at))
        for kind, counts in (await log.counts()).items():
            if not counts.balanced:
                raise StoreCorrupt(f"the counters of {kind!r} do not add up")
        return log

    async def cursor(self) -> Cursor:
        """Return how far the link's history is stored."""
        return await self.inbound.read(lambda _: self.inbound.state.cursor)

    async def receive(
        self,
        epoch: str,
        last: int,
        events: Sequence[Arrival],
        refused: Mapping[tuple[str, str], int] | None = None,
    ) -> Receipt:
        """Store a batch and move the cursor, in one commit; durable on return.

        Ids received within retention, or twice in the batch, are duplicates. The cursor never
        moves back within an epoch.
        """
        # Hashing happens here, while the writer thread waits for the disk.
        keys = [key_of(event.event_id) for event in events]
        reception = receiving.Reception(epoch, last, events, keys, refused or {})
        return await self.inbound.write(
            lambda connection: receiving.receive(connection, self.inbound, reception)
        )

    async def reset_cursor(self, epoch: str, sequence: int) -> None:
        """Begin a new history; durable on return."""
        inbound = self.inbound

        def work(connection: sqlite3.Connection) -> None:
            inbound.state = msgspec.structs.replace(inbound.state, epoch=epoch, sequence=sequence)
            inbound.store_state(connection)

        await inbound.write(work)

    async def claim(self, positions: Sequence[Position]) -> None:
        """Count one attempt for each position; durable on return."""
        inbound = self.inbound

        def work(connection: sqlite3.Connection) -> None:
            inbound.claims.claim(connection, positions, inbound.now_ms())
            inbound.database.crash_point(AFTER_CLAIM)

        if positions:
            await inbound.write(work)

    async def settle(self, outcomes: Sequence[Settled]) -> None:
        """Record outcomes and the keys they carry, in one commit; durable on return.

        Settling a position twice keeps the first outcome.
        """
        if outcomes:
            await self.inbound.write(
                lambda connection: settling.settle(connection, self.inbound, outcomes)
            )

    async def release(self, positions: Sequence[Position]) -> None:
        """Give claimed events back without costing an attempt; durable on return."""
        inbound = self.inbound

        def work(connection: sqlite3.Connection) -> None:
            inbound.claims.let_go(connection, positions, positions)
            inbound.database.crash_point(AFTER_RELEASE)

        if positions:
            await inbound.write(work)

    async def load(self, positions: Sequence[Position]) -> list[Pending]:
        """Read stored events again, in the order asked; settled ones are left out."""
        return await self.inbound.read(
            lambda connection: stored_events.load(connection, self.inbound, positions)
        )

    async def has_key(self, slug: str, key: str) -> bool:
        """Tell whether a pack's replay key is durable; "no" costs no access to the disk."""
        if not self.inbound.pack_keys.maybe(slug, key):
            return False
        return await self.inbound.read(
            lambda connection: self.inbound.pack_keys.has(connection, slug, key)
        )

    async def put_keys(self, keys: Sequence[tuple[str, str]]) -> None:
        """Store (slug, key) pairs; durable on return."""
        inbound = self.inbound
        if keys:
            await inbound.write(
                lambda connection: inbound.pack_keys.put(connection, keys, inbound.now_ms())
            )

    async def reap(self) -> int:
        """Once at start: count an attempt for every claim that a crash left; how many events."""
        return await self.inbound.write(
            lambda connection: stored_events.reap(connection, self.inbound)
        )

    async def pending(self, after: Position, limit: int) -> list[Pending]:
        """Page through what is stored and not settled, in order of arrival."""
        return await self.inbound.read(
            lambda connection: stored_events.pending(connection, self.inbound, after, limit)
        )

    async def backlog(self) -> int:
        """Count events that are stored and not settled; reads one row for each kind."""
        return await self.inbound.read(
            lambda connection: int(
                connection.execute(load_queries("replay_log")["backlog"]).fetchone()[0]
            )
        )

    async def prune(self, older_than_ms: int, limit: int) -> int:
        """Forget about `limit` settled events, and pack keys, from before then; returns how many.

        Call again until 0. Whole batches go, oldest first.
        """
        return await self.inbound.write(
            lambda connection: retention.prune(connection, self.inbound, older_than_ms, limit)
        )

    async def counts(self) -> dict[str, KindCounts]:
        """Return inbound counts by kind, from one transaction."""
        return await self.inbound.read(read_counts)

    async def story(self, event_id: str) -> Story | None:
        """Tell what is known of an inbound event within retention."""
        return await self.inbound.read(lambda connection: story(connection, self.inbound, event_id))
