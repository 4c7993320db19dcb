"""Dead letters in SQLite: events that were given up, until someone redrives or drops them.

Promise: a redriven event waits again under a new position and keeps its history; every move keeps
the conservation law. Refusal: nothing leaves here by age.
"""

from __future__ import annotations

import builtins
import sqlite3
from collections.abc import Collection
from zlib import crc32

from conductor_sdk.records import Arrival, DeadLetter, Pending
from conductor_sdk.trace_context import traceparent_in
from conductor_state import stored_events
from conductor_state.batches import BATCH_MAX, position_of
from conductor_state.counters import CountChanges
from conductor_state.crash_points import AFTER_DROP, AFTER_REDRIVE
from conductor_state.errors import StoreCorrupt
from conductor_state.inbound import Inbound
from conductor_state.key_index import key_of
from conductor_state.queries import load_queries
from conductor_state.receiving import store_batch
from conductor_state.replay_log import SqliteReplayLog


class SqliteDeadLetters:
    """`DeadLetters` in the database of a replay log."""

    def __init__(self, replay_log: SqliteReplayLog) -> None:
        self._inbound = replay_log.inbound

    async def list(
        self, *, kind: str | None = None, limit: int = 100, after: int = 0
    ) -> builtins.list[DeadLetter]:
        """Return dead letters, oldest first; `after` is a position."""
        sql = load_queries("dead_letters")

        def work(connection: sqlite3.Connection) -> builtins.list[DeadLetter]:
            if kind is None:
                rows = connection.execute(sql["page"], (after, limit))
            else:
                rows = connection.execute(sql["page_of_kind"], (after, kind, limit))
            return [_dead_letter(row) for row in rows]

        return await self._inbound.read(work)

    async def get(self, event_id: str) -> DeadLetter | None:
        """Return one dead letter."""
        return await self._inbound.read(lambda connection: _find(connection, event_id))

    async def redrive(self, event_ids: Collection[str]) -> builtins.list[Pending]:
        """Make events pending again with no attempts counted; durable on return.

        Unknown ids are skipped; the answer is in the order asked.
        """
        return await self._inbound.write(
            lambda connection: _redrive(connection, self._inbound, event_ids)
        )

    async def drop(self, event_ids: Collection[str]) -> int:
        """Forget dead letters for good: dropped{operator}; durable on return, returns how many."""
        return await self._inbound.write(
            lambda connection: _drop(connection, self._inbound, event_ids)
        )


def _dead_letter(row: tuple[object, ...]) -> DeadLetter:
    position, event_id, kind, body, checksum, *rest = row
    if not isinstance(body, bytes) or crc32(body) != checksum:
        raise StoreCorrupt(f"the checksum of dead letter {event_id} does not match")
    return DeadLetter(event_id, kind, body, position, *rest)  # type: ignore[arg-type]


def _find(connection: sqlite3.Connection, event_id: str) -> DeadLetter | None:
    row = connection.execute(load_queries("dead_letters")["by_event"], (event_id,)).fetchone()
    return None if row is None else _dead_letter(row)


def _find_all(connection: sqlite3.Connection, event_ids: Collection[str]) -> list[DeadLetter]:
    found = [_find(connection, event_id) for event_id in dict.fromkeys(event_ids)]
    return [letter for letter in found if letter is not None]


def _redrive(
    connection: sqlite3.Connection, inbound: Inbound, event_ids: Collection[str]
) -> list[Pending]:
    letters = _find_all(connection, event_ids)
    changes = CountChanges()
    positions: list[int] = []
    for first in range(0, len(letters), BATCH_MAX):
        some = letters[first : first + BATCH_MAX]
        positions += _store_again(connection, inbound, some)
        for letter in some:
            changes.add(letter.kind, dead_lettered=-1, buffered=1)
    changes.store(connection)
    inbound.store_state(connection)
    inbound.keys.write_slice(connection, len(letters))
    inbound.database.crash_point(AFTER_REDRIVE)
    return stored_events.load(connection, inbound, positions)


def _store_again(
    connection: sqlite3.Connection, inbound: Inbound, letters: list[DeadLetter]
) -> list[int]:
    sql = load_queries("replay_log")
    batch = store_batch(
        connection,
        inbound,
        (inbound.state.epoch, inbound.state.sequence),
        [
            Arrival(letter.event_id, letter.kind, letter.body, traceparent_in(letter.body))
            for letter in letters
        ],
        [key_of(letter.event_id) for letter in letters],
        redriven=True,
    )
    positions = [position_of(batch.number, index) for index in range(len(letters))]
    for letter, position in zip(letters, positions, strict=True):
        connection.execute(sql["put_redriven"], (position, letter.redrives + 1, letter.received_ms))
        detail = f"from position {letter.position}"
        key = key_of(letter.event_id)
        connection.execute(
            sql["put_step"], (key, letter.position, batch.received_ms, "redriven", detail)
        )
        connection.execute(load_queries("dead_letters")["delete"], (letter.position,))
    return positions


def _drop(connection: sqlite3.Connection, inbound: Inbound, event_ids: Collection[str]) -> int:
    letters = _find_all(connection, event_ids)
    changes = CountChanges()
    now_ms = inbound.now_ms()
    for letter in letters:
        connection.execute(load_queries("dead_letters")["delete"], (letter.position,))
        inbound.add_step(connection, letter.position, now_ms, "dropped", "by the operator")
        changes.add(letter.kind, dead_lettered=-1)
        changes.drop(letter.kind, "operator", 1)
    changes.store(connection)
    inbound.database.crash_point(AFTER_DROP)
    return len(letters)
