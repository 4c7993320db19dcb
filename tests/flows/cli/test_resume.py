from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Flows = Callable[..., Any]
ORDER = ("--payload", '{"amount": 3}')


@pytest.fixture(autouse=True)
def _here(folder: Path) -> None:
    """Every case begins in a folder without checkpoints."""


def halted(flows: Flows, name: str, *options: str) -> Any:
    ran = flows("run", "local", f"waits.py:{name}", *ORDER, *options)
    assert (0, True) == (ran.code, ran.json["halted"])
    return ran.json


def test_a_halt_names_checkpoint_token_and_next_command(flows: Flows) -> None:
    ran = flows("run", "local", "waits.py:asks", *ORDER)

    told, checkpoint = ran.json, ran.json["checkpoint_id"]
    command = f"flows resume run {checkpoint} waits.py:asks --approve"
    assert ("ask", "approval", {"amount": 3}, command) == (
        told["node"], told["kind"], told["payload"], told["next"],
    )  # fmt: skip
    for line in ("the run waits at ask (approval)", checkpoint, told["token"], f"next: {command}"):
        assert line in ran.err


def test_a_halt_in_json_has_no_result(flows: Flows) -> None:
    ran = flows("run", "local", "waits.py:asks", *ORDER, "--json")

    assert (None, "ask") == (ran.json["result"], ran.json["halted"]["node"])


def test_the_command_that_a_halt_names_lets_the_run_go_on(flows: Flows) -> None:
    for name, answer in (("asks", ()), ("sleeps", ())):
        words = halted(flows, name)["next"].split()[1:]
        assert 0 == flows(*words, *answer).code
    assert "No checkpoints.\n" == flows("resume", "list").out


def test_resume_list(flows: Flows) -> None:
    asked = halted(flows, "asks")["checkpoint_id"]
    slept = halted(flows, "sleeps")["checkpoint_id"]
    napped = halted(flows, "naps")["checkpoint_id"]

    listed = flows("resume", "list")
    told = {each["checkpoint_id"]: each for each in flows("resume", "list", "--json").json[
        "checkpoints"
    ]}  # fmt: skip

    assert {asked, slept, napped} == set(told)
    assert {asked: False, slept: True, napped: False} == {
        name: each["due"] for name, each in told.items()
    }
    assert [{"node": "ask", "kind": "approval", "resume_after_ms": None}] == told[asked]["waits"]
    assert f"{napped}  active  1 h      nap (timer)" in listed.out
    assert f"{slept}  active  due      sleep (timer)" in listed.out
    assert all(len(line) <= 80 for line in listed.out.splitlines())


def test_resume_list_filters(flows: Flows) -> None:
    asked, slept = halted(flows, "asks")["checkpoint_id"], halted(flows, "sleeps")["checkpoint_id"]
    all_of = flows("resume", "list", "--json").json["checkpoints"]
    by_id = {each["checkpoint_id"]: each for each in all_of}

    def ids(*options: str) -> set[str]:
        listed = flows("resume", "list", "--json", *options).json["checkpoints"]
        return {each["checkpoint_id"] for each in listed}

    assert {asked} == ids("--flow", "asks_flow@1.0.0")
    assert {asked} == ids("--flow", by_id[asked]["flow_id"])
    assert set() == ids("--flow", "asks_flow@2.0.0")
    assert {slept} == ids("--run", by_id[slept]["run_id"])
    assert {asked, slept} == ids("--status", "active")
    assert set() == ids("--status", "completed")


def test_resume_due(flows: Flows) -> None:
    halted(flows, "asks")
    slept = halted(flows, "sleeps")["checkpoint_id"]

    listed = flows("resume", "list", "--due", "--json").json["checkpoints"]
    ran = flows("resume", "run", "--due", "waits.py:asks", "waits.py:sleeps")
    again = flows("resume", "run", "--due", "waits.py:sleeps", "--json")

    assert [slept] == [each["checkpoint_id"] for each in listed]
    assert {"checkpoint_id": slept, "flow": "sleeps_flow", "result": 3} == ran.json
    assert (0, []) == (again.code, again.json["runs"])
    assert 2 == flows("resume", "list", "--due", "--status", "completed").code


def test_resume_show(flows: Flows) -> None:
    asked = halted(flows, "asks")["checkpoint_id"]

    whole = flows("resume", "show", asked, "--json").json
    short = flows("resume", "show", asked[:8])

    assert (asked, "ask", "1.0.0") == (
        whole["checkpoint_id"], whole["waits"][0]["alias"], whole["flow_version"],
    )  # fmt: skip
    assert f"checkpoint: {asked}" in short.out
    assert "waits:      ask (approval)" in short.out
    assert '"amount": 3' in short.out


