"""What Sidekick's storage is compared with, each with the records of the benchmark.

`LineFile` works as the reference memory server of the Model Context Protocol describes itself: one
file of JSON lines, read as a whole before and written as a whole after every change, searched for
a substring. It neither syncs nor locks. `RawSqlite` is the least that SQLite can do for the same:
a row and its text in one synced transaction, and a ranked query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

Row = dict[str, Any]


class LineFile:
    """One file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(Row)

    def fill(self, rows: Sequence[Row]) -> None:
        """Write all rows."""
        self._path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))

    def create(self, row: Row) -> None:
        """Read all, append one, write all."""
        rows = self._load()
        if all(known["id"] != row["id"] for known in rows):
            rows.append(row)
        self.fill(rows)

    def recall(self, text: str, limit: int) -> list[Row]:
        """Read all, keep what contains the text in any case."""
        needle = text.lower()
        return [row for row in self._load() if needle in row["content"].lower()][:limit]

    def _load(self) -> list[Row]:
        return [self._decoder.decode(line) for line in self._path.read_bytes().split(b"\n")]


class RawSqlite:
    """One table and its FTS5 index, written without anything around it."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE memory (id TEXT PRIMARY KEY, body BLOB)")
        self._connection.execute(
            "CREATE VIRTUAL TABLE memory_text USING fts5 "
            "(content, tokenize = 'porter unicode61 remove_diacritics 2')"
        )

    def fill(self, rows: Sequence[Row]) -> None:
        """Insert all rows in one transaction."""
        self._connection.execute("BEGIN")
        for row in rows:
            self._insert(row)
        self._connection.execute("COMMIT")

    def create(self, row: Row) -> None:
        """Insert one row, synced."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._insert(row)
        self._connection.execute("COMMIT")

    def recall(self, words: Sequence[str], limit: int) -> list[Row]:
        """Return the best rows with any of the words."""
        rows = self._connection.execute(
            "SELECT memory.body FROM memory_text JOIN memory ON memory.rowid = memory_text.rowid "
            "WHERE memory_text MATCH ? ORDER BY memory_text.rank LIMIT ?",
            (" OR ".join(f'"{word}"*' for word in words), limit),
        ).fetchall()
        return [msgspec.json.decode(row[0]) for row in rows]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _insert(self, row: Row) -> None:
        body = msgspec.json.encode(row)
        done = self._connection.execute("INSERT INTO memory VALUES (?, ?)", (row["id"], body))
        self._connection.execute(
            "INSERT INTO memory_text (rowid, content) VALUES (?, ?)",
            (done.lastrowid, row["content"]),
        )
