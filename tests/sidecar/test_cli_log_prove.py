"""`conductor log`: checkpoints, proofs, witness, export and anchors, as people type them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
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
CREATED = (
    '{"owner_agent": "Liam", "plan_id": "P-L3-DEMO-001", "status": "ACTIVE", '
    '"title": "L3 Demo Plan", "version": 1}'
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = resolve_workspace(tmp_path)
    workspace.create()
    return workspace


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.chdir(workspace.root)
    return partial(typed, capsys, "log")


def write(workspace: Workspace, count: int, actor: str = "tester") -> None:
    async def append() -> None:
        journal = SqliteJournal(
            workspace.journal_db, clock=ManualClock(), make_log_id=lambda: "log-test"
        )
        await journal.append_many([Draft("NOTED", actor, {"at": at}) for at in range(count)])
        await journal.close()

    asyncio.run(append())


def tamper(workspace: Workspace, *statements: str) -> None:
    connection = sqlite3.connect(workspace.journal_db, isolation_level=None)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def verified(workspace: Workspace, run: Run, *arguments: str) -> tuple[int, str]:
    program = workspace.root / "verify.py"
    program.write_text(run("verifier")[1], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(program), *arguments], capture_output=True, text=True,
        check=False, cwd=workspace.root,
    )  # fmt: skip
    return done.returncode, done.stdout


def put(workspace: Workspace, name: str, text: str) -> str:
    (workspace.root / name).write_text(text, encoding="utf-8")
    return name


# --- proofs -------------------------------------------------------------------------------------


def test_a_signed_proof_is_verified_by_the_file_that_the_command_prints(
    workspace: Workspace, run: Run
) -> None:
    write(workspace, 30)
    assert run("key", "secret") == (0, "", "")
    assert stat.S_IMODE((workspace.root / "secret").stat().st_mode) == 0o600

    code, proof, err = run("prove", "7", "--key", "secret")

    assert (code, err) == (0, "")
    put(workspace, "entry.tlog-proof", proof)
    code, out = verified(workspace, run, "entry.tlog-proof", "--key", "secret")
    assert code == 0
    assert out.startswith("inclusion     OK: entry 7 of conductor.journal/log-test, size 30\n")
    assert 'payload       {"at":6}\n' in out


def test_growth_is_proved_from_a_kept_checkpoint(workspace: Workspace, run: Run) -> None:
    write(workspace, 12)
    put(workspace, "kept", run("checkpoint")[1])
    write(workspace, 9)
    code, proof, _ = run("prove-consistency", "12", "21")

    assert code == 0
    put(workspace, "growth", proof)
    code, out = verified(workspace, run, "growth", "--consistency", "--checkpoint", "kept")
    assert (code, out) == (0, "consistency   OK: size 21 begins with size 12\n")


def test_an_export_is_verified_elsewhere_and_resumed(workspace: Workspace, run: Run) -> None:
    write(workspace, 12)
    put(workspace, "kept", run("checkpoint")[1])
    first = run("export")[1]
    write(workspace, 5)
    rest = run("export", "--after", "12")[1]
    assert first + rest == run("export")[1]

    put(workspace, "log.jsonl", first + rest)
    code, out = verified(workspace, run, "--export", "log.jsonl", "--checkpoint", "kept")

    assert code == 0
    assert out.startswith("chain         OK: 17 entries")
    assert set(json.loads(first.splitlines()[0])) == {
        "chain_version", "log_id", "sequence", "time", "event_type", "actor", "session_id",
        "task_id", "payload", "previous", "hash",
    }  # fmt: skip


def test_an_unsigned_checkpoint_says_so_and_goes_into_a_pipe_as_it_is(
    workspace: Workspace, run: Run
) -> None:
    write(workspace, 3)

    code, out, err = run("checkpoint")

    assert code == 0
    assert out.startswith("conductor.journal/log-test\n3\n")
    assert out.endswith("=\n\n")
    assert err.startswith("unsigned: ")
    said = json.loads(run("checkpoint", "--json")[1])
    assert (said["origin"], said["size"], said["signed"]) == (
        "conductor.journal/log-test",
        3,
        False,
    )
    assert said["text"] == out


def test_an_ed25519_key_signs_where_cryptography_is_installed(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(workspace, 3)
    code, public, _ = run("key", "pair", "--kind", "ed25519")
    assert (code, public[:32]) == (0, "conductor-key-v1 ed25519-public ")
    put(workspace, "public", public)
    (workspace.root / "public").chmod(0o600)
    put(workspace, "first", run("checkpoint", "--key", "pair")[1])
    assert run("witness", "add", "first", "--file", "w", "--key", "public")[0] == 0

    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    code, _, err = run("checkpoint", "--key", "pair")
    assert code == 2
    assert "ED25519_UNAVAILABLE" in err


def test_a_key_is_never_overwritten_and_never_read_where_others_can(
    workspace: Workspace, run: Run
) -> None:
    write(workspace, 1)
    run("key", "secret")
    before = (workspace.root / "secret").read_bytes()

    assert run("key", "secret")[0] == 1
    assert (workspace.root / "secret").read_bytes() == before
    (workspace.root / "secret").chmod(0o644)
    assert run("checkpoint", "--key", "secret")[0] == 77
    assert run("checkpoint", "--key", "nowhere")[0] == 3


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["checkpoint"], ["prove", "2"], ["prove-consistency", "2", "4"]]
)
def test_nothing_is_proved_over_a_log_with_a_fault(
    workspace: Workspace, run: Run, command: list[str]
) -> None:
    write(workspace, 5)
    tamper(workspace, "UPDATE journal SET actor = 'x' WHERE sequence = 3")

    code, out, err = run(*command)

    assert (code, out) == (4, "")
    assert "JOURNAL_UNSOUND" in err


@pytest.mark.parametrize(
    "command",
    [["checkpoint"], ["prove", "2"], ["prove-consistency", "0", "1"], ["export"], ["anchor"],
     ["sessions"], ["history", "I-1"], ["replay"]],
)  # fmt: skip
def test_a_missing_journal_exits_3_and_is_not_made(
    workspace: Workspace, run: Run, command: list[str]
) -> None:
    assert run(*command)[0] == 3
    assert list(workspace.state_dir.iterdir()) == []


def test_an_entry_that_is_not_there_exits_3(workspace: Workspace, run: Run) -> None:
    write(workspace, 5)

    for command in (["prove", "6"], ["prove", "6", "--size", "6"], ["prove-consistency", "2", "6"]):
        code, _, err = run(*command)
        assert code == 3
        assert "LOG_SEQUENCE_MISSING" in err
    assert run("prove", "4", "--size", "3")[0] == 3
    assert run("prove-consistency", "4", "3")[0] == 2


def test_two_signed_checkpoints_never_contradict_each_other(workspace: Workspace, run: Run) -> None:
    write(workspace, 8)
    run("key", "secret")
    assert run("checkpoint", "--key", "secret")[0] == 0
    workspace.journal_db.unlink()
    write(workspace, 9, actor="forger")  # the whole log written anew, sound in itself

    assert run("verify")[0] == 0
    for command in (["checkpoint"], ["prove", "2"], ["prove-consistency", "1", "2"]):
        code, out, err = run(*command, "--key", "secret")
        assert (code, out) == (4, "")
        assert "CHECKPOINT_INCONSISTENT" in err


def test_a_log_that_lost_what_was_signed_is_signed_no_more(workspace: Workspace, run: Run) -> None:
    write(workspace, 8)
    run("key", "secret")
    run("checkpoint", "--key", "secret")
    kept = (workspace.state_dir / "journal.signed.json").read_bytes()
    workspace.journal_db.unlink()
    write(workspace, 6)

    assert run("checkpoint", "--key", "secret")[0] == 4
    assert (workspace.state_dir / "journal.signed.json").read_bytes() == kept
    write(workspace, 4)
    assert run("verify")[0] == 0


# --- the witness and anchors --------------------------------------------------------------------


def test_a_witness_refuses_a_smaller_and_a_rewritten_log(workspace: Workspace, run: Run) -> None:
    write(workspace, 8)
    put(workspace, "first", run("checkpoint")[1])
    write(workspace, 4)
    put(workspace, "growth", run("prove-consistency", "8", "12")[1])
    witness = ("--file", "witness.json")

    assert run("witness", "add", "first", *witness)[0] == 0
    assert run("witness", "add", "growth", *witness)[0] == 0
    kept = (workspace.root / "witness.json").read_bytes()
    code, _, err = run("witness", "add", "first", *witness)
    assert code == 4
    assert "WITNESS_SMALLER" in err
    workspace.journal_db.unlink()
    write(workspace, 13, actor="forger")
    put(workspace, "forged", run("prove-consistency", "12", "13")[1])
    code, _, err = run("witness", "add", "forged", *witness)
    assert code == 4
    assert "WITNESS_INCONSISTENT" in err
    put(workspace, "stale", run("prove-consistency", "11", "13")[1])
    assert run("witness", "add", "stale", *witness)[0] == 1
    assert (workspace.root / "witness.json").read_bytes() == kept
    shown = json.loads(run("witness", "show", *witness, "--json")[1])
    assert [head["size"] for head in shown["heads"]] == [12]


def test_a_witness_that_wants_a_signature_takes_no_other(workspace: Workspace, run: Run) -> None:
    write(workspace, 8)
    run("key", "secret")
    run("key", "other")
    put(workspace, "plain", run("checkpoint")[1])
    put(workspace, "signed", run("checkpoint", "--key", "secret")[1])
    witness = ("--file", "witness.json")

    assert run("witness", "add", "plain", *witness, "--key", "secret")[0] == 4
    assert run("witness", "add", "signed", *witness, "--key", "other")[0] == 4
    assert run("witness", "show", *witness) == (0, "nothing seen yet\n", "")
    assert run("witness", "add", "signed", *witness, "--key", "secret")[0] == 0
    assert run("witness", "add", put(workspace, "x", "text"), *witness)[0] == 2


def test_an_anchor_file_grows_and_is_compared(workspace: Workspace, run: Run) -> None:
    write(workspace, 3)
    assert run("anchor", "--write", "anchors")[0] == 0
    write(workspace, 2)
    code, out, _ = run("anchor", "--compare", "anchors", "--write", "anchors")
    assert code == 0
    assert out.startswith("5:")
    assert [line.split(":")[0] for line in (workspace.root / "anchors").read_text().split()] == [
        "3", "5",
    ]  # fmt: skip

    workspace.journal_db.unlink()
    write(workspace, 5, actor="forger")
    code, out, _ = run("anchor", "--compare", "anchors", "--write", "anchors")
    assert code == 4
    assert "ANCHOR_MISMATCH" in out
    assert len((workspace.root / "anchors").read_text().split()) == 2
    assert run("anchor", "--compare", put(workspace, "bad", "x"))[0] == 2
    assert run("anchor", "--compare", "nowhere")[0] == 3


def test_an_original_log_is_verified_by_its_own_rules(workspace: Workspace, run: Run) -> None:
    connection = sqlite3.connect(workspace.root / "old.db")
    connection.execute(
        "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id, task_id, actor, "
        "event_type, payload_json, created_ts, prev_hash, curr_hash)"
    )
    connection.execute(
        "INSERT INTO events VALUES (1, 's', 't', 'a', 'PLAN_CREATED', ?, '2025-12-24T09:00:00Z', "
        "'', '659f7d3ff82c1bbc7c030912e98bae4dd6b17dfc8a9c3799fc3e037b873c3f9c')",
        (CREATED,),
    )
    connection.commit()

    code, out, _ = run("verify", "--original", "old.db", "--json")
    assert code == 0
    assert json.loads(out)["chain"] == "OK"
    connection.execute("UPDATE events SET payload_json = '{}'")
    connection.commit()
    connection.close()
    assert run("verify", "--original", "old.db")[0] == 4
    assert run("verify", "--original", "none.db")[0] == 3
    assert run("verify", "--original", "verify.py")[0] == 3
