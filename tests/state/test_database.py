"""One writer, group commit, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.clock import ManualClock
from conductor_state.database import Database
from conductor_state.errors import (
    SchemaTooNew,
    StateError,
    StoreClosed,
    StoreCorrupt,
    StoreFull,
    StoreIOError,
    StoreLocked,
)
from conductor_state.event_sums import teach
from conductor_state.schema import Schema, load_schema
from conductor_state.testing.faults import FailingConnection

SCHEMA = Schema("notes", ("CREATE TABLE notes (text TEXT NOT NULL UNIQUE);",))
INSERT = "INSERT INTO notes VALUES (?)"


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncGenerator[Database]:
    options.setdefault("schema", SCHEMA)
    database = await Database.open(path, clock=ManualClock(), **options)
    try:
        yield database
    finally:
        await database.close()


def note(text: str) -> Callable[[sqlite3.Connection], None]:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, (text,))

    return work


def notes(connection: sqlite3.Connection) -> list[str]:
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]


class Held:
    """Holds the writer thread in a read until it is told to go on, so that works gather."""

    def __init__(self, database: Database) -> None:
        self._go_on = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.holding = asyncio.Event()
        self._task = asyncio.create_task(database.read(self._wait))

    def _wait(self, _: sqlite3.Connection) -> None:
        self._loop.call_soon_threadsafe(self.holding.set)
        asyncio.run_coroutine_threadsafe(self._go_on.wait(), self._loop).result(timeout=10)

    async def release(self) -> None:
        self._go_on.set()
        await self._task


async def together(database: Database, *works: Callable[[sqlite3.Connection], Any]) -> list[Any]:
    held = Held(database)
    await held.holding.wait()
    tasks = [asyncio.create_task(database.write(work)) for work in works]
    await asyncio.sleep(0)
    await held.release()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_files_and_new_directories_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "notes.db"
    async with opened(path) as database:
        await database.write(note("x"))
        modes = {item.name: item.stat().st_mode & 0o777 for item in path.parent.iterdir()}
    assert {0o600} == set(modes.values())
    assert [0o700, 0o700] == [p.stat().st_mode & 0o777 for p in (path.parent, path.parent.parent)]


async def test_a_file_that_others_could_read_is_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.touch(mode=0o644)
    async with opened(path):
        assert 0o600 == path.stat().st_mode & 0o777


async def test_durability_settings_are_in_force(tmp_path: Path) -> None:
    async with opened(tmp_path / "notes.db") as database:
        found = [
            await database.read(lambda c, p=pragma: c.execute(f"PRAGMA {p}").fetchone()[0])
            for pragma in ("journal_mode", "synchronous", "mmap_size")
        ]
    assert ["wal", 2, 0] == found


async def test_works_that_wait_together_share_one_commit(tmp_path: Path) -> None:
    connections: list[FailingConnection] = []

    def connect(path: Path) -> Any:
        connections.append(FailingConnection(path))
        return connections[0]

    async with opened(tmp_path / "notes.db", connect=connect) as database:
        await together(database, *[note(str(number)) for number in range(10)])
        assert [str(number) for number in range(10)] == await database.read(notes)
    assert 1 == connections[0].statements.count("COMMIT")


async def test_an_exception_undoes_its_own_work_alone(tmp_path: Path) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute(INSERT, ("half",))
        raise ValueError("no")

    async with opened(tmp_path / "notes.db") as database:
        results = await together(database, note("a"), broken, note("a"), note("b"))
        assert ["a", "b"] == await database.read(notes)
    assert [type(None), ValueError, StoreCorrupt, type(None)] == [type(r) for r in results]


async def test_a_reader_never_sees_what_is_not_committed(tmp_path: Path) -> None:
    async with opened(tmp_path / "notes.db") as database:
        held = Held(database)
        await held.holding.wait()
        writing = asyncio.create_task(database.write(note("a")))
        reading = asyncio.create_task(database.read(lambda c: (c.in_transaction, notes(c))))
        await asyncio.sleep(0)
        await held.release()
        assert (False, []) == await reading
        await writing
        assert ["a"] == await database.read(notes)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreIOError),
        (sqlite3.SQLITE_BUSY, StoreLocked),
        (sqlite3.SQLITE_CORRUPT, StoreCorrupt),
    ],
)
async def test_a_failed_commit_fails_every_caller_and_leaves_nothing(
    tmp_path: Path, code: int, expected: type[StateError]
) -> None:
    connections: list[FailingConnection] = []

    def connect(path: Path) -> Any:
        connections.append(FailingConnection(path))
        return connections[0]

    async with opened(tmp_path / "notes.db", connect=connect) as database:
        rollbacks: list[int] = []
        database.on_rollback(lambda: rollbacks.append(1))
        connections[0].failures.append(("COMMIT", code))
        results = await together(database, note("a"), note("b"))
        assert [expected, expected] == [type(result) for result in results]
        assert results[0] is not results[1]
        assert ([], [1]) == (await database.read(notes), rollbacks)
        await database.write(note("a"))
        assert ["a"] == await database.read(notes)


async def test_a_full_file_is_reported_and_reads_go_on(tmp_path: Path) -> None:
    async with opened(tmp_path / "notes.db") as database:
        await database.write(note("small"))
        await database.read(lambda c: c.execute("PRAGMA max_page_count = 20").fetchone())
        with pytest.raises(StoreFull) as caught:
            await database.write(note("x" * 200_000))
        assert caught.value.retryable
        assert ["small"] == await database.read(notes)
        await database.write(note("fits"))


async def test_a_foreign_writer_is_reported_as_locked(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    async with opened(path) as database:
        await database.read(lambda c: c.execute("PRAGMA busy_timeout = 0").fetchone())
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked) as caught:
            await database.write(note("a"))
        foreign.execute("ROLLBACK")
        foreign.close()
        assert (True, 6) == (caught.value.retryable, caught.value.exit_code)
        await database.write(note("a"))


async def test_what_is_not_a_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"not a database, but long enough to have a header " * 40)
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt):
        await Database.open(path, schema=SCHEMA, clock=ManualClock())
    assert before == path.read_bytes()


async def test_a_path_that_cannot_be_opened_is_an_io_error(tmp_path: Path) -> None:
    (tmp_path / "notes.db").mkdir()
    with pytest.raises(StoreIOError, match=os.strerror(errno.EISDIR)):
        await Database.open(tmp_path / "notes.db", schema=SCHEMA, clock=ManualClock())


async def test_migrations_go_forward_and_keep_a_copy_from_before(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    async with opened(path) as database:
        await database.write(note("old"))
    newer = Schema("notes", (*SCHEMA.migrations, "ALTER TABLE notes ADD COLUMN pinned INTEGER;"))
    async with opened(path, schema=newer) as database:
        rows = await database.read(lambda c: c.execute("SELECT text, pinned FROM notes").fetchall())
        version = await database.read(lambda c: c.execute("PRAGMA user_version").fetchone()[0])
    assert ([("old", None)], 2) == (rows, version)
    backup = tmp_path / "notes.db.v1.bak"
    copy = sqlite3.connect(backup)
    assert (1, [("old",)]) == (
        copy.execute("PRAGMA user_version").fetchone()[0],
        copy.execute("SELECT * FROM notes").fetchall(),
    )
    copy.close()
    assert 0o600 == backup.stat().st_mode & 0o777


async def test_a_newer_file_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    newer = Schema("notes", (*SCHEMA.migrations, "CREATE TABLE more (x);"))
    async with opened(path, schema=newer):
        pass
    with pytest.raises(SchemaTooNew, match="version 2"):
        await Database.open(path, schema=SCHEMA, clock=ManualClock())
    async with opened(path, schema=newer) as database:
        assert [] == await database.read(lambda c: c.execute("SELECT * FROM more").fetchall())


async def test_a_broken_migration_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    broken = Schema("notes", (*SCHEMA.migrations, "CREATE TABLE more (x); SELECT nonsense;"))
    with pytest.raises(StateError):
        await Database.open(path, schema=broken, clock=ManualClock())
    async with opened(path) as database:
        await database.write(note("works"))


async def test_close_finishes_what_is_queued_and_is_idempotent(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    database = await Database.open(path, schema=SCHEMA, clock=ManualClock())
    writing = [asyncio.create_task(database.write(note(str(n)))) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.gather(database.close(), database.close())
    await database.close()
    await asyncio.gather(*writing)
    with pytest.raises(StoreClosed):
        await database.write(note("late"))
    assert not path.with_name("notes.db-wal").exists()
    async with opened(path) as again:
        assert ["0", "1", "2"] == await again.read(notes)


async def test_a_cancelled_caller_does_not_disturb_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path / "notes.db") as database:
        held = Held(database)
        await held.holding.wait()
        cancelled = asyncio.create_task(database.write(note("a")))
        other = asyncio.create_task(database.write(note("b")))
        await asyncio.sleep(0)
        cancelled.cancel()
        await held.release()
        await other
        assert ["a", "b"] == await database.read(notes)


def test_a_process_that_forgets_to_close_exits_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    program = f"""
import asyncio
from pathlib import Path
from conductor_sdk.clock import SystemClock
from conductor_state.database import Database
from conductor_state.schema import Schema

async def main():
    schema = Schema("notes", ("CREATE TABLE notes (text TEXT);",))
    database = await Database.open(Path({str(path)!r}), schema=schema, clock=SystemClock())
    await database.write(lambda c: c.execute("INSERT INTO notes VALUES ('kept')") and None)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT text FROM notes").fetchall()
    connection.close()
    assert (0, [("kept",)]) == (done.returncode, found)


@pytest.mark.parametrize("name", ["sidecar", "conductor"])
def test_shipped_schemas_apply_to_an_empty_file(name: str) -> None:
    connection = sqlite3.connect(":memory:")
    teach(connection)
    for script in load_schema(name).migrations:
        connection.executescript(script)
    connection.close()
    assert load_schema(name).version >= 1