def test_resume_duplicate_id_asks_for_flow_or_run(flows: Flows, folder: Path) -> None:
    asked = halted(flows, "asks")["checkpoint_id"]
    (file,) = folder.glob(f".flow/checkpoints/*/*/{asked}.json")
    other = file.parent.parent / "run-2" / file.name
    other.parent.mkdir()
    other.write_text(json.dumps(json.loads(file.read_text()) | {"run_id": "run-2"}))

    ran = flows("resume", "show", asked)
    chosen = flows("resume", "show", asked, "--run", "run-2")

    assert 2 == ran.code
    assert "next: say which: --flow ID or --run ID" in ran.err
    assert "run:        run-2" in chosen.out


def test_resume_run_unsupported_now_goes_on_with_the_answer(flows: Flows) -> None:
    asked, called = halted(flows, "asks")["checkpoint_id"], halted(flows, "calls")["checkpoint_id"]

    denied = flows(
        "resume", "run", asked, "waits.py:asks", "--deny", "--as", "ann", "--comment", "no"
    )  # fmt: skip
    answered = flows("resume", "run", called, "waits.py:calls", "--payload", '{"amount": 8}')

    assert (0, "False by ann: no") == (denied.code, denied.json)
    assert (0, 8) == (answered.code, answered.json)


def test_a_token_is_used_once(flows: Flows) -> None:
    token = halted(flows, "calls")["token"]

    first = flows("resume", "signal", token, "waits.py:calls", "--payload", '{"amount": 8}')
    again = flows("resume", "signal", token, "waits.py:calls", "--payload", '{"amount": 8}')

    assert (0, 8) == (first.code, first.json)
    assert 77 == again.code
    assert "next: see what waits: flows resume list" in again.err


def test_an_answer_that_does_not_fit_changes_nothing(flows: Flows) -> None:
    called = halted(flows, "calls")["checkpoint_id"]

    wrong = flows("resume", "run", called, "waits.py:calls", "--payload", '{"amount": "x"}')
    right = flows("resume", "run", called, "waits.py:calls", "--payload", '{"amount": 8}')

    assert 2 == wrong.code
    assert f"next: see what it waits for: flows resume show {called}" in wrong.err
    assert 8 == right.json


def test_a_run_that_still_waits_is_told_how_to_answer(flows: Flows) -> None:
    told = {"asks": "--approve", "calls": "--payload JSON", "naps": "flows resume list"}
    for name, said in told.items():
        checkpoint = halted(flows, name)["checkpoint_id"]
        ran = flows("resume", "run", checkpoint, f"waits.py:{name}")
        assert (6, "") == (ran.code, ran.out)
        assert said in ran.err.splitlines()[-1]


def test_another_flow_is_refused(flows: Flows) -> None:
    asked = halted(flows, "asks")["checkpoint_id"]

    ran = flows("resume", "run", asked, "waits.py:calls")

    assert 1 == ran.code
    assert "[DAG-CKPT-009]" in ran.err
    assert "name the flow, in the version, that wrote it" in ran.err


def test_what_is_not_there_is_said(flows: Flows, folder: Path) -> None:
    (folder / "text").write_text("no database")

    assert (0, "No checkpoints.\n") == (flows("resume", "list").code, flows("resume", "list").out)
    assert 3 == flows("resume", "show", "cp-none").code
    assert 3 == flows("resume", "run", "cp-none", "waits.py:asks").code
    assert 3 == flows("resume", "list", "--checkpoint-dir", "nowhere").code
    assert 3 == flows("resume", "list", "--checkpoint-dir", "text").code
    halted(flows, "asks")
    unknown = flows("resume", "show", "cp-none")
    assert 3 == unknown.code
    assert "next: see what is there: flows resume list" in unknown.err
    assert not (folder / "nowhere").exists()


def test_a_damaged_record_is_told_apart_from_a_missing_one(flows: Flows, folder: Path) -> None:
    asked = halted(flows, "asks")["checkpoint_id"]
    (file,) = folder.glob(f".flow/checkpoints/*/*/{asked}.json")
    file.write_text("{")

    assert "No checkpoints.\n" == flows("resume", "list").out
    assert 4 == flows("resume", "show", asked).code


@pytest.mark.parametrize("words", [
    ("../../../etc/passwd",), ("..",), ("/etc/passwd",), ("",), ("*",), ("%2e%2e",),
    ("a" * 5000,), ("x\x00",), ("a\n\x1b[31mb",), ("--", "-x"),
])  # fmt: skip
def test_an_id_leads_nowhere_but_to_its_checkpoint(flows: Flows, words: tuple[str, ...]) -> None:
    halted(flows, "asks")

    shown, ran = flows("resume", "show", *words), flows("resume", "run", "--approve", *words[:-1],
                                                        words[-1], "waits.py:asks")  # fmt: skip

    assert (3, 3) == (shown.code, ran.code)
    assert "passwd:" not in shown.err + ran.err
    assert "\x1b" not in shown.err + ran.err


