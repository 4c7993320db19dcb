"""A database of the original tool, read as it is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from conductor_sdk.chain.entry import Head
from conductor_sdk.chain.v0 import original_hash
from conductor_state.journal_original import OriginalUnreadable, verify_original_file

SCHEMA = """
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT, task_id TEXT, actor TEXT,
  event_type TEXT NOT NULL, payload_json TEXT NOT NULL, created_ts TEXT, prev_hash TEXT,
  curr_hash TEXT
);
CREATE TABLE chain_state (key TEXT PRIMARY KEY, value TEXT);
INSERT INTO chain_state VALUES ('latest_hash', '');
"""
SIZE = 7


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Seven events, as the original tool would have written them."""
    path = tmp_path / "os_sandbox.db"
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    previous = ""
    for at in range(SIZE):
        time, payload = f"2025-12-24T09:00:{at:02}Z", f'{{"item_id": "I-{at}", "version": 1}}'
        digest = original_hash(previous, time, "PLAN_ITEM_ADDED", payload)
        connection.execute(
            "INSERT INTO events (session_id, task_id, actor, event_type, payload_json, created_ts, "
            "prev_hash, curr_hash) VALUES ('s', 't', 'Liam', 'PLAN_ITEM_ADDED', ?, ?, ?, ?)",
            (payload, time, previous, digest),
        )
        previous = digest
    connection.execute("UPDATE chain_state SET value = ?", (previous,))
    connection.commit()
    connection.close()
    return path


def edited(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def test_an_untouched_database_is_ok_and_unchanged(original: Path) -> None:
    before = original.read_bytes()

    verdict = verify_original_file(original)

    assert (verdict.source, verdict.chain, verdict.completeness) == ("OK", "OK", "UNANCHORED")
    assert verdict.size == SIZE
    assert verify_original_file(original, [Head(SIZE, verdict.head)]).completeness == "OK"
    assert original.read_bytes() == before


@pytest.mark.parametrize("at", range(1, SIZE + 1))
@pytest.mark.parametrize(
    "column", ["event_type", "payload_json", "created_ts", "prev_hash", "curr_hash"]
)
def test_any_edit_of_a_covered_column_is_found(original: Path, column: str, at: int) -> None:
    edited(original, f"UPDATE events SET {column} = {column} || 'x' WHERE id = {at}")

    verdict = verify_original_file(original)

    assert (verdict.chain, verdict.first_bad) == ("CORRUPTED", at)


@pytest.mark.parametrize("at", range(1, SIZE + 1))
def test_any_deleted_row_or_tail_is_found(original: Path, at: int) -> None:
    edited(original, f"DELETE FROM events WHERE id = {at}")
    assert not verify_original_file(original).intact

    edited(original, f"DELETE FROM events WHERE id >= {at}")
    cut = verify_original_file(original)
    assert (cut.completeness, cut.intact) == ("TRUNCATED", False)


def test_bytes_that_are_no_text_are_found(original: Path) -> None:
    edited(original, "UPDATE events SET payload_json = CAST(x'ff41' AS TEXT) WHERE id = 3")

    assert verify_original_file(original).first_bad == 3


def test_a_missing_file_is_missing_and_not_made(tmp_path: Path) -> None:
    assert verify_original_file(tmp_path / "none.db").source == "MISSING"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_such_a_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database" * 100, encoding="utf-8")
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()

    for name in ("text", "empty.db"):
        with pytest.raises(OriginalUnreadable):
            verify_original_file(tmp_path / name)
