"""`conductor log`: questions and replay, as people type them and as programs read them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from conductor_sdk.chain.entry import Draft
from conductor_sdk.clock import ManualClock
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_state.journal import SqliteJournal
from conductor_state.journal_transaction import JournalTransaction
from typed import Ran, typed

Run = Callable[..., Ran]
DRAFTS = [
    Draft("ITEM_ADDED", "Liam", {"plan_id": "P-1", "item_id": "I-1", "title": "a title " * 9,
                                      "state": "TODO", "version": 1}, "s-1", "t-1"),
    Draft("ITEM_MOVED", "Codex", {"plan_id": "P-1", "item_id": "I-1",
          "from_state": "TODO", "to_state": "DONE", "expected_version": 1, "new_version": 2},
          "s-1", "t-2"),
    Draft("NOTED", "sidecar", {"text": "nothing"}),
]  # fmt: skip


PROJECTION = """
from conductor_sdk.chain.items import payload_of

class States:
    name = "states"
    tables = ("item_state",)

    def create(self, connection):
        connection.execute("CREATE TABLE item_state (item_id TEXT PRIMARY KEY, state TEXT)")

    def replay(self, connection, entries):
        for payload in map(payload_of, entries):
            if "item_id" in payload:
                row = (payload["item_id"], payload.get("to_state", payload.get("state")))
                connection.execute("REPLACE INTO item_state VALUES (?, ?)", row)

states = States()
"""
"""A projection as a distribution brings it: the state of every item."""


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(workspace.root)
    return partial(typed, capsys, "log")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = resolve_workspace(tmp_path)
    workspace.create()

    async def append() -> None:
        journal = SqliteJournal(workspace.journal_db, clock=ManualClock())
        await journal.append_many(DRAFTS)
        await journal.close()

    asyncio.run(append())
    return workspace


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A distribution that brings a projection, on the path as any other."""
    folder = tmp_path / "site"
    info = folder / "states_pack-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: states-pack\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[conductor.projections]\nstates = states_pack:states\n")
    (folder / "states_pack.py").write_text(PROJECTION)
    monkeypatch.delitem(sys.modules, "states_pack", raising=False)
    monkeypatch.syspath_prepend(folder)


def edited(workspace: Workspace, statement: str) -> None:
    async def write() -> None:
        journal = SqliteJournal(workspace.journal_db)

        def work(transaction: JournalTransaction) -> None:
            transaction.connection.execute(statement)

        await journal.transaction(work)
        await journal.close()

    asyncio.run(write())


def test_sessions_are_listed(run: Run) -> None:
    table = "events  first  last  tasks  actors  session\n     2      1     2      2       2  s-1\n"
    assert run("sessions") == (0, table, "")
    assert json.loads(run("sessions", "--json")[1]) == {"sessions": [
        {"session_id": "s-1", "events": 2, "first": 1, "last": 2, "tasks": 2, "actors": 2},
    ]}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["session-timeline", "--session-id", "s-1"], [1, 2]),
        (["task-timeline", "--task-id", "t-2"], [2]),
        (["history", "I-1"], [1, 2]),
    ],
)
def test_timelines_name_their_entries(run: Run, command: list[str], expected: list[int]) -> None:
    code, out, _ = run(*command, "--json")
    assert code == 0
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == expected

    code, out, _ = run(*command)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    "command",
    [["session-timeline", "--session-id", "s-9"], ["session-summary", "--session-id", "s-9"],
     ["task-timeline", "--task-id", "t-9"], ["history", "I-9"],
     ["show", "--as-of", "3", "--item", "I-9"]],
)  # fmt: skip
def test_nothing_found_exits_3(run: Run, command: list[str]) -> None:
    code, out, err = run(*command)

    assert (code, out) == (3, "")
    assert err
    assert run(*command, "--json")[0] == 3


def test_a_session_is_summed_up(run: Run) -> None:
    said = json.loads(run("session-summary", "--session-id", "s-1", "--json")[1])
    assert said["actors"] == {"Codex": 1, "Liam": 1}
    assert (said["events"], said["first"], said["last"]) == (2, 1, 2)

    code, out, _ = run("session-summary", "--session-id", "s-1")
    assert code == 0
    assert "task               1  t-2\n" in out


def test_an_item_is_shown_as_of_an_entry(run: Run) -> None:
    said = json.loads(run("show", "--as-of", "1", "--json")[1])
    assert (said["as_of"], said["items"][0]["fields"]["state"]) == (1, "TODO")
    assert json.loads(run("show", "--as-of", "0", "--json")[1])["items"] == []

    code, out, _ = run("show", "--as-of", "3", "--item", "I-1")
    assert code == 0
    assert out.startswith("item          I-1  (entry 2)\n")
    assert "  state       DONE\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_what_changed_is_told_with_the_entries_between(run: Run) -> None:
    said = json.loads(run("diff", "1", "3", "--json")[1])
    assert [entry["sequence"] for entry in said["entries"]] == [2, 3]
    assert said["changes"] == [
        {"item_id": "I-1", "field": "state", "before": "TODO", "after": "DONE"},
        {"item_id": "I-1", "field": "version", "before": 1, "after": 2},
    ]

    code, out, _ = run("diff", "1", "3")
    assert code == 0
    assert "changed       I-1  state: TODO -> DONE\n" in out
    assert run("diff", "3", "1")[0] == 2


def test_verify_compares_derived_tables_and_replay_mends_them(
    run: Run, workspace: Workspace, installed: None
) -> None:
    code, out, _ = run("verify", "--json")
    assert (code, json.loads(out)["detail"]) == (
        4, "states: table item_state: there is no such table",
    )  # fmt: skip
    code, out, _ = run("replay", "--write", "--json")
    assert (code, json.loads(out)) == (0, {"state": "OK", "detail": "", "rows_written": 1})
    assert "state         OK\n" in run("verify")[1]

    edited(workspace, "UPDATE item_state SET state = 'BANANA'")

    code, out, _ = run("verify")
    assert code == 4
    assert "chain         OK\n" in out
    assert "state         DRIFT\n" in out
    assert "reason        STATE_DRIFT\n" in out
    assert run("replay")[0] == 4
    assert run("replay", "--write")[0] == 0
    assert run("verify")[0] == 0
