"""How a store does, as health and metrics are told: from its own commits."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock, SystemClock
from conductor_state.database import Database
from conductor_state.errors import ApprovalDecided, StoreFull
from conductor_state.journal import SqliteJournal
from conductor_state.schema import load_schema

TABLE = "CREATE TABLE IF NOT EXISTS heap (bytes BLOB)"
FILL = "INSERT INTO heap VALUES (zeroblob(1000000))"


def fill(connection: sqlite3.Connection) -> None:
    connection.execute(FILL)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(
        tmp_path / "sidecar.db", schema=load_schema("sidecar"), clock=SystemClock()
    )
    await opened.write(lambda connection: connection.execute(TABLE))
    yield opened
    await opened.close()


async def limit(database: Database, pages: int) -> None:
    """Give the database a disk of so many pages, at least what it has already."""
    await database.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))


async def test_a_full_store_says_so_until_a_write_is_proved_to_work(database: Database) -> None:
    assert (None, 0) == (database.vitals.refuses, database.vitals.failures)
    await limit(database, 1)
    for failures in (1, 2):
        with pytest.raises(StoreFull):
            await database.write(fill)
        assert ("STORE_FULL", failures) == (database.vitals.refuses, database.vitals.failures)
    await database.write(lambda connection: connection.execute("SELECT 1"))
    assert "STORE_FULL" == database.vitals.refuses, "a commit of nothing proves nothing"
    await limit(database, 100_000)
    await database.vitals.prove()
    assert database.vitals.refuses is None
    await database.write(fill)


async def test_a_proof_writes_and_changes_nothing(database: Database) -> None:
    before = await database.read(version)
    commits = database.vitals.commits
    wal = database.path.with_name("sidecar.db-wal")
    size = wal.stat().st_size
    await database.vitals.prove()
    assert before == await database.read(version)
    assert commits + 1 == database.vitals.commits
    assert wal.stat().st_size > size, "it reached the disk"


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_an_error_of_the_caller_is_no_fault_of_the_store(database: Database) -> None:
    def decide(_: sqlite3.Connection) -> None:
        raise ApprovalDecided("no")

    with pytest.raises(ApprovalDecided):
        await database.write(decide)
    assert (None, 0) == (database.vitals.refuses, database.vitals.failures)


async def test_every_commit_is_counted_with_its_seconds(tmp_path: Path) -> None:
    clock = ManualClock()
    opened = await Database.open(
        tmp_path / "sidecar.db", schema=load_schema("sidecar"), clock=clock
    )
    seconds: list[float] = []
    opened.vitals.took = seconds.append
    await opened.write(lambda _: clock.advance(2.5))
    await opened.read(lambda _: clock.advance(1))
    await opened.close()
    assert ([2.5], 1) == (seconds, opened.vitals.commits)


async def test_the_journal_tells_the_same_of_itself(tmp_path: Path) -> None:
    clock = ManualClock()
    journal = SqliteJournal(tmp_path / "journal.db", clock=clock)
    seconds: list[float] = []
    journal.vitals.took = seconds.append
    await journal.create()
    await journal.append("THING", "me", {})
    await journal.transaction(lambda _: clock.advance(3))
    head = await journal.head()
    journal.vitals.refuses = "STORE_FULL"
    await journal.vitals.prove()
    assert (None, head) == (journal.vitals.refuses, await journal.head())
    assert [0, 3, 0] == seconds
    await journal.close()
    assert "journal.db" == journal.vitals.name
