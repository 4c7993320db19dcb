"""Shelves in one SQLite file, which several processes may use at the same time.

Promise: committed with `synchronous=FULL` when `run` returns; work that comes together shares a
commit, and each piece is all or nothing. Refusal: no WAL: a rollback journal is safe between
processes with any SQLite.
"""

from __future__ import annotations

import asyncio
import sqlite3
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from conductor_flows.capabilities.rows import Rows
from conductor_sdk.pack_errors import StorageFailed
from conductor_sdk.storage_worker import Job, StorageWorker

T = TypeVar("T")


class SqliteRows:
    """A `RowStore`; the file is made at first use, mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = _statements()
        self._worker = StorageWorker(path, self._prepare)
        self._finalizer = weakref.finalize(self, self._worker.stop)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(self._sql["create"])

    async def run(self, work: Callable[[Rows], T]) -> T:
        """See `RowStore.run`.

        Raises:
            StorageFailed: The database refused; nothing of the work happened.
            StorageClosed: After `close`.
        """
        sql = self._sql
        job = Job(lambda connection: work(_SqliteView(connection, sql)))
        self._worker.submit(job)
        try:
            answer: T = await asyncio.wrap_future(job.future)
        except sqlite3.Error as error:  # within the work, as a full disk says it
            raise StorageFailed(f"{self._path}: {error}") from error
        return answer

    async def close(self, timeout_s: float = 5.0) -> None:
        """Finish what was taken, then give up the thread and the file."""
        self._finalizer.detach()
        self._worker.stop()
        if not await asyncio.to_thread(self._worker.wait, timeout_s):
            self._worker.abandon()


class _SqliteView:
    """The shelves inside of one transaction."""

    def __init__(self, connection: sqlite3.Connection, sql: dict[str, str]) -> None:
        self._connection = connection
        self._sql = sql

    def get(self, shelf: str, key: str) -> bytes | None:
        row = self._connection.execute(self._sql["get"], (shelf, key)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, shelf: str, key: str, data: bytes) -> None:
        self._connection.execute(self._sql["put"], (shelf, key, data))

    def drop(self, shelf: str, key: str) -> bool:
        return self._connection.execute(self._sql["drop"], (shelf, key)).rowcount > 0

    def keys(
        self, shelf: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> list[str]:
        given = {"shelf": shelf, "prefix": prefix, "after": after,
                 "limit": -1 if limit is None else limit}  # fmt: skip
        return [row[0] for row in self._connection.execute(self._sql["keys"], given)]


def _statements() -> dict[str, str]:
    text = Path(__file__).with_name("rows.sql").read_text(encoding="utf-8")
    named = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {name.strip(): statement.strip() for name, statement in named}
