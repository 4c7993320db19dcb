"""The conservation law in the database: changed only in the commits that move events.

Promise: what `read_counts` gives was true in one transaction. Refusal: no counter lives in memory,
so none can disagree with the events after a crash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from conductor_sdk.records import KindCounts
from conductor_state.queries import load_queries

_COLUMNS = ("accepted", "delivered", "buffered", "dead_lettered", "duplicates", "replayed")


class CountChanges:
    """What one work changes; gathered, then stored with one statement for each kind."""

    __slots__ = ("_drops", "_kinds")

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, int]] = {}
        self._drops: dict[tuple[str, str], int] = {}

    def add(self, kind: str, **changes: int) -> None:
        """Change counters of a kind; the names are those of `KindCounts`."""
        counts = self._kinds.setdefault(kind, dict.fromkeys(_COLUMNS, 0))
        for name, change in changes.items():
            counts[name] += change

    def drop(self, kind: str, reason: str, events: int) -> None:
        """Count dropped events."""
        self._drops[kind, reason] = self._drops.get((kind, reason), 0) + events

    def store(self, connection: sqlite3.Connection) -> None:
        """Write the changes into the open transaction."""
        sql = load_queries("replay_log")
        if self._kinds:
            connection.executemany(
                sql["add_counts"],
                [(kind, *counts.values()) for kind, counts in self._kinds.items()],
            )
        if self._drops:
            connection.executemany(
                sql["add_drops"],
                [(kind, reason, events) for (kind, reason), events in self._drops.items()],
            )


def read_counts(connection: sqlite3.Connection) -> dict[str, KindCounts]:
    """Return the counters by kind, kinds in order."""
    sql = load_queries("replay_log")
    dropped: dict[str, dict[str, int]] = {}
    for kind, reason, events in connection.execute(sql["drops"]):
        dropped.setdefault(kind, {})[reason] = events
    return {
        kind: _kind_counts(dict(zip(_COLUMNS, numbers, strict=True)), dropped.get(kind, {}))
        for kind, *numbers in connection.execute(sql["counts"])
    }


def _kind_counts(numbers: Mapping[str, int], dropped: Mapping[str, int]) -> KindCounts:
    return KindCounts(dropped=dropped, **numbers)
