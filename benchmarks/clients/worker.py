"""A SQLite connection behind a thread, one call at a time: as asyncio programs often use it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """The connection and its thread; every statement is a round trip between the two."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], Any]] = SimpleQueue()
        self._path = path
        threading.Thread(target=self._run, daemon=True).start()

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the thread and wait for it."""
        done = self._loop.create_future()
        self._calls.put((work, done))
        result: T = await done
        return result

    async def execute(self, sql: str, *values: object) -> list[Any]:
        """Run one statement and return its rows."""
        return await self.call(lambda connection: connection.execute(sql, values).fetchall())

    async def commit(self) -> None:
        """Commit what was written."""
        await self.call(lambda connection: connection.commit())

    def _run(self) -> None:
        connection = sqlite3.connect(self._path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        while True:
            work, done = self._calls.get()
            result = work(connection)
            self._loop.call_soon_threadsafe(done.set_result, result)
