"""Reading what can be read of a damaged database.

Promise: a page that cannot be read costs its own rows only, and every row that is kept was read
whole and looked right. Refusal: nothing is repaired and nothing is guessed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

_PATIENCE = 20_000
"""Failed reads of one table after which the rest of it is given up."""
_HIGHEST = 2**62
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""A message of SQLite itself may hold bytes that are no text."""

Row = tuple[object, ...]


class TableReport(msgspec.Struct, frozen=True):
    """What became of one table."""

    name: str
    kept: int
    lost: int | None
    """None where the damage hides how many there were."""


def copy_table(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    name: str,
    is_sound: Callable[[str, dict[str, object]], bool],
) -> TableReport:
    """Copy every readable row that `is_sound` accepts, in the open transaction of `target`."""
    columns = _columns(source, target, name)
    if not columns:
        return TableReport(name, 0, None)
    holes = ", ".join("?" * len(columns))
    # Names come from this program's own schema, never from values.
    insert = f"INSERT OR REPLACE INTO {name} ({', '.join(columns)}) VALUES ({holes})"  # noqa: S608
    kept = 0
    for row in _rows(source, name, columns):
        if is_sound(name, dict(zip(columns, row, strict=True))):
            with suppress(sqlite3.IntegrityError):  # a row that no statement of ours has written
                target.execute(insert, row)
                kept += 1
    counted = _count(source, name)
    return TableReport(name, kept, None if counted is None else max(counted - kept, 0))


def _columns(source: sqlite3.Connection, target: sqlite3.Connection, name: str) -> list[str]:
    found: list[set[str]] = []
    wanted: list[str] = []
    for connection in (source, target):
        try:
            rows = connection.execute(f"PRAGMA table_info({name})").fetchall()
        except _UNREADABLE:
            return []
        wanted = [row[1] for row in rows]
        found.append(set(wanted))
    return [column for column in wanted if column in found[0]]


def _rows(source: sqlite3.Connection, name: str, columns: list[str]) -> Iterator[Row]:
    fields = ", ".join(columns)
    try:
        source.execute(f"SELECT rowid FROM {name} LIMIT 0")  # noqa: S608  see copy_table
    except sqlite3.OperationalError:
        yield from _rows_without_rowid(source, name, fields)
        return
    except _UNREADABLE:
        return
    # Wide ranges first, so that one bad page does not use up the patience for the rest.
    ranges = deque([(-_HIGHEST, _HIGHEST)])
    statement = f"SELECT rowid, {fields} FROM {name} WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608
    patience = _PATIENCE
    while ranges and patience:
        first, last = ranges.popleft()
        try:
            for row in source.execute(statement, (first, last)):
                yield row[1:]
                first = row[0] + 1
        except _UNREADABLE:
            patience -= 1
            if first < last:
                middle = (first + last) // 2
                ranges += ((first, middle), (middle + 1, last))


def _rows_without_rowid(source: sqlite3.Connection, name: str, fields: str) -> Iterator[Row]:
    seen: set[Row] = set()
    try:
        for row in source.execute(f"SELECT {fields} FROM {name}"):  # noqa: S608  see copy_table
            seen.add(row)
            yield row
    except _UNREADABLE:
        key = fields.split(", ", 1)[0]
        backwards = f"SELECT {fields} FROM {name} ORDER BY {key} DESC"  # noqa: S608  see copy_table
        try:
            for row in source.execute(backwards):
                if row not in seen:
                    yield row
        except _UNREADABLE:
            return


def _count(source: sqlite3.Connection, name: str) -> int | None:
    try:
        counted: int = source.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
    except _UNREADABLE:
        return None
    return counted
