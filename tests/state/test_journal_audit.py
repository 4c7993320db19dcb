"""Questions to the journal, its transactions, and replay against tables beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from conductor_sdk.chain.entry import Draft, Entry, Head
from conductor_sdk.chain.items import Change, differences, payload_of
from conductor_sdk.clock import ManualClock
from conductor_state import journal_audit
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalMissing
from conductor_state.journal_replay import ReplayFailed, audit, find_drift, rebuild
from conductor_state.journal_transaction import JournalTransaction

ADDED = {"plan_id": "P-1", "item_id": "I-1", "title": "one", "state": "TODO", "version": 1}
MOVED = {"plan_id": "P-1", "item_id": "I-1", "from_state": "TODO", "to_state": "DONE",
         "expected_version": 1, "new_version": 2}  # fmt: skip
RENAMED = {"plan_id": "P-1", "item_id": "I-1", "changes": {"title": {"from": "one", "to": "two"}},
           "expected_version": 2, "new_version": 3}  # fmt: skip
REFUSED = {"plan_id": "P-1", "item_id": "I-1", "expected_version": 1, "current_version": 3,
           "attempted_state": "TODO"}  # fmt: skip


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "journal.db", clock=ManualClock())
    yield journal
    await journal.close()


@pytest.fixture
async def told(journal: SqliteJournal) -> SqliteJournal:
    """A journal with two sessions, two tasks and one item's life."""
    await journal.append_many(
        [
            Draft("PLAN_CREATED", "Liam", {"plan_id": "P-1", "title": "demo"}, "s-1", "t-1"),
            Draft("PLAN_ITEM_ADDED", "Liam", ADDED, "s-1", "t-1"),
            Draft("PLAN_ITEM_STATE_CHANGED", "Codex", MOVED, "s-1", "t-2"),
            Draft("GAP_DETECTED", "sidecar", {"note": "of I-1 or so"}),
            Draft("PLAN_ITEM_UPDATED", "Codex", RENAMED, "s-2", "t-2"),
            Draft("PLAN_CONFLICT_DETECTED", "Mary", REFUSED, "s-2", "t-2"),
        ]
    )
    return journal


# --- questions --------------------------------------------------------------------------------


async def test_sessions_are_listed_with_their_extent(told: SqliteJournal) -> None:
    found = await journal_audit.sessions(told)

    assert [(s.session_id, s.events, s.first, s.last, s.tasks, s.actors) for s in found] == [
        ("s-1", 3, 1, 3, 2, 2), ("s-2", 2, 5, 6, 1, 2),
    ]  # fmt: skip


async def test_a_session_is_summed_up(told: SqliteJournal) -> None:
    found = await journal_audit.session_summary(told, "s-2")

    assert found.event_types == {"PLAN_CONFLICT_DETECTED": 1, "PLAN_ITEM_UPDATED": 1}
    assert (found.actors, found.tasks) == ({"Codex": 1, "Mary": 1}, {"t-2": 2})
    assert (found.events, found.first, found.last) == (2, 5, 6)
    assert found.started == found.ended == "2026-01-01T00:00:00.000Z"
    with pytest.raises(journal_audit.NothingRecorded):
        await journal_audit.session_summary(told, "s-3")


async def sequences(entries: AsyncIterator[Entry]) -> list[int]:
    return [entry.sequence async for entry in entries]


async def test_timelines_are_in_order(told: SqliteJournal) -> None:
    assert await sequences(journal_audit.session_timeline(told, "s-1")) == [1, 2, 3]
    assert await sequences(journal_audit.session_timeline(told, "s-1", after=1)) == [2, 3]
    assert await sequences(journal_audit.task_timeline(told, "t-2")) == [3, 5, 6]
    assert await sequences(journal_audit.task_timeline(told, "t-9")) == []


async def test_history_is_what_names_the_item_and_not_what_contains_its_name(
    told: SqliteJournal,
) -> None:
    assert await sequences(journal_audit.history(told, "I-1")) == [2, 3, 5, 6]
    assert await sequences(journal_audit.history(told, "I-")) == []
    assert await sequences(journal_audit.history(told, 'P-1"')) == []
    await told.append("NOTED", "tester", {"deep": [{"quoted": 'P-1"'}]})
    assert await sequences(journal_audit.history(told, 'P-1"')) == [7]


async def test_an_item_is_told_as_of_any_entry(told: SqliteJournal) -> None:
    after = [(await journal_audit.items_at(told, at)).get("I-1") for at in range(7)]

    assert after[:2] == [None, None]
    assert [item and (item.fields["state"], item.fields["title"], item.fields["version"], item.last)
            for item in after[2:]] == [
        ("TODO", "one", 1, 2), ("DONE", "one", 2, 3), ("DONE", "one", 2, 3),
        ("DONE", "two", 3, 5), ("DONE", "two", 3, 5),
    ]  # fmt: skip
    assert [item and item.conflicts for item in after[5:]] == [0, 1]


