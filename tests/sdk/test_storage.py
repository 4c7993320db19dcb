"""A pack's own database: one commit for an effect and its key."""

from __future__ import annotations

import asyncio
import gc
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk import storage as storage_module
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.pack_errors import StorageClosed, StorageFailed, StorageMisused
from conductor_sdk.storage import SqliteStorage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "packs" / "acme.db"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[SqliteStorage]:
    opened = SqliteStorage(path, clock=ManualClock())
    yield opened
    await opened.close()


def create(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, name TEXT)")


def insert(name: str) -> Any:
    def work(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO jobs (name) VALUES (?)", (name,))
        return name

    return work


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM jobs ORDER BY id")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_file_appears_at_first_use_and_only_for_its_owner(
    storage: SqliteStorage, path: Path
) -> None:
    assert not await storage.has("k")
    assert await storage.prune(1) == 0
    assert not path.parent.exists()
    await storage.run(create)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


async def test_a_symbolic_link_is_not_followed(tmp_path: Path, storage: SqliteStorage) -> None:
    path = tmp_path / "packs" / "acme.db"
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StorageFailed):
        await storage.run(create)
    assert not (tmp_path / "elsewhere.db").exists()


async def test_what_run_returns_is_committed(storage: SqliteStorage, path: Path) -> None:
    await storage.run(create)
    assert await storage.run(insert("a")) == "a"
    with sqlite3.connect(path) as other:
        assert names(other) == ["a"]
    other.close()


async def test_an_exception_undoes_its_own_work_alone(storage: SqliteStorage) -> None:
    await storage.run(create)

    def fails(connection: sqlite3.Connection) -> None:
        insert("bad")(connection)
        raise LookupError("no")

    results = await asyncio.gather(
        storage.run(insert("a")), storage.run(fails), storage.run(insert("b")),
        return_exceptions=True,
    )  # fmt: skip
    assert [result for result in results if isinstance(result, str)] == ["a", "b"]
    assert isinstance(results[1], LookupError)
    assert await storage.run(names) == ["a", "b"]


async def test_run_once_does_the_effect_once(storage: SqliteStorage) -> None:
    await storage.run(create)
    assert await storage.run_once("evt-1", insert("a")) == "a"
    assert None is await storage.run_once("evt-1", insert("a"))
    assert await storage.has("evt-1")
    assert await storage.run(names) == ["a"]


async def test_concurrent_run_once_with_one_key_has_one_winner(storage: SqliteStorage) -> None:
    await storage.run(create)
    results = await asyncio.gather(*(storage.run_once("k", insert(str(n))) for n in range(20)))
    assert sum(result is not None for result in results) == 1
    assert len(await storage.run(names)) == 1


async def test_a_failed_effect_leaves_no_key(storage: SqliteStorage) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await storage.run_once("k", fails)
    assert not await storage.has("k")
    await storage.run(create)
    assert await storage.run_once("k", insert("a")) == "a"


async def test_keys_survive_a_restart(path: Path) -> None:
    first = SqliteStorage(path)
    await first.run_once("k", create)
    await first.close()
    second = SqliteStorage(path)
    assert {"k"} == await second.known(["k", "other"])
    await second.close()


async def test_many_keys_are_asked_of_the_database(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "KEYS_IN_MEMORY", 3)
    storage = SqliteStorage(path)
    for number in range(6):
        await storage.run_once(f"k{number}", create)
    assert {"k0", "k5"} == await storage.known(["k0", "k5", "k9"])
    await storage.close()


async def test_a_cancelled_run_once_is_known_if_it_committed(storage: SqliteStorage) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait(10)

    call = asyncio.ensure_future(storage.run_once("k", slow))
    await asyncio.to_thread(begun.wait, 10)
    call.cancel()
    go_on.set()
    await asyncio.wait([call])
    await storage.run(create)
    assert await storage.has("k")


async def test_prune_forgets_old_keys_only(path: Path) -> None:
    clock = ManualClock()
    storage = SqliteStorage(path, clock=clock)
    await storage.run_once("old", create)
    clock.advance(10)
    await storage.run_once("new", create)
    assert await storage.prune(epoch_ms(clock.now())) == 1
    assert {"new"} == await storage.known(["old", "new"])
    assert await storage.prune(epoch_ms(clock.now())) == 0
    await storage.close()


@pytest.mark.parametrize("statement", ["commit", "rollback", "COMMIT", "script", "coroutine"])
async def test_work_cannot_end_the_transaction(storage: SqliteStorage, statement: str) -> None:
    await storage.run(create)

    def work(connection: sqlite3.Connection) -> Any:
        insert("half")(connection)
        match statement:
            case "commit":
                connection.commit()
            case "rollback":
                connection.rollback()
            case "script":
                connection.executescript("SELECT 1")
            case "coroutine":
                return asyncio.sleep(0)
            case _:
                connection.execute(statement)
        return None

    with pytest.raises(StorageMisused):
        await storage.run_once("k", work)
    assert await storage.run(insert("whole")) == "whole"


