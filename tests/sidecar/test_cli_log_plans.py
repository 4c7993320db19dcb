"""`conductor log` on a journal that holds plans and tool calls: state, replay and questions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conductor_packs.plan.batch import Settings
from conductor_packs.plan.errors import PlanError
from conductor_packs.plan.gateway.requests import ClaimOrder, SubmitOrder
from conductor_packs.plan.projection import projection
from conductor_packs.plan.requests import (
    Heartbeat,
    MarkReady,
    Patch,
    RecordRequest,
    RecordResult,
    Release,
    RemoveLink,
    Reserve,
    Transition,
    UpdateItem,
    UpdatePlan,
)
from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.cli.main import cli
from conductor_state.journal import SqliteJournal
from conductor_state.journal_audit import items_at
from conductor_state.journal_replay import Drift, Replay, find_drift
from plan_world import CODEX, World, world

SHARED = {
    "plan_items": ("item_id", "plan_id", "title", "state", "priority", "assigned_to", "due_ts",
                   "kind", "version", "estimate"),
    "plan_links": ("link_id", "plan_id", "from_item_id", "to_item_id", "link_type"),
    "plan_orders": ("wo_id", "title", "target", "status", "priority", "updated_ts"),
}  # fmt: skip
"""What tables and `show` both know; the first column names the row."""


async def live(made: World) -> None:
    """Let a plan see every kind of change, and some refusals."""
    await made.add("A", "B", "C", "D", estimate=30)
    await made.link("B", "A")
    gone = await made.link("C", "A")
    await made.link("D", "A", "RELATED")
    await made.do(RemoveLink(link_id=gone.payload["link_id"]))
    patch = Patch(title="new", priority=2, assigned_to="Codex")
    await made.do(UpdateItem(item_id="B", expected_version=1, patch=patch))
    for refused in (
        UpdateItem(item_id="B", expected_version=1, patch=Patch(title="late")),
        Transition(item_id="B", to_state="DONE", expected_version=2),
    ):
        with pytest.raises(PlanError):
            await made.do(refused)
    await made.claim("A")
    await made.do(Heartbeat(item_id="A", token=1))
    await made.do(Reserve(item_id="A", token=1, paths=["src/a"]))
    await made.claim("D", CODEX)
    await made.do(Release(item_id="D", token=1), CODEX)
    await made.claim("C", CODEX)
    made.clock.advance(45)
    await made.do(Heartbeat(item_id="A", token=1))
    made.clock.advance(45)
    await made.plans.expire()
    version = (await made.item("C")).version
    await made.do(MarkReady(item_id="C", expected_version=version))
    await made.do(RecordRequest(item_id="C", expected_version=version + 1, payload={"a": 1}))
    await made.do(RecordResult(item_id="C", expected_version=version + 2, result={"ok": True}))
    await made.do(UpdatePlan(plan_id="P", expected_version=1, title="Q"), key="k-1")
    await made.do(SubmitOrder(order={"wo_id": "W-1", "title": "order"}))
    await made.do(ClaimOrder(target="main"))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose journal tells of a plan and of two tool calls."""
    root = tmp_path_factory.mktemp("lived")
    place = resolve_workspace(root)
    place.create()

    async def fill() -> None:
        async with world(place.journal_db.parent, Settings(lease_s=60)) as made:
            await live(made)

    asyncio.run(fill())
    for tool, fields in (
        ("plan:show", {"plan_id": "P"}),
        ("item:add", {"plan_id": "P", "item_id": "E", "title": "by a tool"}),
    ):
        done = CliRunner().invoke(
            cli, ["tools", "call", tool, "--input", json.dumps(fields), "-w", str(root)]
        )
        assert not done.exit_code, done.output
    return root


@pytest.fixture
def copy(lived: Path, tmp_path: Path) -> Path:
    """A workspace of one's own to spoil."""
    shutil.copytree(lived, tmp_path / "copy")
    return tmp_path / "copy"


def run(root: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["log", *words, "-w", str(root)], standalone_mode=False)
    code = done.return_value if isinstance(done.return_value, int) else done.exit_code
    return code, done.stdout


def lines(root: Path, *words: str) -> list[dict[str, Any]]:
    code, out = run(root, *words, "--json")
    assert code == 0
    return [json.loads(line) for line in out.splitlines()]


def answer(root: Path, *words: str) -> Any:
    code, out = run(root, *words, "--json")
    assert code == 0
    return json.loads(out)


