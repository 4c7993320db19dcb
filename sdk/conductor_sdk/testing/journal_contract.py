"""The contract of reading the journal as a pack does, as tests.

Promise: a journal that passes may stand behind `JournalPort.read`. Refusal: nothing here knows a
database; derive a class whose name begins with `Test` and give it `open`.
"""

# ruff: noqa: S101, SIM300, D102  tests: literal, expected == actual, named by sentences

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

from conductor_sdk.context import JournalPort, JournalTransaction

FILE = "journal.db"
PATIENCE_S = 5.0
"""Less than any journal waits for a lock, and more than a read takes."""
_CHANGES = (
    "CREATE TABLE demo_more (id TEXT)", "CREATE TEMP TABLE demo_more (id TEXT)",
    "INSERT INTO demo_items VALUES ('i-2')", "UPDATE demo_items SET id = 'i-3'",
    "DELETE FROM demo_items", "DROP TABLE demo_items", "PRAGMA user_version = 9",
    "ATTACH DATABASE ':memory:' AS other", "COMMIT", "ROLLBACK", "SAVEPOINT here",
)  # fmt: skip


def rows(sql: str) -> Callable[[sqlite3.Connection], list[Any]]:
    """Make work that answers a query's rows."""
    return lambda connection: connection.execute(sql).fetchall()


ITEMS = rows("SELECT id FROM demo_items")
TABLES = rows("SELECT name FROM sqlite_master WHERE name LIKE 'demo%'")


def add(transaction: JournalTransaction) -> None:
    """Make a table with one row, and the entry that explains it; for a pack called `demo`."""
    transaction.connection.execute("CREATE TABLE demo_items (id TEXT)")
    transaction.connection.execute("INSERT INTO demo_items VALUES ('i-1')")
    transaction.append("ITEM_ADDED", {"id": "i-1"})


async def refused(work: Any) -> str:
    """Return the text of the SQL error that a call raises; "" if it raises none."""
    try:
        await work
    except sqlite3.Error as error:
        return str(error)
    return ""


class JournalReadingContract(ABC):
    """What every journal answers to a reader."""

    @abstractmethod
    def open(self, folder: Path) -> AbstractAsyncContextManager[JournalPort]:
        """Open the journal of the pack `demo` in `folder`, and close it at the end."""

    async def test_before_anything_was_written_there_is_nothing_to_read(
        self, tmp_path: Path
    ) -> None:
        async with self.open(tmp_path) as journal:
            assert [] == await journal.read(TABLES)

    async def test_a_read_sees_what_was_committed(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.transaction(add)
            assert [("i-1",)] == await journal.read(ITEMS)

    async def test_a_read_sees_nothing_of_what_was_undone(self, tmp_path: Path) -> None:
        def fail(transaction: JournalTransaction) -> None:
            add(transaction)
            raise LookupError

        async with self.open(tmp_path) as journal:
            await journal.append("NOTED", {})
            (error,) = await asyncio.gather(journal.transaction(fail), return_exceptions=True)
            assert isinstance(error, LookupError)
            assert [] == await journal.read(TABLES)

    async def test_a_read_can_change_nothing_and_harms_nothing(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.transaction(add)
            for sql in _CHANGES:
                assert "not authorized" == await refused(journal.read(rows(sql))), sql
            assert [("i-1",)] == await journal.read(ITEMS)
            assert 2 == await journal.append("NOTED", {})  # noqa: PLR2004

    async def test_without_a_file_a_read_can_change_nothing_either(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            assert "not authorized" == await refused(journal.read(rows(_CHANGES[0])))

    async def test_what_the_work_raises_is_raised_as_it_is(self, tmp_path: Path) -> None:
        def fail(_connection: sqlite3.Connection) -> None:
            raise LookupError("nobody")

        async with self.open(tmp_path) as journal:
            for written in (False, True):
                assert "no such table: demo_none" == await refused(
                    journal.read(rows("SELECT * FROM demo_none"))
                )
                (error,) = await asyncio.gather(journal.read(fail), return_exceptions=True)
                assert "nobody" == str(error)
                if not written:
                    await journal.append("NOTED", {})
            await journal.transaction(add)
            assert [("i-1",)] == await journal.read(ITEMS)

    async def test_a_read_answers_after_one_was_cancelled(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.transaction(add)
            reading = asyncio.ensure_future(journal.read(ITEMS))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            assert [("i-1",)] == await journal.read(ITEMS)


class JournalFileReadingContract(JournalReadingContract):
    """What a journal in the file `journal.db` of the folder answers besides."""

    async def test_reading_makes_no_file(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            assert [] == await journal.read(TABLES)
        assert [] == list(tmp_path.iterdir())  # noqa: ASYNC240  a test, and a look

    async def test_reading_does_not_wait_for_who_holds_the_write_lock(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.transaction(add)
            with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as writer:
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("INSERT INTO demo_items VALUES ('i-2')")
                async with asyncio.timeout(PATIENCE_S):
                    assert [("i-1",)] == await journal.read(ITEMS)
                writer.execute("COMMIT")
            assert [("i-1",), ("i-2",)] == await journal.read(ITEMS)

    async def test_reading_writes_nothing(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as journal:
            await journal.transaction(add)
            before = (tmp_path / FILE).read_bytes()
            await journal.read(ITEMS)
            assert before == (tmp_path / FILE).read_bytes()
