"""The journal as a pack has it: one commit, its own name, its own tables and no others."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.chain.canonical import PayloadRefused
from conductor_sdk.chain.entry import EntryRefused
from conductor_sdk.context import JournalTransaction
from conductor_sdk.testing.journal_contract import (
    FILE,
    JournalFileReadingContract,
    JournalReadingContract,
)
from conductor_sidecar.pack_journal import PackJournal
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalCorrupt
from conductor_state.memory.journal import MemoryJournal


@pytest.fixture(params=["file", "memory"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Any]:
    made: Any = MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "j.db")
    yield made
    await made.close()


class TestReadingTheFile(JournalFileReadingContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[PackJournal]:
        journal = SqliteJournal(folder / FILE)
        yield PackJournal("demo", journal)
        await journal.close()


class TestReadingInMemory(JournalReadingContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[PackJournal]:
        journal = MemoryJournal()
        yield PackJournal("demo", journal)
        await journal.close()


async def test_a_read_of_a_damaged_file_is_the_journal_s_error(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all, and longer than a header" * 100)
    journal = SqliteJournal(tmp_path / FILE)
    with pytest.raises(JournalCorrupt):
        await PackJournal("demo", journal).read(lambda connection: connection.execute("SELECT 1"))
    await journal.close()


def statement(sql: str) -> Callable[[JournalTransaction], Any]:
    return lambda transaction: transaction.connection.execute(sql).fetchall()


async def test_tables_and_entries_are_one_commit_with_receipts(journal: Any) -> None:
    pack = PackJournal("plan", journal, session_id="s-0", task_id="t-0")

    def work(transaction: JournalTransaction) -> list[Any]:
        transaction.connection.execute("CREATE TABLE plan_items (id TEXT)")
        transaction.connection.execute("CREATE INDEX plan_items_by_id ON plan_items (id)")
        transaction.connection.execute("INSERT INTO plan_items VALUES ('i-1')")
        return [
            transaction.append("PLAN_CREATED", {"id": "p"}),
            transaction.append("PLAN_ITEM_ADDED", {"id": "i"}, actor="Liam", session_id="s"),
        ]

    receipts = await pack.transaction(work)
    entries = await journal.tail()
    assert [(entry.sequence, entry.hash) for entry in entries] == [
        (receipt.sequence, receipt.hash) for receipt in receipts
    ]
    assert [("pack:plan", "s-0", "t-0"), ("Liam", "s", "t-0")] == [
        (entry.actor, entry.session_id, entry.task_id) for entry in entries
    ]
    assert [("i-1",)] == await pack.transaction(statement("SELECT id FROM plan_items"))
    assert "OK" == (await journal.verify()).chain


async def test_an_exception_takes_everything_back(journal: Any) -> None:
    pack = PackJournal("plan", journal)

    def work(transaction: JournalTransaction) -> None:
        transaction.connection.execute("CREATE TABLE plan_items (id TEXT)")
        transaction.append("PLAN_CREATED", {"id": "p"})
        raise LookupError("stale")

    with pytest.raises(LookupError, match="stale"):
        await pack.transaction(work)
    assert 1 == await pack.append("NOTED", {})
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await pack.transaction(statement("SELECT * FROM plan_items"))


async def test_a_payload_that_the_journal_does_not_take_refuses_the_commit(journal: Any) -> None:
    pack = PackJournal("plan", journal)

    def work(transaction: JournalTransaction) -> None:
        transaction.append("PLAN_CREATED", {"id": "p"})
        transaction.append("PLAN_ITEM_ADDED", {"weight": 0.5})

    with pytest.raises(PayloadRefused):
        await pack.transaction(work)
    assert 1 == await pack.append("NOTED", {})


@pytest.mark.parametrize("actor", ["operator", "sidecar", "conductor", "pack:sidekick", "pack:"])
async def test_a_pack_signs_with_no_name_of_ours_or_of_another_pack(
    journal: Any, actor: str
) -> None:
    pack = PackJournal("plan", journal)
    with pytest.raises(EntryRefused, match="cannot sign"):
        await pack.transaction(lambda transaction: transaction.append("X", {}, actor=actor))
    with pytest.raises(EntryRefused, match="cannot sign"):
        PackJournal("plan", journal, actor=actor)


async def test_a_pack_may_sign_as_itself_and_as_whoever_it_acts_for(journal: Any) -> None:
    await PackJournal("plan", journal, actor="Codex").append("NOTED", {})
    await PackJournal("plan", journal, actor="pack:plan").append("NOTED", {})
    assert ["Codex", "pack:plan"] == [entry.actor for entry in await journal.tail()]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO journal VALUES (9, 1, '', 'X', 'a', '', '', '{}', 'x', 'y')",
        "UPDATE journal_log SET size = 9",
        "DELETE FROM journal",
        "DROP TRIGGER journal_refuses_delete",
        "DROP TABLE journal",
        "ALTER TABLE journal RENAME TO plan_journal",
        "CREATE TABLE elsewhere (x)",
        "CREATE TRIGGER plan_t AFTER INSERT ON journal BEGIN SELECT 1; END",
        "CREATE INDEX plan_i ON journal (actor)",
        "INSERT INTO sidekick_notes VALUES (1)",
        "PRAGMA user_version = 9",
        "PRAGMA writable_schema = 1",
        "ATTACH DATABASE ':memory:' AS other",
        "COMMIT",
        "ROLLBACK",
    ],
)
async def test_a_pack_touches_its_own_tables_only(tmp_path: Path, sql: str) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    try:
        await journal.append("BEFORE", "a", {})
        await PackJournal("sidekick", journal).transaction(
            statement("CREATE TABLE sidekick_notes (n)")
        )
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            await PackJournal("plan", journal).transaction(statement(sql))
        assert 2 == await journal.append("AFTER", "a", {})
        assert "OK" == (await journal.verify()).chain
    finally:
        await journal.close()


@pytest.mark.parametrize("slug", ["journal", "journal-log"])
async def test_not_even_a_pack_that_is_called_so_reaches_the_journal(
    tmp_path: Path, slug: str
) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    try:
        await journal.create()
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            await PackJournal(slug, journal).transaction(
                statement("UPDATE journal_log SET size = 9")
            )
    finally:
        await journal.close()


async def test_a_full_text_table_and_reading_the_journal_are_allowed(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    pack = PackJournal("my-pack", journal)

    def work(transaction: JournalTransaction) -> int:
        run = transaction.connection.execute
        run("CREATE VIRTUAL TABLE my_pack_texts USING fts5(body)")
        run("INSERT INTO my_pack_texts VALUES ('water is wet')")
        run("SAVEPOINT inner")
        run("INSERT INTO my_pack_texts VALUES ('gone')")
        run("ROLLBACK TO inner")
        run("RELEASE inner")
        found: int = run("SELECT count(*) FROM my_pack_texts WHERE my_pack_texts MATCH 'wet'"
                         ).fetchone()[0]  # fmt: skip
        return found + run("SELECT count(*) FROM journal").fetchone()[0]

    try:
        await pack.append("NOTED", {})
        assert 2 == await pack.transaction(work)
    finally:
        await journal.close()
