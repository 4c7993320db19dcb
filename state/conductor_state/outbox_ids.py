"""Which ids are queued, without an index on the queue.

Promise: every queued id is found, after a crash too. Refusal: no id is searched on disk that is
in memory, and memory holds a bounded number: the newest ids stand in a dict, older ones in two
tables that are filled in sorted portions and emptied as a whole once the queue is past them.
Everything here runs on the database's writer thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from zlib import crc32

import msgspec

from conductor_state.queries import load_queries

RECENT_IDS = 8192
"""Ids in memory: about 2 MB."""
_FULL_TABLE = 4
"""Portions after which a table stops filling, as soon as the other one is empty."""


class _State(msgspec.Struct):
    filling: int
    spilled: int
    last: list[int]
    keys: list[int]


class QueuedIds:
    """Ids and positions of queued events.

    Call `removed` and `added` after the last statement of a work; `forget` when a transaction was
    undone. `capacity` is the number of ids in memory.
    """

    def __init__(self, capacity: int = RECENT_IDS) -> None:
        self._capacity = max(2, capacity)
        self._sql = load_queries("outbox")
        self._recent: dict[str, int] = {}
        self._state = _State(0, 0, [0, 0], [0, 0])
        self._loaded = False

    def forget(self) -> None:
        """Distrust memory: the next call reads it again."""
        self._loaded = False

    def find(self, connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, int]:
        """Return the positions of those ids that are queued."""
        self._load(connection)
        recent = self._recent
        found = {event_id: recent[event_id] for event_id in ids if event_id in recent}
        if not any(self._state.keys) or len(found) == len(ids):
            return found
        keys = msgspec.json.encode([_key(event_id) for event_id in ids if event_id not in found])
        positions: list[int] = []
        for table in (0, 1):
            if self._state.keys[table]:
                rows = connection.execute(self._sql[f"find_{table}"], (keys.decode(),))
                positions += [position for (position,) in rows]
        if positions:
            # A key may be stale, or another id's: only the row itself says that the id is queued.
            at = msgspec.json.encode(positions).decode()
            rows = connection.execute(self._sql["ids_at"], (at,))
            found.update((event_id, position) for event_id, position in rows if event_id in ids)
        return found

    def added(self, rows: Iterable[tuple[str, int]]) -> None:
        """Remember newly queued ids, in order of position."""
        self._recent.update(rows)

    def removed(self, rows: Iterable[tuple[str, int]]) -> None:
        """Forget ids that left the queue."""
        recent = self._recent
        for event_id, position in rows:
            if recent.get(event_id) == position:
                del recent[event_id]

    def spill(self, connection: sqlite3.Connection) -> None:
        """Move the older half to disk while memory is over its bound. Part of a put's commit."""
        self._load(connection)
        while len(self._recent) > self._capacity:
            state = self._state
            table = state.filling
            portion = list(self._recent.items())[: max(1, self._capacity // 2)]
            keyed = sorted((_key(event_id), position) for event_id, position in portion)
            connection.executemany(self._sql[f"spill_{table}"], keyed)
            state.spilled = state.last[table] = portion[-1][1]
            state.keys[table] += len(portion)
            self._save(connection)
            self.removed(portion)

    def sweep(self, connection: sqlite3.Connection) -> None:
        """Empty the tables that the queue has moved past. Part of a confirmation's commit."""
        self._load(connection)
        state = self._state
        if not any(state.keys):
            return
        head = connection.execute(self._sql["head"]).fetchone()
        changed = False
        for table in (0, 1):
            if state.keys[table] and (head is None or state.last[table] < head[0]):
                connection.execute(self._sql[f"clear_{table}"])
                state.keys[table] = 0
                changed = True
        other = 1 - state.filling
        full = state.keys[state.filling] >= _FULL_TABLE * self._capacity
        if full and not state.keys[other]:
            state.filling = other
            changed = True
        if changed:
            self._save(connection)

    def _load(self, connection: sqlite3.Connection) -> None:
        if self._loaded:
            return
        filling, spilled, last_0, keys_0, last_1, keys_1 = connection.execute(
            self._sql["ids_state"]
        ).fetchone()
        self._state = _State(filling, spilled, [last_0, last_1], [keys_0, keys_1])
        self._recent = dict(connection.execute(self._sql["recent_ids"], (spilled,)).fetchall())
        self._loaded = True

    def _save(self, connection: sqlite3.Connection) -> None:
        state = self._state
        connection.execute(
            self._sql["save_ids_state"],
            (state.filling, state.spilled, state.last[0], state.keys[0], state.last[1],
             state.keys[1]),
        )  # fmt: skip


def _key(event_id: str) -> int:
    return crc32(event_id.encode("utf-8", "surrogatepass"))
