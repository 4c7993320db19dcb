"""`conductor log`: the verdict, its exit code, and what people and programs read."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from conductor_sdk.chain.entry import Draft
from conductor_sdk.clock import ManualClock
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_state.journal import SqliteJournal
from typed import Ran, typed

Run = Callable[..., Ran]


@pytest.fixture
def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    return partial(typed, capsys, "log")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = resolve_workspace(tmp_path)
    workspace.create()
    return workspace


def write(workspace: Workspace, *drafts: Draft) -> tuple[int, str]:
    async def append() -> tuple[int, str]:
        journal = SqliteJournal(
            workspace.journal_db, clock=ManualClock(), make_log_id=lambda: "log-test"
        )
        await journal.append_many(drafts)
        head = await journal.head()
        await journal.close()
        return head

    return asyncio.run(append())


def tamper(workspace: Workspace, statement: str) -> None:
    connection = sqlite3.connect(workspace.journal_db, isolation_level=None)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    connection.close()


def noted(count: int) -> list[Draft]:
    return [Draft("NOTED", "tester", {"at": at}) for at in range(1, count + 1)]


def test_a_sound_log_is_ok_and_says_what_was_not_checked(workspace: Workspace, runner: Run) -> None:
    _, digest = write(workspace, *noted(3))

    code, out, err = runner("verify", "--workspace", str(workspace.root))

    assert (code, err) == (0, "")
    assert out == (
        "source        OK\n"
        "chain         OK\n"
        "completeness  UNANCHORED  give --anchor SIZE:HASH to detect a cut tail\n"
        "state         ABSENT  no tables to compare\n"
        "entries       3\n"
        "log           log-test\n"
        f"head          {digest}\n"
    )


def test_the_current_directory_is_the_default(
    workspace: Workspace, runner: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(workspace, *noted(1))
    monkeypatch.chdir(workspace.root)

    assert runner("verify")[0] == 0


def test_an_anchor_that_fits_is_complete_and_one_that_reaches_further_is_not(
    workspace: Workspace, runner: Run
) -> None:
    size, digest = write(workspace, *noted(3))
    fits, further = f"{size}:{digest}", f"9:{digest.upper()}"
    root = str(workspace.root)

    code, out, _ = runner("verify", "-w", root, "--anchor", fits)
    assert code == 0
    assert "completeness  OK\n" in out
    code, out, _ = runner("verify", "-w", root, "--anchor", fits, "--anchor", further)
    assert code == 4
    assert "completeness  TRUNCATED\nstate         ABSENT  no tables to compare\n" in out
    assert "first bad     4\nreason        TAIL_MISSING\n" in out


def test_a_changed_entry_exits_4_and_is_named(workspace: Workspace, runner: Run) -> None:
    write(workspace, *noted(5))
    tamper(workspace, "UPDATE journal SET actor = 'x' WHERE sequence = 3")

    code, out, _ = runner("verify", "-w", str(workspace.root))

    assert code == 4
    assert "chain         CORRUPTED\n" in out
    assert "first bad     3\nreason        ENTRY_ALTERED\n" in out


def test_programs_get_the_verdict_as_json(workspace: Workspace, runner: Run) -> None:
    _, digest = write(workspace, *noted(2))
    tamper(workspace, "DELETE FROM journal WHERE sequence = 1")

    code, out, err = runner("verify", "-w", str(workspace.root), "--json")

    assert (code, err) == (4, "")
    assert json.loads(out) == {
        "source": "OK", "chain": "CORRUPTED", "completeness": "UNANCHORED", "state": "ABSENT",
        "size": 1, "head": digest, "log_id": "log-test", "first_bad": 1, "reason": "ENTRY_MISSING",
        "detail": "followed by 2",
    }  # fmt: skip


def test_a_missing_journal_exits_3_and_is_not_created(workspace: Workspace, runner: Run) -> None:
    code, out, _ = runner("verify", "-w", str(workspace.root))
    json_code, json_out, _ = runner("verify", "-w", str(workspace.root), "--json")
    tail_code, _, tail_err = runner("tail", "-w", str(workspace.root))

    assert (code, out) == (3, "source        MISSING  there is no journal in this workspace\n")
    assert (json_code, json.loads(json_out)["source"]) == (3, "MISSING")
    assert tail_code == 3
    assert "JOURNAL_MISSING" in tail_err
    assert not workspace.journal_db.exists()


def test_an_empty_journal_is_not_an_error(workspace: Workspace, runner: Run) -> None:
    workspace.journal_db.touch()

    code, out, _ = runner("verify", "-w", str(workspace.root))

    assert code == 0
    assert out.startswith("source        EMPTY\n")
    assert runner("tail", "-w", str(workspace.root)) == (0, "", "")


@pytest.mark.parametrize(
    "anchor", ["", "3", "3:", "3:zz", "x:" + "0" * 64, "-1:" + "0" * 64, "3:" + "0" * 63]
)
def test_what_is_not_an_anchor_is_a_usage_error(
    workspace: Workspace, runner: Run, anchor: str
) -> None:
    code, _, err = runner("verify", "-w", str(workspace.root), "--anchor", anchor)

    assert code == 2
    assert "is not SIZE:HASH" in err


def test_a_workspace_that_is_not_there_exits_3(tmp_path: Path, runner: Run) -> None:
    code, _, err = runner("verify", "-w", str(tmp_path / "nowhere"))

    assert code == 3
    assert "WORKSPACE_MISSING" in err


def test_tail_shows_the_last_entries_oldest_first(workspace: Workspace, runner: Run) -> None:
    write(workspace, *noted(30), Draft("LINKED", "pack:plan", {"to": "é"}, "s-1", "t-1"))

    code, out, _ = runner("tail", "-w", str(workspace.root), "--limit", "2")

    assert code == 0
    assert out == (
        "    30  2026-01-01T00:00:00.000Z  NOTED  tester\n"
        '        {"at":30}\n'
        "    31  2026-01-01T00:00:00.000Z  LINKED  pack:plan  session s-1  task t-1\n"
        '        {"to":"é"}\n'
    )


def test_long_entries_lose_nothing_and_stay_within_80_columns(
    workspace: Workspace, runner: Run
) -> None:
    payload = {"text": "word " * 60}
    write(workspace, Draft("N" * 100, "tester", payload, "s" * 100))

    _, out, _ = runner("tail", "-w", str(workspace.root))

    assert max(map(len, out.splitlines())) <= 80
    assert '{"text":"' + "word " * 60 + '"}' in "".join(line[8:] for line in out.splitlines()[1:])


def test_data_cannot_drive_the_terminal(workspace: Workspace, runner: Run) -> None:
    write(workspace, Draft("NOTED", "tester", {"text": "\x9b2J\u202e\x1b[31m"}))

    _, out, _ = runner("tail", "-w", str(workspace.root))

    assert not [char for char in out if not char.isprintable() and char != "\n"]
    assert "\\x9b2J\\u202e" in out


def test_tail_prints_one_json_object_a_line(workspace: Workspace, runner: Run) -> None:
    write(workspace, *noted(3))

    _, out, _ = runner("tail", "-w", str(workspace.root), "--json", "-n", "2")

    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["sequence"] for line in lines] == [2, 3]
    assert lines[0]["payload"] == {"at": 2}
    assert set(lines[0]) == {
        "chain_version", "log_id", "sequence", "time", "event_type", "actor", "session_id",
        "task_id", "payload", "previous", "hash",
    }  # fmt: skip


def test_a_damaged_entry_is_shown_and_not_a_crash(workspace: Workspace, runner: Run) -> None:
    write(workspace, *noted(2))
    tamper(
        workspace,
        "UPDATE journal SET payload = '{', actor = CAST(x'ff41' AS TEXT) WHERE sequence = 2",
    )

    code, out, _ = runner("tail", "-w", str(workspace.root))
    json_code, json_out, _ = runner("tail", "-w", str(workspace.root), "--json")

    assert (code, json_code) == (0, 0)
    assert "\\udcffA" in out
    assert json.loads(json_out.splitlines()[1])["payload"] is None


def start_tail(workspace: Workspace) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "conductor_sidecar", "log", "tail", "--follow", "--json"]
    return subprocess.Popen(
        [*command, "-w", str(workspace.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def test_follow_shows_new_entries_until_interrupted(workspace: Workspace) -> None:
    write(workspace, *noted(1))
    with start_tail(workspace) as process:
        try:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            write(workspace, *noted(2))
            then = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()

    assert [first["sequence"], *(entry["sequence"] for entry in then)] == [1, 2, 3]
    assert (out, err) == ("", "")
    assert process.returncode in {0, 130}


def test_help_imports_no_store() -> None:
    program = (
        "import sys\n"
        "from conductor_sidecar.cli.main import main\n"
        "try: main(['log', 'verify', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'sqlite3', 'asyncio', 'msgspec', 'pydantic', 'conductor_sidecar.app'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert run.stdout.splitlines()[-1] == b"[]"