@contextlib.contextmanager
def unguarded(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    try:
        yield connection
    finally:
        connection.close()


async def drift_of(path: Path) -> Drift | None:
    journal = SqliteJournal(path)
    try:
        return (await find_drift(journal, [projection]))[1]
    finally:
        await journal.close()


def rows(path: Path, table: str) -> set[tuple[Any, ...]]:
    with unguarded(path) as connection:
        return set(connection.execute(f"SELECT * FROM {table}"))


def key(path: Path, table: str) -> tuple[list[str], str]:
    """Return a table's columns, and what names one of its rows."""
    with unguarded(path) as connection:
        found = connection.execute(f"PRAGMA table_info({table})").fetchall()
    primary = [row[1] for row in found if row[5]]
    return [row[1] for row in found], " AND ".join(f'"{name}" = ?' for name in primary)


def named(path: Path, table: str) -> list[tuple[Any, ...]]:
    with unguarded(path) as connection:
        found = connection.execute(f"PRAGMA table_info({table})").fetchall()
        primary = ", ".join(row[1] for row in found if row[5])
        return connection.execute(f"SELECT {primary} FROM {table}").fetchall()


# --- state ------------------------------------------------------------------------------------


def test_plans_and_tool_calls_are_one_sound_log_whose_tables_equal_a_replay(lived: Path) -> None:
    verdict = answer(lived, "verify")

    assert ("OK", "OK", "OK") == (verdict["source"], verdict["chain"], verdict["state"])
    types = {entry["event_type"] for entry in lines(lived, "tail", "-n", "1000")}
    assert {"PLAN_ITEM_LEASE_EXPIRED", "PLAN_CONFLICT_DETECTED", "PLAN_ITEM_EXEC_RESULT_RECORDED",
            "TOOL_CALL_STARTED", "TOOL_CALL_FINISHED"} <= types  # fmt: skip


@pytest.mark.parametrize("table", projection.tables)
async def test_any_edit_of_any_column_of_any_row_of_a_state_table_is_drift(
    lived: Path, tmp_path: Path, table: str
) -> None:
    original = resolve_workspace(lived).journal_db
    columns, where = key(original, table)
    assert named(original, table), "the plan's life fills every table"
    for values in named(original, table):
        for column in columns:
            path = tmp_path / "edited.db"
            shutil.copy(original, path)
            with unguarded(path) as connection:
                edit = f"UPDATE {table} SET \"{column}\" = ifnull(\"{column}\", '') || 'x'"
                assert connection.execute(f"{edit} WHERE {where}", values).rowcount == 1
            drift = await drift_of(path)
            assert drift is not None, (values, column)
            assert drift.table == table


@pytest.mark.parametrize("table", projection.tables)
async def test_any_row_taken_out_or_put_in_and_any_dropped_table_is_drift(
    lived: Path, tmp_path: Path, table: str
) -> None:
    original = resolve_workspace(lived).journal_db
    columns, where = key(original, table)
    edits = [(f"DELETE FROM {table} WHERE {where}", values) for values in named(original, table)]
    others = ", ".join(f"{name} || 'x'" if at == 0 else name for at, name in enumerate(columns))
    edits += [
        (f"INSERT OR IGNORE INTO {table} SELECT {others} FROM {table} LIMIT 1", ()),
        (f"DELETE FROM {table}", ()), (f"DROP TABLE {table}", ()),
        (f"ALTER TABLE {table} ADD COLUMN extra", ()),
    ]  # fmt: skip
    if table == "plan_links":  # a second link of the same two items is refused by the table
        del edits[-4]
    for statement, values in edits:
        path = tmp_path / "edited.db"
        shutil.copy(original, path)
        with unguarded(path) as connection:
            connection.execute(statement, values)
        drift = await drift_of(path)
        assert drift is not None, statement
        assert drift.table == table


def test_drift_is_told_apart_and_a_replay_rebuilds_the_tables(copy: Path) -> None:
    path = resolve_workspace(copy).journal_db
    before = {table: rows(path, table) for table in projection.tables}
    with unguarded(path) as connection:
        connection.execute("UPDATE plan_items SET state = 'BANANA', version = 99")
        connection.execute("DELETE FROM plan_links")
        connection.execute("UPDATE plan_claims SET actor = 'Mallory'")
    code, out = run(copy, "verify", "--json")
    found = json.loads(out)

    assert (code, found["chain"], found["completeness"]) == (4, "OK", "UNANCHORED")
    assert (found["state"], found["reason"]) == ("DRIFT", "STATE_DRIFT")
    assert run(copy, "replay")[0] == 4
    assert run(copy, "replay", "--write")[0] == 0
    assert run(copy, "verify")[0] == 0
    assert before == {table: rows(path, table) for table in projection.tables}


def test_tables_that_were_all_dropped_are_drift_and_come_back(copy: Path) -> None:
    with unguarded(resolve_workspace(copy).journal_db) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for table in projection.tables:
            connection.execute(f"DROP TABLE {table}")

    code, out = run(copy, "verify", "--json")

    assert (code, json.loads(out)["state"]) == (4, "DRIFT")
    assert run(copy, "replay", "--write")[0] == 0
    assert run(copy, "verify")[0] == 0


def test_a_broken_chain_is_not_replayed(copy: Path) -> None:
    with unguarded(resolve_workspace(copy).journal_db) as connection:
        connection.execute("DROP TRIGGER journal_refuses_update")
        connection.execute("UPDATE journal SET actor = 'x' WHERE sequence = 3")

    code, out = run(copy, "verify", "--json")

    assert code == 4
    assert (json.loads(out)["chain"], json.loads(out)["state"]) == ("CORRUPTED", "ABSENT")
    assert run(copy, "replay", "--write")[0] != 0


# --- questions --------------------------------------------------------------------------------


async def test_what_is_shown_as_of_any_entry_is_what_a_replay_up_to_it_gives(lived: Path) -> None:
    journal = SqliteJournal(resolve_workspace(lived).journal_db)
    size = (await journal.head())[0]
    for until in range(size + 1):
        tables = await journal.view(partial(_replayed, until=until))
        items = await items_at(journal, until)
        for table, (name, *columns) in SHARED.items():
            for row in tables[table]:
                _same(row, items[row[name]].fields, columns)
        plans = next(table for name, table in tables.items() if name in {"plans", "plan_plans"})
        for row in plans:
            _same(row, items["P"].fields, ["title", "owner_agent", "status", "version"])
        held = {row["item_id"]: row["actor"] for row in tables["plan_claims"] if row["actor"]}
        assert held == {item: items[item].fields["holder"] for item in held}
    await journal.close()


def _replayed(view: Any, until: int) -> dict[str, list[dict[str, Any]]]:
    replay = Replay([projection])
    replay.catch_up(view, until)
    try:
        return replay.dump()
    finally:
        replay.close()


def _same(row: Mapping[str, Any], fields: Mapping[str, Any], columns: Sequence[str]) -> None:
    assert {name: row[name] for name in columns} == {name: fields.get(name) for name in columns}


def test_a_claim_that_ended_has_no_holder_and_a_removed_link_no_type(lived: Path) -> None:
    shown = answer(lived, "show", "--as-of", "1000")
    items = {item["item_id"]: item for item in shown["items"]}

    assert items["D"]["fields"]["holder"] is None
    assert items["C"]["fields"]["holder"] is None
    links = [item["fields"]["link_type"] for name, item in items.items() if name.startswith("L-")]
    assert sorted(links, key=str) == ["DEPENDS_ON", None, "RELATED"]
    assert items["B"]["conflicts"] == 2
    assert (items["B"]["fields"]["title"], items["B"]["fields"]["version"]) == ("new", 2)
    assert not {"idempotency_key", "from_item_id"} & set(items["P"]["fields"])


def test_the_history_of_an_item_is_its_changes_its_refusals_and_its_links(lived: Path) -> None:
    types = [entry["event_type"] for entry in lines(lived, "history", "B")]

    assert types == [
        "PLAN_ITEM_ADDED", "PLAN_LINK_ADDED", "PLAN_ITEM_UPDATED", "PLAN_CONFLICT_DETECTED",
        "PLAN_ITEM_MOVE_REFUSED",
    ]  # fmt: skip
    assert "PLAN_ORDER_CLAIMED" in [entry["event_type"] for entry in lines(lived, "history", "W-1")]


def test_a_call_is_found_by_its_id_from_beginning_to_end(lived: Path) -> None:
    started = [
        entry for entry in lines(lived, "tail", "-n", "1000")
        if entry["event_type"] == "TOOL_CALL_STARTED"
    ]  # fmt: skip
    assert len(started) == 2
    for entry in started:
        found = lines(lived, "history", entry["payload"]["call_id"])
        assert [each["event_type"] for each in found] == ["TOOL_CALL_STARTED", "TOOL_CALL_FINISHED"]


def test_sessions_and_tasks_are_told_in_order_and_add_up(lived: Path) -> None:
    listed = answer(lived, "sessions")
    [session] = [each for each in listed["sessions"] if each["session_id"] == "session-1"]
    told = lines(lived, "session-timeline", "--session-id", "session-1")
    summary = answer(lived, "session-summary", "--session-id", "session-1")
    task = lines(lived, "task-timeline", "--task-id", "task-1")

    sequences = [entry["sequence"] for entry in told]
    assert sequences == sorted(sequences)
    assert session["events"] == summary["events"] == len(told) == len(task)
    assert (summary["first"], summary["last"]) == (sequences[0], sequences[-1])
    assert sum(summary["event_types"].values()) == len(told)
    assert summary["actors"] == {"Liam": len(told)}
    assert summary["tasks"] == {"task-1": len(told)}


def test_a_difference_names_entries_and_fields(lived: Path) -> None:
    whole = lines(lived, "tail", "-n", "1000")
    at = next(e["sequence"] for e in whole if e["event_type"] == "PLAN_ITEM_UPDATED")

    found = answer(lived, "diff", str(at - 1), str(at))

    assert [entry["sequence"] for entry in found["entries"]] == [at]
    assert found["changes"] == [
        {"item_id": "B", "field": "assigned_to", "before": None, "after": "Codex"},
        {"item_id": "B", "field": "priority", "before": 0, "after": 2},
        {"item_id": "B", "field": "title", "before": "B", "after": "new"},
        {"item_id": "B", "field": "version", "before": 1, "after": 2},
    ]
