"""An SQL database in one SQLite file.

Promise: `execute` has committed when it returns; with a key it changes something once, whatever
crashes in between. Refusal: `query` changes nothing: SQLite itself refuses.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conductor_flows.capabilities.errors import CapabilityMisused
from conductor_flows.capabilities.ports import SqlValue
from conductor_sdk.clock import Clock
from conductor_sdk.storage import SqliteStorage


class SqliteDatabase:
    """A `DbRead` and a `DbWrite`."""

    def __init__(self, path: Path | None, *, clock: Clock | None = None) -> None:
        """Open nothing yet.

        Args:
            path: The file, made at first use; None: in memory.
            clock: Gives the time of a key.
        """
        self._storage = SqliteStorage(path, clock=clock)

    async def query(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[dict[str, Any]]:
        """See `DbRead.query`."""

        def read(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            connection.execute("PRAGMA query_only = ON")
            try:
                cursor = connection.execute(sql, tuple(parameters))
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor]
            finally:
                connection.execute("PRAGMA query_only = OFF")

        try:
            return await self._storage.run(read)
        except sqlite3.Error as error:
            raise CapabilityMisused(f"sqlite: {error}") from error

    async def execute(
        self, sql: str, parameters: Sequence[SqlValue] = (), *, key: str | None = None
    ) -> int | None:
        """See `DbWrite.execute`."""

        def write(connection: sqlite3.Connection) -> int:
            return connection.execute(sql, tuple(parameters)).rowcount

        try:
            if key is None:
                return await self._storage.run(write)
            return await self._storage.run_once(key, write)
        except sqlite3.Error as error:
            raise CapabilityMisused(f"sqlite: {error}") from error

    async def close(self) -> None:
        """Give up the thread and the file."""
        await self._storage.close()
