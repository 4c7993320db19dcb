"""The outbox's statements, on the database's writer thread.

Promise: rows, counts, remembered departures and queued ids change together, in the commit of the
work that calls. Refusal: no decision about caps and no waiting; see the ledger and the gate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import starmap

import msgspec

from conductor_sdk.records import Outgoing
from conductor_state import outbox_gone
from conductor_state.event_sums import checksum_of
from conductor_state.outbox_caps import REST, OutboxCaps, Pool
from conductor_state.outbox_counts import Changes, Row
from conductor_state.outbox_gone import Departure
from conductor_state.outbox_ids import QueuedIds
from conductor_state.queries import load_queries

_PAGE = 256
_ROWS = 32
"""Rows in one INSERT: a third less time than one by one."""


class OutboxTables:
    """All that reads and writes the outbox's tables. One per outbox, not thread-safe."""

    def __init__(self, recent_ids: int) -> None:
        self.ids = QueuedIds(recent_ids)
        self._sql = load_queries("outbox")
        insert, row = self._sql["insert"].split("VALUES")
        self._insert_block = f"{insert}VALUES{','.join([row] * _ROWS)}"
        self._floors: dict[Pool, int] = {}
        self._floors_for: OutboxCaps | None = None

    def forget(self) -> None:
        """Distrust what memory says of the tables: a transaction was undone."""
        self.ids.forget()
        self._floors = {}

    def next_position(self, connection: sqlite3.Connection) -> int:
        """Return the first position that was never used."""
        row = connection.execute(self._sql["next_position"]).fetchone()
        return 1 if row is None else row[0] + 1

    def loads(self, connection: sqlite3.Connection) -> list[tuple[str, int, int]]:
        """Return (kind, events, bytes) that are queued."""
        return connection.execute(self._sql["loads"]).fetchall()

    def oldest(
        self, connection: sqlite3.Connection, caps: OutboxCaps
    ) -> Callable[[Pool, int], Row | None]:
        """Return a view of the pools' oldest events that reads ahead in pages."""
        lines: dict[Pool, list[Row]] = {}
        ended: set[Pool] = set()

        def nth(pool: Pool, number: int) -> Row | None:
            line = lines.setdefault(pool, [])
            while len(line) <= number and pool not in ended:
                after = line[-1].position + 1 if line else None
                page = self.oldest_page(connection, caps, pool, after)
                line.extend(page)
                if len(page) < _PAGE:
                    ended.add(pool)
            return line[number] if number < len(line) else None

        return nth

    def oldest_page(
        self, connection: sqlite3.Connection, caps: OutboxCaps, pool: Pool, start: int | None = None
    ) -> list[Row]:
        """Return up to a page of a pool's events from `start` on, or its oldest."""
        if caps is not self._floors_for:
            self._floors, self._floors_for = {}, caps
        floor = self._floors.get(pool, 0) if start is None else start
        if pool == REST:
            own = msgspec.json.encode(list(caps.kinds)).decode()
            rows = connection.execute(self._sql["oldest_of_rest"], (floor, own, _PAGE))
        else:
            rows = connection.execute(self._sql["oldest_of_kind"], (floor, pool, _PAGE))
        page = list(starmap(Row, rows))
        if page and start is None:
            # Nothing of the pool stands before it: the next search need not walk there again.
            self._floors[pool] = page[0].position
        return page

    def insert(
        self, connection: sqlite3.Connection, rows: Sequence[tuple[int, Outgoing]], now_ms: int
    ) -> None:
        """Store events at their positions, in order."""
        whole = len(rows) - len(rows) % _ROWS
        for start in range(0, whole, _ROWS):
            block: list[object] = []
            for position, event in rows[start : start + _ROWS]:
                block += (
                    position, event.event_id, event.kind, now_ms, event.body, event.trace,
                    checksum_of(event.event_id, event.kind, event.body),
                )  # fmt: skip
            connection.execute(self._insert_block, block)
        connection.executemany(
            self._sql["insert"],
            [
                (
                    position,
                    event.event_id,
                    event.kind,
                    now_ms,
                    event.body,
                    event.trace,
                    checksum_of(event.event_id, event.kind, event.body),
                )
                for position, event in rows[whole:]
            ],
        )
        self.ids.added([(event.event_id, position) for position, event in rows])
        self.ids.spill(connection)

    def withdraw(self, connection: sqlite3.Connection, positions: Sequence[int]) -> list[Row]:
        """Remove those of the sorted positions that are queued; return what they were."""
        rows: list[Row] = []
        for first, last in _runs(positions):
            rows += starmap(Row, connection.execute(self._sql["rows_between"], (first, last)))
            connection.execute(self._sql["delete_between"], (first, last))
        self.ids.removed([(row.event_id, row.position) for row in rows])
        return rows

    def remember(
        self,
        connection: sqlite3.Connection,
        departures: Iterable[Departure],
        now_ms: int,
        taken_at: Callable[[int], int],
    ) -> None:
        """Keep what `story` tells of events that left."""
        for departure in departures:
            if departure.rows:
                packed = outbox_gone.pack(departure, taken_at)
                connection.execute(self._sql["add_gone"], (now_ms, len(departure.rows), *packed))

    def add(self, connection: sqlite3.Connection, changes: Changes) -> None:
        """Add changes to the counts."""
        for kind, change in changes.by_kind.items():
            connection.execute(
                self._sql["add_counts"],
                (kind, change.accepted, change.delivered, change.duplicates, change.events,
                 change.size),
            )  # fmt: skip
            for reason, count in change.dropped.items():
                connection.execute(self._sql["add_dropped"], (kind, reason, count))

    def forget_gone(self, connection: sqlite3.Connection, older_than_ms: int, limit: int) -> int:
        """Forget departures from before then, at most a page; return how many events."""
        forgotten: list[tuple[int]] = []
        events = 0
        for batch, count in connection.execute(self._sql["gone_before"], (older_than_ms, _PAGE)):
            forgotten.append((batch,))
            events += count
            if events >= limit:
                break
        connection.executemany(self._sql["forget_gone"], forgotten)
        return events


def _runs(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for position in positions:
        if first is None or last is None:
            first = last = position
        elif position == last + 1:
            last = position
        else:
            yield first, last
            first = last = position
    if first is not None and last is not None:
        yield first, last
