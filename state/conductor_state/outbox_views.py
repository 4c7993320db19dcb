"""What the outbox tells of itself, read from committed state on the writer thread.

Promise: every answer comes from one transaction, and none but `recount` takes longer when more is
queued. Refusal: nothing is written here.
"""

from __future__ import annotations

import sqlite3

from conductor_sdk.records import KindCounts, OutboxDepth, Queued
from conductor_state import outbox_gone
from conductor_state.errors import StoreCorrupt
from conductor_state.event_sums import checksum_of
from conductor_state.outbox_counts import LOST, Changes
from conductor_state.outbox_gone import Gone
from conductor_state.outbox_tables import OutboxTables
from conductor_state.queries import load_queries

_PAGE = 256


class OutboxViews:
    """Reads for one outbox."""

    def __init__(self, tables: OutboxTables) -> None:
        self._tables = tables
        self._sql = load_queries("outbox")

    def take(
        self, connection: sqlite3.Connection, after: int, limit: int, max_bytes: int
    ) -> list[Queued]:
        """Read events after a position until `limit` or `max_bytes`, at least one.

        Raises:
            StoreCorrupt: An event is not what was queued.
        """
        events: list[Queued] = []
        size = 0
        for row in connection.execute(self._sql["take"], (after, limit)):
            size += len(row[3])
            if events and size > max_bytes:
                break
            if row[6] != checksum_of(row[1], row[2], row[3]):
                raise StoreCorrupt(f"the checksum of queued event {row[0]} does not match")
            events.append(Queued(*row[:6]))
        return events

    def counts(self, connection: sqlite3.Connection) -> dict[str, KindCounts]:
        """Return the counts by kind."""
        dropped: dict[str, dict[str, int]] = {}
        for kind, reason, count in connection.execute(self._sql["dropped"]):
            dropped.setdefault(kind, {})[reason] = count
        return {
            kind: KindCounts(
                accepted=accepted,
                delivered=delivered,
                buffered=events,
                dropped=dropped.get(kind, {}),
                duplicates=duplicates,
            )
            for kind, accepted, delivered, duplicates, events in connection.execute(
                self._sql["counts"]
            )
        }

    def depth(self, connection: sqlite3.Connection) -> OutboxDepth:
        """Return events, bytes and when the oldest was put."""
        loads = self._tables.loads(connection)
        head = connection.execute(self._sql["head"]).fetchone()
        events, size = sum(load[1] for load in loads), sum(load[2] for load in loads)
        return OutboxDepth(events=events, bytes=size, oldest_ms=head and head[1])

    def plausible(self, connection: sqlite3.Connection) -> bool:
        """Compare the totals with the ends of the queue: cheap at any size."""
        total = self.depth(connection).events
        head: tuple[int, int] | None = connection.execute(self._sql["head"]).fetchone()
        if head is None:
            return total == 0
        return 0 < total <= self._tables.next_position(connection) - head[0]

    def recount(self, connection: sqlite3.Connection) -> Changes:
        """Count every row; return what must be added to the totals to make them true.

        A row that is missing becomes dropped{lost}, one too many becomes accepted.
        """
        true = {
            kind: (events, size) for kind, events, size in connection.execute(self._sql["recount"])
        }
        changes = Changes()
        told = {kind: (events, size) for kind, events, size in self._tables.loads(connection)}
        for kind in told.keys() | true.keys():
            events, size = true.get(kind, (0, 0))
            events_told, size_told = told.get(kind, (0, 0))
            if (events, size) != (events_told, size_told):
                change = changes.of(kind)
                change.events, change.size = events - events_told, size - size_told
                change.accepted = max(change.events, 0)
                if change.events < 0:
                    change.drop(LOST, -change.events)
        return changes

    def queued(
        self, connection: sqlite3.Connection, event_id: str
    ) -> tuple[int, str, int, str | None] | None:
        """Return (position, kind, put time, trace) of an id that is queued."""
        position = self._tables.ids.find(connection, (event_id,)).get(event_id)
        if position is None:
            return None
        row = connection.execute(self._sql["one"], (position,)).fetchone()
        return None if row is None else (position, *row)

    def gone(
        self, connection: sqlite3.Connection, event_id: str, before: int
    ) -> tuple[list[Gone], int]:
        """Look for an id in a page of departures before a batch, newest first.

        Returns what was found and the batch to go on before; 0 at the end.
        """
        page = connection.execute(self._sql["gone_page"], (before, _PAGE)).fetchall()
        found: list[Gone] = []
        for _, gone_ms, digests, detail in page:
            found += outbox_gone.find(event_id, gone_ms, digests, detail)
        return found, page[-1][0] if len(page) == _PAGE else 0
