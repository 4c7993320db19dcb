"""Copies of databases that are in use, and looks into them."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from conductor_sdk.clock import SystemClock
from conductor_sdk.records import Arrival, Outgoing
from conductor_state.database import Database
from conductor_state.errors import StoreCorrupt
from conductor_state.inspection import inspect_file, stored_version, whole
from conductor_state.journal import SqliteJournal
from conductor_state.outbox import SqliteOutbox
from conductor_state.outbox_caps import Caps, OutboxCaps
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.snapshot import SnapshotFailed, SqliteVault, copy_owned, copy_shared

SCHEMA = load_schema("sidecar")
CAPS = OutboxCaps(
    default=Caps(max_events=10_000, max_bytes=10_000_000, max_age_s=None, overflow="reject"),
    kinds={},
)


async def filled(path: Path, events: int = 20) -> tuple[Database, SqliteReplayLog, SqliteOutbox]:
    database = await Database.open(path, schema=SCHEMA, clock=SystemClock())
    log = await SqliteReplayLog.open(database)
    outbox = await SqliteOutbox.open(database, caps=CAPS)
    await log.receive("e", events, [Arrival(f"in-{n}", "a:b", b"{}") for n in range(events)])
    await outbox.put([Outgoing(f"out-{n}", "a:up", b"{}") for n in range(events)])
    return database, log, outbox


def changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def beside(path: Path) -> list[str]:
    """What SQLite keeps next to a database."""
    return [found.name for found in path.parent.glob(f"{path.name}-*")]


async def test_a_copy_holds_what_was_committed_and_needs_no_other_file(tmp_path: Path) -> None:
    database, _, outbox = await filled(tmp_path / "sidecar.db")
    await SqliteVault(database).copy(tmp_path / "copy.db")
    await outbox.put([Outgoing("later", "a:up", b"{}")])
    await database.close()

    assert 0o600 == stat.S_IMODE((tmp_path / "copy.db").stat().st_mode)
    assert [] == beside(tmp_path / "copy.db")
    found = inspect_file(tmp_path / "copy.db")
    assert ([], SCHEMA.version, True) == (found.problems, found.version, found.finished)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert 20 == copy.execute("SELECT count(*) FROM outbox").fetchone()[0]


async def test_works_that_come_during_a_copy_are_done_after_it(tmp_path: Path) -> None:
    database, _, outbox = await filled(tmp_path / "sidecar.db")
    copied, put = await asyncio.gather(
        SqliteVault(database).copy(tmp_path / "copy.db"),
        outbox.put([Outgoing("beside", "a:up", b"{}")]),
    )
    await database.close()

    assert (None, 1) == (copied, len(put))


async def test_there_is_no_file_where_a_copy_failed(tmp_path: Path) -> None:
    database, *_ = await filled(tmp_path / "sidecar.db")
    (tmp_path / "there.db").write_bytes(b"")
    with pytest.raises(SnapshotFailed):
        await SqliteVault(database).copy(tmp_path / "missing" / "copy.db")
    await SqliteVault(database).inspect()
    await database.close()

    assert not (tmp_path / "missing").exists()


async def test_damaged_pages_are_found_in_the_copy(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    database, *_ = await filled(path, 2000)
    await database.close()
    content = bytearray(path.read_bytes())
    content[-3 * 4096 : -2 * 4096] = b"\xa5" * 4096
    path.write_bytes(content)

    assert whole(path)
    with pytest.raises((StoreCorrupt, SnapshotFailed)):
        copy_owned(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


async def test_the_journal_is_copied_while_it_is_open(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    await journal.append("STARTED", "sidecar", {"n": 1})
    await asyncio.to_thread(copy_shared, tmp_path / "journal.db", tmp_path / "copy.db")
    await journal.append("STARTED", "sidecar", {"n": 2})
    copy = SqliteJournal(tmp_path / "copy.db")
    verdict, original = await copy.verify(), await journal.verify()
    await copy.close()
    await journal.close()

    assert (("OK", 1), ("OK", 2)) == (
        (verdict.chain, verdict.size),
        (original.chain, original.size),
    )


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM outbox WHERE position = 1", "outbox of a:up"),
        ("UPDATE outbox_counts SET accepted = accepted + 1", "accepted 21"),
        ("UPDATE inbound_counts SET buffered = 3, accepted = 3", "counted 3 waiting"),
        ("UPDATE inbound_counts SET accepted = 30", "accepted 30"),
        ("DELETE FROM inbound_counts", "stored and not counted"),
        ("DELETE FROM receipts", "lost their receipt"),
    ],
)
async def test_counters_that_do_not_say_what_the_rows_say_are_found(
    tmp_path: Path, damage: str, told: str
) -> None:
    path = tmp_path / "sidecar.db"
    database, *_ = await filled(path)
    await database.close()
    assert [] == inspect_file(path).problems
    changed(path, damage)

    assert told in "\n".join(inspect_file(path).problems)


async def test_a_look_ends_when_its_time_is_over(tmp_path: Path) -> None:
    database, *_ = await filled(tmp_path / "sidecar.db", 2000)
    found = await SqliteVault(database).inspect(budget_s=0.0)
    again = await SqliteVault(database).inspect()
    await database.close()

    assert (False, True) == (found.finished, again.finished)


def test_the_version_of_a_file_is_read_without_opening_it(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    changed(path, "PRAGMA user_version = 7")
    changed(path, "CREATE TABLE t (x)")
    (tmp_path / "other").write_bytes(b"x" * 200)

    assert (7, None) == (stored_version(path), stored_version(tmp_path / "other"))
