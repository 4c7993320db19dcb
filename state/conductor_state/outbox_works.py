"""The outbox's commits: putting, confirming, expiring, each a work for the writer thread.

Promise: an event and the count of its fate change in the same commit. Refusal: no waiting, no
clock; time and caps are those that the caller saw.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from conductor_sdk.records import Outgoing
from conductor_state.outbox_caps import OutboxCaps, Pool
from conductor_state.outbox_counts import EXPIRED, OVERFLOW, REJECTED, Changes, Row
from conductor_state.outbox_gone import Departure
from conductor_state.outbox_ledger import Ledger
from conductor_state.outbox_tables import OutboxTables
from conductor_state.outbox_verdicts import Verdict

TakenAt = Callable[[int], int]
"""When a position was last read for pushing; 0 for unknown."""


class OutboxWorks:
    """The works on one outbox's tables."""

    def __init__(self, tables: OutboxTables, crash_point: Callable[[str], None]) -> None:
        self._tables = tables
        self._crash_point = crash_point

    def put(
        self,
        connection: sqlite3.Connection,
        calls: Sequence[Sequence[Outgoing]],
        caps: OutboxCaps,
        now_ms: int,
        taken_at: TakenAt,
    ) -> list[Verdict]:
        """Decide the calls in order and store what is stored; one verdict each."""
        self._crash_point("outbox.before_put")
        tables = self._tables
        ledger = Ledger(
            caps,
            tables.loads(connection),
            tables.oldest(connection, caps),
            next_position=tables.next_position(connection),
            now_ms=now_ms,
        )
        ids = {event.event_id for events in calls for event in events}
        ledger.queued.update(tables.ids.find(connection, ids))
        verdicts = ledger.decide_all(calls)
        if ledger.evicted:
            tables.withdraw(connection, sorted(row.position for row in ledger.evicted))
            lost = Departure(ledger.evicted, OVERFLOW)
            tables.remember(connection, [lost], now_ms, taken_at)
        tables.insert(connection, sorted(ledger.rows.items()), now_ms)
        tables.add(connection, ledger.changes)
        self._crash_point("outbox.after_put")
        return verdicts

    def confirm(
        self,
        connection: sqlite3.Connection,
        positions: Sequence[int],
        refused: Mapping[int, str],
        now_ms: int,
        taken_at: TakenAt,
    ) -> None:
        """Remove those of the sorted positions that are queued."""
        self._crash_point("outbox.before_confirm")
        rows = self._tables.withdraw(connection, positions)
        delivered = [row for row in rows if row.position not in refused] if refused else rows
        rejected = [row for row in rows if row.position in refused] if refused else []
        departures = [
            Departure(delivered),
            Departure(rejected, REJECTED, [refused[row.position] for row in rejected]),
        ]
        self._leave(connection, departures, now_ms, taken_at)
        self._tables.ids.sweep(connection)
        self._crash_point("outbox.after_confirm")

    def expire(
        self,
        connection: sqlite3.Connection,
        caps: OutboxCaps,
        pool: Pool,
        now_ms: int,
        taken_at: TakenAt,
    ) -> int:
        """Drop a page of events over the pool's age cap; returns how many."""
        max_age_s = caps.of(pool).max_age_s
        if max_age_s is None:
            return 0
        before_ms = now_ms - round(max_age_s * 1000)
        old: list[Row] = []
        for row in self._tables.oldest_page(connection, caps, pool):
            if row.put_ms >= before_ms:
                break
            old.append(row)
        self._tables.withdraw(connection, [row.position for row in old])
        self._leave(connection, [Departure(old, EXPIRED)], now_ms, taken_at)
        self._tables.ids.sweep(connection)
        return len(old)

    def _leave(
        self,
        connection: sqlite3.Connection,
        departures: Sequence[Departure],
        now_ms: int,
        taken_at: TakenAt,
    ) -> None:
        changes = Changes()
        for departure in departures:
            for row in departure.rows:
                changes.leave(row, departure.dropped)
        self._tables.remember(connection, departures, now_ms, taken_at)
        self._tables.add(connection, changes)
