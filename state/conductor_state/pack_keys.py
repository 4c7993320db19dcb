"""Replay keys of packs: one row for each commit that brought some.

Promise: a key that is committed is found; "never seen" is answered from memory, without waiting
for the disk. Refusal: keys of different packs never meet, and a key has no value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from conductor_state.key_index import KeyIndex, key_of, split_keys
from conductor_state.queries import load_queries

_FAMILY = 1


class PackKeys:
    """The table of pack keys and its index. Writer thread only, except `maybe`."""

    def __init__(self, *, seal_at: int) -> None:
        self._index = KeyIndex(_FAMILY, seal_at=seal_at)
        self._next = 1

    def load(self, connection: sqlite3.Connection) -> None:
        """Read everything again."""
        sql = load_queries("replay_log")
        self._next = connection.execute(sql["next_pack_keys"]).fetchone()[0]
        self._index.load(connection, lambda row: connection.execute(sql["pack_keys_after"], (row,)))

    def maybe(self, slug: str, key: str) -> bool:
        """Tell from memory whether a key may be there; False is certain. Any thread."""
        return self._index.maybe(_digest(slug, key))

    def has(self, connection: sqlite3.Connection, slug: str, key: str) -> bool:
        """Tell whether a key is there and within retention."""
        sql = load_queries("replay_log")["pack_keys_exist"]
        rows = self._index.find(connection, [_digest(slug, key)]).get(0, [])
        return any(connection.execute(sql, (row,)).fetchone() for row in rows)

    def put(
        self, connection: sqlite3.Connection, keys: Sequence[tuple[str, str]], now_ms: int
    ) -> None:
        """Store (slug, key) pairs. The last statements of a work."""
        if not keys:
            return
        digests = list(dict.fromkeys(_digest(slug, key) for slug, key in keys))
        row = self._next
        connection.execute(
            load_queries("replay_log")["put_pack_keys"], (row, now_ms, b"".join(digests))
        )
        self._index.write_slice(connection, len(digests))
        self._index.add(row, digests)
        self._next = row + 1

    def prune(self, connection: sqlite3.Connection, older_than_ms: int, limit: int) -> int:
        """Forget about `limit` keys stored before a time, oldest first; returns how many."""
        sql = load_queries("replay_log")
        old: list[tuple[int, bytes]] = []
        count = 0
        for row, stored_ms, keys in connection.execute(sql["old_pack_keys"]):
            if stored_ms >= older_than_ms or count >= limit:
                break
            old.append((row, keys))
            count += len(split_keys(keys))
        connection.executemany(sql["delete_pack_keys"], [(row,) for row, _ in old])
        self._index.drop(
            connection,
            lambda first, last: (
                connection.execute(sql["pack_keys_between"], (first, last)).fetchone() is not None
            ),
        )
        for row, keys in old:
            self._index.forget(row, split_keys(keys))
        return count


def _digest(slug: str, key: str) -> bytes:
    # A slug has no NUL, so no two pairs share a text.
    return key_of(f"{slug}\0{key}")
