"""A damaged journal is set aside whole, and the new log says what was in it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from conductor_sdk.chain.canonical import parse_payload
from conductor_sdk.chain.entry import Draft
from conductor_sdk.clock import ManualClock
from conductor_state import journal_recovery
from conductor_state.errors import SchemaTooNew
from conductor_state.journal import SqliteJournal
from conductor_state.journal_recovery import open_or_set_aside


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal of eight entries."""
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, make_log_id=lambda: "log-old")
    await journal.append_many([Draft("NOTED", "tester", {"at": at}) for at in range(8)])
    await journal.close()
    return path


def tamper(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def spoil(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def content(path: Path) -> bytes:
    return path.read_bytes()


async def test_a_sound_journal_is_opened_as_it_is(path: Path) -> None:
    journal, report = await open_or_set_aside(path, clock=ManualClock())

    assert report is None
    assert await journal.append("NOTED", "tester", {}) == 9
    await journal.close()


async def test_a_missing_journal_is_made(tmp_path: Path) -> None:
    journal, report = await open_or_set_aside(tmp_path / "journal.db", clock=ManualClock())

    assert report is None
    assert (await journal.head())[0] == 0
    await journal.close()


async def test_garbage_is_set_aside_unchanged(path: Path) -> None:
    spoil(path, b"not a database" * 999)

    journal, report = await open_or_set_aside(path, clock=ManualClock())

    assert report is not None
    assert (report.file, report.readable) == ("journal.db.damaged-20260101T000000Z", 0)
    assert content(path.with_name(report.file)) == b"not a database" * 999
    entry = (await journal.tail())[0]
    assert (entry.sequence, entry.event_type) == (1, "JOURNAL_SET_ASIDE")
    assert parse_payload(entry.payload) == report.as_json()
    assert (await journal.verify()).chain == "OK"
    await journal.close()


async def test_a_cut_log_is_set_aside_with_the_count_of_what_is_left(path: Path) -> None:
    tamper(path, "DELETE FROM journal WHERE sequence > 5")

    journal, report = await open_or_set_aside(path, clock=ManualClock())
    await journal.close()

    assert report is not None
    assert (report.log_id, report.readable, report.sound) == ("log-old", 5, 5)
    assert report.reason.startswith("TAIL_MISSING")


async def test_readable_and_sound_entries_are_counted_apart(path: Path) -> None:
    tamper(
        path, "DELETE FROM journal WHERE sequence = 8",
        "UPDATE journal SET actor = 'x' WHERE sequence = 3",
    )  # fmt: skip

    journal, report = await open_or_set_aside(path, clock=ManualClock())
    await journal.close()

    assert report is not None
    assert (report.readable, report.sound) == (7, 2)


async def test_two_damages_in_one_second_do_not_overwrite_each_other(path: Path) -> None:
    names: list[str] = []
    for _ in range(2):
        spoil(path, os.urandom(8192))
        journal, report = await open_or_set_aside(path, clock=ManualClock())
        await journal.close()
        assert report is not None
        names.append(report.file)

    assert names == ["journal.db.damaged-20260101T000000Z", "journal.db.damaged-20260101T000000Z-1"]


def test_the_rollback_journal_of_a_damaged_file_goes_with_it(tmp_path: Path) -> None:
    spoil(tmp_path / "journal.db", b"data")
    spoil(tmp_path / "journal.db-journal", b"rollback")

    target = journal_recovery._move(tmp_path / "journal.db", "now")

    kept = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert kept == {target.name: b"data", f"{target.name}-journal": b"rollback"}


async def test_a_newer_journal_is_not_damage(path: Path) -> None:
    tamper(path, "PRAGMA user_version = 99")

    with pytest.raises(SchemaTooNew):
        await open_or_set_aside(path, clock=ManualClock())
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]