async def test_what_changed_between_two_entries_is_told_per_item(told: SqliteJournal) -> None:
    before, after, entries = await journal_audit.between(told, 2, 5)

    assert [entry.sequence for entry in entries] == [3, 4, 5]
    assert differences(before, after) == [
        Change("I-1", "state", "TODO", "DONE"), Change("I-1", "title", "one", "two"),
        Change("I-1", "version", 1, 3),
    ]  # fmt: skip


async def test_an_empty_file_has_no_answers_and_a_missing_one_is_an_error(
    journal: SqliteJournal,
) -> None:
    with pytest.raises(JournalMissing):
        await journal_audit.sessions(journal)
    await journal.create()
    assert await journal_audit.sessions(journal) == []
    assert await journal_audit.items_at(journal, 9) == {}


# --- transactions -----------------------------------------------------------------------------


async def test_statements_and_entries_are_committed_together(journal: SqliteJournal) -> None:
    def work(transaction: JournalTransaction) -> list[int]:
        transaction.connection.execute("CREATE TABLE beside (value)")
        transaction.connection.execute("INSERT INTO beside VALUES (1)")
        first = transaction.append(Draft("NOTED", "tester", {"at": 1}))
        second = transaction.append(Draft("NOTED", "tester", {"at": 2}))
        assert second.previous == first.hash
        return [first.sequence, second.sequence]

    assert await journal.transaction(work) == [1, 2]
    assert (await journal.verify()).chain == "OK"
    count = await journal.view(
        lambda view: view.connection.execute("SELECT count(*) FROM beside").fetchone()[0]
    )
    assert count == 1


async def test_an_exception_takes_both_back(journal: SqliteJournal) -> None:
    await journal.append("NOTED", "tester", {})

    def work(transaction: JournalTransaction) -> None:
        transaction.connection.execute("CREATE TABLE beside (value)")
        transaction.append(Draft("NOTED", "tester", {}))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await journal.transaction(work)

    assert (await journal.head())[0] == 1
    tables = await journal.view(
        lambda view: view.connection.execute("SELECT name FROM sqlite_master").fetchall()
    )
    assert ("beside",) not in tables
    assert await journal.append("NOTED", "tester", {}) == 2


async def test_an_error_of_the_callers_own_statement_is_not_taken_for_damage(
    journal: SqliteJournal,
) -> None:
    await journal.append("NOTED", "tester", {})

    def work(transaction: JournalTransaction) -> None:
        transaction.append(Draft("NOTED", "tester", {}))
        transaction.connection.execute("SELECT * FROM nowhere")

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        await journal.transaction(work)
    assert (await journal.head())[0] == 1


async def test_a_statement_that_touches_the_log_is_refused(journal: SqliteJournal) -> None:
    await journal.append("NOTED", "tester", {})

    def work(transaction: JournalTransaction) -> None:
        transaction.connection.execute("UPDATE journal SET actor = 'x'")

    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        await journal.transaction(work)
    assert (await journal.verify()).chain == "OK"


# --- replay -----------------------------------------------------------------------------------


