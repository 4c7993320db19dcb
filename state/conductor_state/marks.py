"""Marks in SQLite: single facts by name, for the next start.

Promise: a mark is durable when `put` returns, and the last one stays. Refusal: nothing here knows
what a mark means.
"""

from __future__ import annotations

import sqlite3

from conductor_state.database import Database
from conductor_state.queries import load_queries


class SqliteMarks:
    """Marks in `sidecar.db`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> str | None:
        """Return a mark; None where it was never set."""

        def work(connection: sqlite3.Connection) -> str | None:
            row = connection.execute(load_queries("marks")["get"], (name,)).fetchone()
            return None if row is None else str(row[0])

        return await self._database.read(work)

    async def put(self, name: str, value: str) -> None:
        """Set a mark; durable on return."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(load_queries("marks")["put"], (name, value))

        await self._database.write(work)