@pytest.mark.parametrize(("target", "makes"), [("nowhere", False), (".flow", False), ("at", True)])
def test_a_folder_of_checkpoints_that_is_a_link(
    flows: Flows, folder: Path, target: str, *, makes: bool
) -> None:
    if makes:
        (folder / target).mkdir()
    (folder / ".flow").symlink_to(target)

    ran = flows("run", "local", "waits.py:asks", *ORDER)

    if makes:
        assert 0 == flows("resume", "show", ran.json["checkpoint_id"]).code
        return
    assert 0 != ran.code
    assert "[FLOW_STORE_REFUSED]" in ran.err
    assert "No checkpoints.\n" == flows("resume", "list").out


def test_checkpoints_in_sqlite(flows: Flows, folder: Path) -> None:
    told = halted(flows, "asks", "--checkpoint-store", "sqlite", "--checkpoint-dir", "cp.db")
    words = told["next"].split()[1:]

    listed = flows("resume", "list", "--checkpoint-dir", "cp.db", "--json").json["checkpoints"]
    ran = flows(*words)

    assert told["next"].endswith(" --approve --checkpoint-dir cp.db")
    assert [told["checkpoint_id"]] == [each["checkpoint_id"] for each in listed]
    assert 0 == ran.code
    assert not (folder / ".flow").exists()


def test_the_default_sqlite_file_is_found(flows: Flows) -> None:
    told = halted(flows, "sleeps", "--checkpoint-store", "sqlite")

    listed = flows("resume", "list", "--json").json["checkpoints"]

    assert [told["checkpoint_id"]] == [each["checkpoint_id"] for each in listed]


def test_a_bound_store_is_where_the_next_command_looks(flows: Flows) -> None:
    told = halted(flows, "sleeps", "--bind", "checkpoint_store=filesystem:kept")

    ran = flows(*told["next"].split()[1:])

    assert (0, 3) == (ran.code, ran.json["result"])


def test_what_is_kept_in_memory_has_no_next_command(flows: Flows, folder: Path) -> None:
    ran = flows("run", "local", "waits.py:asks", *ORDER, "--checkpoint-store", "memory")

    assert None is ran.json["next"]
    assert "use --checkpoint-store filesystem" in ran.err
    assert not (folder / ".flow").exists()


def test_a_flow_that_does_not_wait_leaves_nothing(flows: Flows, folder: Path) -> None:
    assert 0 == flows("run", "local", "echo.py", "--payload", '{"value": "x"}').code
    assert not (folder / ".flow").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "cp-none"),
        ("run", "cp-none", "waits.py:asks", "more"),
        ("run", "cp-none", "waits.py:asks", "--approve", "--deny"),
        ("run", "cp-none", "waits.py:asks", "--approve", "--payload", "1"),
        ("run", "cp-none", "waits.py:asks", "--payload", "1", "--payload-file", "-"),
        ("run", "cp-none", "waits.py:asks", "--comment", "x"),
        ("run", "--due", "waits.py:asks", "--approve"),
        ("signal", "token", "waits.py:asks"),
        ("list", "--status", "nonsense"),
    ],
)
def test_wrong_words_are_refused(flows: Flows, words: tuple[str, ...]) -> None:
    assert 2 == flows("resume", *words).code


def test_a_callback_is_not_answered_by_a_decision(flows: Flows) -> None:
    called = halted(flows, "calls")["checkpoint_id"]

    ran = flows("resume", "run", called, "waits.py:calls", "--approve")

    assert 2 == ran.code
    assert "it waits for call (callback)" in ran.err.replace("\n", " ")


STRONG = """
from pathlib import Path

from conductor_flows import Flow, node, trigger


@trigger(summary="Take")
async def take(x: int) -> int:
    print("took", flush=True)
    return x


@node(summary="Fail while there is a file")
async def fail(x: int) -> int:
    if Path("broken").exists():
        raise ValueError("broken")
    return x


flow = Flow("strong_flow", "1.0.0", durability="strong")
flow.connect(flow.add(take), flow.add(fail))
"""


def test_a_run_that_failed_goes_on_from_where_it_failed(flows: Flows, folder: Path) -> None:
    (folder / "strong.py").write_text(STRONG)
    (folder / "broken").touch()
    kept = ("--checkpoint-dir", "kept")
    failed = flows("run", "local", "strong.py", "--payload", "7", *kept)
    (folder / "broken").unlink()

    (listed,) = flows("resume", "list", "--json", *kept).json["checkpoints"]
    ran = flows("resume", "run", listed["checkpoint_id"], "strong.py", *kept)

    assert (1, "", "took\n") == (failed.code, failed.out, failed.err[:5])
    assert failed.err.endswith(
        "go on from where it failed: flows resume list --checkpoint-dir kept\n"
    )
    assert ("failed", False, ["fail"]) == (listed["status"], listed["due"], listed["pending"])
    assert (0, "7\n") == (ran.code, ran.out)