class Items:
    """A projection of the items' states."""

    name = "items"
    tables = ("item",)

    def create(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE item (item_id TEXT PRIMARY KEY, state TEXT, version)")

    def replay(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        for entry in entries:
            payload = payload_of(entry)
            if entry.event_type == "PLAN_ITEM_ADDED":
                row = (payload["item_id"], payload["state"], 1)
                connection.execute("INSERT INTO item VALUES (?, ?, ?)", row)
            elif "to_state" in payload:
                row = (payload["to_state"], payload["new_version"], payload["item_id"])
                connection.execute("UPDATE item SET state = ?, version = ? WHERE item_id = ?", row)


async def written(journal: SqliteJournal, *statements: str) -> None:
    def work(transaction: JournalTransaction) -> None:
        for statement in statements:
            transaction.connection.execute(statement)

    await journal.transaction(work)


async def test_without_derived_tables_there_is_no_state_to_judge(journal: SqliteJournal) -> None:
    await journal.append("NOTED", "tester", {"item_id": "I-1"})

    assert await find_drift(journal, []) == (False, None)
    assert await find_drift(journal, [Items()]) == (False, None)
    assert (await audit(journal, [Items()])).state == "ABSENT"


async def test_tables_that_the_log_fills_and_the_file_lacks_are_drift(told: SqliteJournal) -> None:
    await rebuild(told, [Items()])
    await written(told, "DROP TABLE item")

    verdict = await audit(told, [Items()])

    assert (verdict.chain, verdict.state, verdict.intact) == ("OK", "DRIFT", False)
    assert verdict.detail == "items: table item: there is no such table"
    await rebuild(told, [Items()])
    assert (await audit(told, [Items()])).state == "OK"


async def test_a_failed_replay_says_nothing_of_tables_that_were_never_made(
    told: SqliteJournal,
) -> None:
    class Broken(Items):
        def replay(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
            super().replay(connection, entries)
            raise KeyError("state")

    assert await find_drift(told, [Broken()]) == (False, None)


async def test_a_projection_that_does_not_make_its_tables_has_failed(told: SqliteJournal) -> None:
    class Lazy(Items):
        tables = ("item", "other")

    await rebuild(told, [Items()])
    _, drift = await find_drift(told, [Lazy()])

    assert drift is not None
    assert "tables that it does not make: ['other']" in drift.detail


async def test_walk_and_replay_in_one_pass_say_what_both_say_apart(told: SqliteJournal) -> None:
    await rebuild(told, [Items()])
    await told.append_many([Draft("NOTED", "tester", {"at": at}) for at in range(4500)])
    anchor = Head(*await told.head())

    verdict = await audit(told, [Items()], [anchor])

    assert verdict == msgspec.structs.replace(await told.verify([anchor]), state="OK")
    await written(told, "UPDATE item SET state = 'BANANA'")
    drifted = await audit(told, [Items()], [anchor, Head(9999, "0" * 64)])
    assert (drifted.completeness, drifted.state) == ("TRUNCATED", "DRIFT")
    assert drifted.reason == "TAIL_MISSING"  # the first thing that is wrong; none hides another


async def test_the_state_of_a_broken_log_is_not_judged(told: SqliteJournal) -> None:
    await rebuild(told, [Items()])
    await told.close()
    connection = sqlite3.connect(told.path, isolation_level=None)
    connection.execute("DROP TRIGGER journal_refuses_update")
    connection.execute("UPDATE journal SET actor = 'x' WHERE sequence = 2")
    connection.close()
    journal = SqliteJournal(told.path)

    verdict = await audit(journal, [Items()])
    await journal.close()

    assert (verdict.chain, verdict.first_bad, verdict.state) == ("CORRUPTED", 2, "ABSENT")


async def test_rebuilt_tables_equal_the_replay(told: SqliteJournal) -> None:
    assert await rebuild(told, [Items()]) == 1
    assert await find_drift(told, [Items()]) == (True, None)
    assert (await told.verify()).size == 6


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE item SET state = 'BANANA'", "UPDATE item SET version = '2'",
        "UPDATE item SET version = 2.0", "DELETE FROM item", "UPDATE item SET item_id = 'I-2'",
        "INSERT INTO item VALUES ('I-9', 'TODO', 1)", "ALTER TABLE item ADD COLUMN extra",
        "UPDATE item SET state = NULL", "UPDATE item SET state = CAST(state AS BLOB)",
    ],
)  # fmt: skip
async def test_any_edit_of_a_derived_table_is_drift_and_is_mended_by_a_rebuild(
    told: SqliteJournal, edit: str
) -> None:
    await rebuild(told, [Items()])
    await written(told, edit)

    present, drift = await find_drift(told, [Items()])

    assert present
    assert drift is not None
    assert (drift.projection, drift.table) == ("items", "item")
    if "ALTER" not in edit:
        await rebuild(told, [Items()])
        assert await find_drift(told, [Items()]) == (True, None)


async def test_a_table_that_is_gone_is_drift(told: SqliteJournal) -> None:
    class Two(Items):
        tables = ("item", "other")

        def create(self, connection: sqlite3.Connection) -> None:
            super().create(connection)
            connection.execute("CREATE TABLE other (value)")

    await rebuild(told, [Items()])

    _, drift = await find_drift(told, [Two()])

    assert drift is not None
    assert (drift.table, drift.detail) == ("other", "there is no such table")


async def test_a_replay_that_fails_is_drift_and_never_written(told: SqliteJournal) -> None:
    class Broken(Items):
        def replay(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
            raise KeyError("state")

    await rebuild(told, [Items()])

    _, drift = await find_drift(told, [Broken()])
    assert drift is not None
    assert "the replay failed" in drift.detail
    with pytest.raises(ReplayFailed, match="the replay failed"):
        await rebuild(told, [Broken()])
    assert await find_drift(told, [Items()]) == (True, None)
