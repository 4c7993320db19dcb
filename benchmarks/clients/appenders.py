"""Appends to a journal, or plain rows to a SQLite file, as fast as each becomes durable.

`python -m benchmarks.clients.appenders journal|raw PATH COUNT AT_ONCE`; waits for a line on its
standard input, so that several of these begin together. `raw` knows one caller only.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

from benchmarks.journal_entries import ENTRY_COLUMNS, draft, stored_row
from benchmarks.peer import say
from conductor_state.journal import SqliteJournal

_PATIENCE_S = 60.0


async def journal(path: Path, count: int, at_once: int) -> None:
    """Append one entry at a time from so many tasks."""
    store = SqliteJournal(path, timeout_s=_PATIENCE_S)
    await store.create()

    async def caller(first: int) -> None:
        for number in range(first, count, at_once):
            made = draft(number)
            await store.append(
                made.event_type, made.actor, made.payload,
                session_id=made.session_id, task_id=made.task_id,
            )  # fmt: skip

    _wait()
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for first in range(at_once):
            group.create_task(caller(first))
    say(began=began, ended=time.monotonic())
    await store.close()


def raw(path: Path, count: int) -> None:
    """Insert a row and commit, in the journal's mode; SQLite does the waiting."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE_S)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
    columns = ", ".join(ENTRY_COLUMNS)
    connection.execute(f"CREATE TABLE IF NOT EXISTS entry (at INTEGER PRIMARY KEY, {columns})")
    insert = f"INSERT INTO entry ({columns}) VALUES ({', '.join('?' * len(ENTRY_COLUMNS))})"
    row = stored_row()
    _wait()
    began = time.monotonic()
    for _ in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(insert, row)
        connection.execute("COMMIT")
    say(began=began, ended=time.monotonic())
    connection.close()


def _wait() -> None:
    say(waiting=True)
    sys.stdin.readline()


if __name__ == "__main__":
    path_, count_, at_once_ = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    if sys.argv[1] == "raw":
        raw(path_, count_)
    else:
        asyncio.run(journal(path_, count_, at_once_))