async def test_the_usual_with_block_does_not_commit_early(storage: SqliteStorage) -> None:
    await storage.run(create)

    def work(connection: sqlite3.Connection) -> None:
        with connection:
            insert("half")(connection)
        raise LookupError

    with pytest.raises(LookupError):
        await storage.run(work)
    assert await storage.run(names) == []


@pytest.fixture
def garbage(path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    return path


async def test_a_cursor_does_not_leave_the_workers_thread(storage: SqliteStorage) -> None:
    for cursor in (
        await storage.run(lambda connection: connection.execute("SELECT 1")),
        await storage.run_once("k", lambda connection: connection.execute("SELECT 1")),
    ):
        assert isinstance(cursor, sqlite3.Cursor)
        with pytest.raises(sqlite3.ProgrammingError):
            cursor.fetchone()


async def test_a_file_that_is_no_database_is_a_coded_error(garbage: Path) -> None:
    storage = SqliteStorage(garbage)
    with pytest.raises(StorageFailed) as caught:
        await storage.run(create)
    assert caught.value.retryable
    await storage.close()


async def test_in_memory_storage_keeps_the_same_promises() -> None:
    storage = SqliteStorage(None)
    assert not await storage.has("k")
    await storage.run_once("k", create)
    assert await storage.has("k")
    assert [await storage.run(insert("a"))] == ["a"]
    await storage.close()


async def test_closing_finishes_what_was_taken_and_refuses_the_rest(
    storage: SqliteStorage,
) -> None:
    await storage.run(create)
    calls = [asyncio.ensure_future(storage.run(insert(str(n)))) for n in range(10)]
    await asyncio.sleep(0)
    await storage.close()
    assert [str(n) for n in range(10)] == await asyncio.gather(*calls)
    with pytest.raises(StorageClosed):
        await storage.run(names)
    await storage.close()


async def test_closing_interrupts_a_statement_that_does_not_end(storage: SqliteStorage) -> None:
    await storage.run(create)
    begun = threading.Event()

    def endless(connection: sqlite3.Connection) -> object:
        begun.set()
        return connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        ).fetchone()

    call = asyncio.ensure_future(storage.run(endless))
    await asyncio.to_thread(begun.wait, 10)
    await storage.close(timeout_s=0.05)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        await call


async def test_closing_does_not_wait_for_work_that_hangs(storage: SqliteStorage) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hangs(connection: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait(30)

    stuck = asyncio.ensure_future(storage.run(hangs))
    await asyncio.to_thread(begun.wait, 10)
    behind = asyncio.ensure_future(storage.run(create))
    await asyncio.sleep(0)
    await storage.close(timeout_s=0.05)
    with pytest.raises(StorageClosed):
        await behind
    assert not stuck.done()
    go_on.set()
    await stuck


async def test_a_storage_that_is_dropped_gives_its_thread_back(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.run(create)
    [thread] = [t for t in threading.enumerate() if t.name == "pack-storage-acme"]
    del storage
    gc.collect()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


CHILD = """
import asyncio, sys, pathlib
from conductor_sdk.storage import SqliteStorage

async def main():
    storage = SqliteStorage(pathlib.Path(sys.argv[1]))
    await storage.run(lambda c: c.execute("CREATE TABLE jobs (key TEXT)"))
    for number in range(1_000_000):
        key = f"evt-{number}"
        await storage.run_once(key, lambda c: c.execute("INSERT INTO jobs VALUES (?)", (key,)))
        print(key, flush=True)

asyncio.run(main())
"""


def confirmed_before_a_kill(path: Path) -> set[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    confirmed = {child.stdout.readline().strip() for _ in range(20)}
    child.send_signal(signal.SIGKILL)
    confirmed.update(child.stdout.read().split())
    child.stdout.close()
    child.wait(10)
    return confirmed


async def test_a_kill_leaves_effect_and_key_together(path: Path) -> None:
    confirmed = await asyncio.to_thread(confirmed_before_a_kill, path)
    storage = SqliteStorage(path)
    effects = await storage.run(lambda c: [row[0] for row in c.execute("SELECT key FROM jobs")])
    keys = await storage.run(lambda c: [r[0] for r in c.execute("SELECT key FROM _replay_keys")])
    await storage.close()
    assert sorted(effects) == sorted(keys)
    assert confirmed <= set(keys)


def commits(path: Path) -> int:
    """SQLite counts the transactions that changed the file in its header."""
    return int.from_bytes(path.read_bytes()[24:28], "big")


async def test_concurrent_work_shares_commits(storage: SqliteStorage, path: Path) -> None:
    await storage.run(create)
    before = commits(path)
    await asyncio.gather(*(storage.run(insert(str(number))) for number in range(300)))
    assert len(await storage.run(names)) == 300
    assert commits(path) - before <= 100


async def test_a_commit_is_synced_and_no_write_ahead_log_is_used(storage: SqliteStorage) -> None:
    def found(connection: sqlite3.Connection) -> list[Any]:
        asked = ("synchronous", "journal_mode", "foreign_keys")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked]

    full, on = 2, 1
    assert [full, "truncate", on] == await storage.run(found)
