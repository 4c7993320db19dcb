from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conductor_flows.cli.tally import Tally
from conductor_flows.ir.identity import flow_id
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.terms import Profile
from conductor_flows.measures.snapshot import SnapshotRecorder

Flows = Callable[..., Any]
LIST = """
from collections.abc import AsyncIterator

from conductor_flows import Flow, NodeContext, node, trigger


@trigger(summary="Take")
async def take(x: int) -> int:
    return x


@node(summary="Divide")
async def divide(x: int) -> int:
    return 12 // x


@node(summary="Labels")
async def labels(x: int, context: NodeContext) -> dict[str, str]:
    return dict(context.run.labels)


@node(summary="Number in a burst")
async def whole(x: dict[str, int]) -> dict[str, int]:
    return x


@trigger(summary="Take anything")
async def anything(x: dict[str, int]) -> dict[str, int]:
    return x


@node(summary="For ever")
async def for_ever(x: int) -> AsyncIterator[int]:
    import asyncio

    try:
        while True:
            yield x
            await asyncio.sleep(0.01)
            x += 1
    finally:
        print("closed", flush=True)


@node(summary="An hour")
async def hour(x: int) -> int:
    import asyncio

    try:
        await asyncio.sleep(3600)
    finally:
        print("cancelled", flush=True)
    return x


def made(name, start, step):
    flow = Flow(name, "1.0.0")
    flow.connect(flow.add(start), flow.add(step))
    return flow


divides = made("divides", take, divide)
tells = made("tells", take, labels)
counts = made("counts", anything, whole)
sleeps = made("sleeps", take, hour)
streams = made("streams", take, for_ever)

hurries = made("hurries", take, hour)
hurries.entrypoint(hurries.handle("take"), hurries.handle("hour"), deadline_ms=50)

two = made("two", take, divide)
two.entrypoint(two.handle("take"), two.handle("divide"))
two.entrypoint(two.handle("take"), two.handle("take"))
"""


LOUD = """
from collections.abc import AsyncIterator

from conductor_flows import Flow, node, trigger

print("loaded")


@trigger(summary="Take")
async def take(x: int) -> int:
    return x


@node(summary="Say so")
async def loud(x: int) -> int:
    print("called")
    return x + 1


@node(summary="Say so twice")
async def twice(x: int) -> AsyncIterator[int]:
    for each in (x, x + 1):
        print("piece")
        yield each


flow = Flow("loud", "1.0.0")
flow.connect(flow.add(take), flow.add(loud))
_streams = Flow("louder", "1.0.0")
_streams.connect(_streams.add(take), _streams.add(twice))


def streams():
    return _streams
"""


@pytest.fixture(autouse=True)
def _list(folder: Path) -> None:
    (folder / "list.py").write_text(LIST)


def test_payloads_come_from_a_word_a_file_or_standard_input(flows: Flows, folder: Path) -> None:
    (folder / "payload.json").write_text("3")

    ran = [
        flows("run", "local", "list.py:divides", "--payload", "3"),
        flows("run", "local", "list.py:divides", "--payload-file", "payload.json"),
        flows("run", "local", "list.py:divides", "--payload", "-", stdin=b"3"),
        flows("run", "local", "list.py:divides", "--payload-file", "-", stdin=b"3"),
    ]

    assert [(0, "4\n")] * 4 == [(each.code, each.out) for each in ran]


def test_the_summary_is_on_standard_error(flows: Flows) -> None:
    ran = flows("run", "local", "list.py:divides", "--payload", "3")

    lines = ran.err.splitlines()
    assert lines[0].startswith("divides 1.0.0: ")
    assert ["node", "calls", "avg", "ms", "errors"] == lines[1].split()
    assert ["take", "1"] == lines[2].split()[:2]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"{", "truncated"),
        (b"", "nothing is there"),
        (b"\xff", "byte 0 (0xff) is not UTF-8"),
        (b"[" * 100_000, "standard input: "),
    ],
)
def test_what_is_no_json_is_refused(flows: Flows, payload: bytes, said: str) -> None:
    ran = flows("run", "local", "list.py:divides", "--payload", "-", stdin=payload)

    assert (2, "") == (ran.code, ran.out)
    assert said in ran.err
    assert "[FLOW_PAYLOAD_UNREADABLE]" in ran.err


def test_a_payload_that_does_not_fit_is_refused_with_its_place(flows: Flows) -> None:
    ran = flows("run", "local", "echo.py", "--payload", '{"value": 3}')

    assert 2 == ran.code
    assert "/value" in ran.err
    assert "next: see what it takes: flows entrypoints check echo.py --json" in ran.err


def test_without_a_payload_the_next_command_has_one(flows: Flows) -> None:
    ran = flows("run", "local", "echo.py")

    assert 2 == ran.code
    assert "next: give it one: --payload JSON" in ran.err


def test_a_node_that_fails_is_told_with_its_line(flows: Flows) -> None:
    ran = flows("run", "local", "list.py:divides", "--payload", "0")

    assert (1, "") == (ran.code, ran.out)
    assert "divide: ZeroDivisionError: integer division or modulo by zero (list.py:14)" in ran.err
    assert "1 handler_error" in ran.err


def test_a_failure_in_json_has_the_summary(flows: Flows) -> None:
    ran = flows("run", "local", "list.py:divides", "--payload", "0", "--json")

    error = json.loads(ran.err)["error"]
    assert (1, "") == (ran.code, ran.out)
    assert ("FLOW_NODE_FAILED", "list.py:14") == (error["code"], error["data"]["at"])
    assert [{"alias": "divide", "error_kind": "handler_error", "count": 1}] == (
        error["data"]["summary"]["errors"]
    )


def test_a_burst_answers_with_a_list_and_numbers_its_payloads(flows: Flows) -> None:
    ran = flows("run", "local", "list.py:counts", "--payload", '{"a": 7}', "--burst", "20")

    assert [{"a": 7, "lf_burst_index": index} for index in range(20)] == ran.json
    assert ["whole", "20"] == ran.err.splitlines()[3].split()[:2]


def test_a_burst_in_which_one_fails_fails(flows: Flows) -> None:
    ran = flows("run", "local", "list.py:divides", "--payload", "0", "--burst", "3")

    assert (1, "") == (ran.code, ran.out)
    assert "ZeroDivisionError" in ran.err


def test_a_burst_goes_with_neither_streams_nor_waits(flows: Flows) -> None:
    for options in (("--stream",), ()):
        ran = flows(
            "run", "local", "list.py:streams", "--payload", "1", "--burst", "2", *options
        )  # fmt: skip
        assert 2 == ran.code
    assert 2 == flows("run", "local", "waits.py:asks", "--payload", "{}", "--burst", "2").code


def test_metadata_becomes_labels(flows: Flows) -> None:
    ran = flows(
        "run", "local", "list.py:tells", "--payload", "1", "--metadata", "who=ann",
        "--metadata", "why=a=b",
    )  # fmt: skip

    assert ("ann", "a=b") == (ran.json["who"], ran.json["why"])
    assert "lf.run_id" in ran.json


def test_a_deadline_ends_the_run(flows: Flows) -> None:
    ran = flows("run", "local", "list.py:sleeps", "--payload", "1", "--deadline", "0.05")

    assert (1, "") == (ran.code, ran.out)
    assert ran.err.startswith("cancelled\n")
    assert "[FLOW_DEADLINE_EXCEEDED]\n  next: give it longer: --deadline SECONDS" in ran.err


@pytest.mark.parametrize("burst", ["1", "3"])
def test_the_deadline_of_an_entrypoint_holds(flows: Flows, burst: str) -> None:
    ran = flows("run", "local", "list.py:hurries", "--payload", "1", "--burst", burst)

    assert (1, "") == (ran.code, ran.out)
    assert "after 0.05 s [FLOW_DEADLINE_EXCEEDED]" in ran.err


def test_a_deadline_that_is_typed_is_over_that_of_the_entrypoint(flows: Flows) -> None:
    longer = flows("run", "local", "list.py:hurries", "--payload", "1", "--deadline", "0.06")

    assert "after 0.06 s [FLOW_DEADLINE_EXCEEDED]" in longer.err


def test_what_users_code_prints_does_not_mix_with_the_answer(flows: Flows, folder: Path) -> None:
    (folder / "loud.py").write_text(LOUD)

    ran = flows("run", "local", "loud.py", "--payload", "1")
    streamed = flows("run", "local", "loud.py:streams", "--payload", "1", "--stream")
    document = flows("graph", "show", "loud.py", "--format", "json")

    assert (0, "2\n", "loaded\ncalled\n") == (ran.code, ran.out, ran.err[:14])
    assert "1\n2\n" == streamed.out
    assert "loud" == document.json["name"]


def test_several_entrypoints_have_to_be_chosen_between(flows: Flows) -> None:
    asked = flows("run", "local", "list.py:two", "--payload", "3")
    chosen = flows(
        "run", "local", "list.py:two", "--payload", "3", "--trigger", "take",
        "--capture", "divide",
    )  # fmt: skip

    assert 2 == asked.code
    assert "--trigger take --capture divide" in asked.err.replace("\n", " ")
    assert (0, "4\n") == (chosen.code, chosen.out)


@pytest.mark.parametrize(
    "options",
    [
        ("--payload", "1", "--payload-file", "payload.json"),
        ("--burst", "0"),
        ("--burst", "99999"),
        ("--deadline", "0"),
        ("--metadata", "x"),
        ("--trigger", "take"),
        ("--bind", "kv=redis"),
        ("--bind", "kv"),
        ("--bind", "kv=memory", "--bind", "kv=memory"),
        ("--checkpoint-store", "memory", "--checkpoint-dir", "x"),
        ("--checkpoint-store", "redis"),
        ("--checkpoint-store", "fs", "--bind", "checkpoint_store=memory"),
        ("--payload-file", "missing.json"),
        ("--bindings-lock", "missing.json"),
    ],
)
def test_wrong_options_are_refused(flows: Flows, folder: Path, options: tuple[str, ...]) -> None:
    (folder / "payload.json").write_text("3")

    assert 2 == flows("run", "local", "list.py:divides", *options).code


def test_errors_of_options_are_json_where_json_was_asked_for(flows: Flows) -> None:
    ran = flows("run", "local", "list.py:divides", "--burst", "0", "--json")

    assert (2, "USAGE") == (ran.code, json.loads(ran.err)["error"]["code"])


def test_modules_that_cannot_be_loaded_are_told_in_a_line(flows: Flows, folder: Path) -> None:
    (folder / "syntax.py").write_text("def x(:\n")
    (folder / "lacks.py").write_text("import nonsense_module\n")
    (folder / "none.py").write_text("x = 1\n")
    told = {
        "nope:flow": (3, "there is no module 'nope'"),
        "nope.py": (3, "there is no such file"),
        "echo.py:flux": (3, "it has: flow"),
        "none.py": (3, "no flow"),
        "list.py": (2, "it has: divides, tells"),
        "syntax.py": (1, "syntax.py:1: invalid syntax"),
        "lacks.py": (1, "lacks.py:1: ModuleNotFoundError"),
        "echo.json": (2, "only flows in Python can be run"),
    }

    for spec, (code, said) in told.items():
        ran = flows("run", "local", spec, "--payload", "1")
        assert (code, "") == (ran.code, ran.out), spec
        assert said in ran.err, spec
        assert "Traceback" not in ran.err


def test_a_module_of_the_current_folder_is_found(flows: Flows) -> None:
    assert 0 == flows("run", "local", "echo:flow", "--payload", '{"value": "x"}').code


def test_a_place_that_cannot_keep_checkpoints_is_told_before_anything_runs(
    flows: Flows, folder: Path
) -> None:
    (folder / "file").write_text("")

    for path in ("file", "file/deeper"):
        for store in ("filesystem", "sqlite"):
            ran = flows(
                "run", "local", "waits.py:asks", "--payload", '{"amount": 1}',
                "--checkpoint-store", store, "--checkpoint-dir", path,
            )  # fmt: skip
            if (path, store) == ("file", "sqlite"):
                continue  # an empty file is a database to be
            assert (1, "") == (ran.code, ran.out)
            assert "[FLOW_STORE_REFUSED]" in ran.err


def test_what_was_measured_is_written_for_prometheus(flows: Flows, folder: Path) -> None:
    ran = flows("run", "local", "list.py:divides", "--payload", "3", "--metrics", "m.prom")
    failed = flows("run", "local", "list.py:divides", "--payload", "0", "--metrics", "f.prom")

    lines = (folder / "m.prom").read_text().splitlines()
    assert (0, 1) == (ran.code, failed.code)
    for told in (
        'latticeflow_cli_run_duration_ms_count{example="list.py:divides",flow="divides"} 1.0',
        'latticeflow_cli_nodes_succeeded_total{flow="divides",node="divide"} 1.0',
        'latticeflow_cli_captures_emitted_total{capture="divide",flow="divides",node="divide"} 1.0',
    ):
        assert told in lines
    assert (
        'latticeflow_cli_nodes_failed_total{error_kind="handler_error",flow="divides",'
        'node="divide"} 1.0'
    ) in (folder / "f.prom").read_text().splitlines()


def test_measures_of_the_command_line_have_the_documented_names() -> None:
    recorder = SnapshotRecorder()
    tally = Tally(recorder)
    flow = FlowIR(id=flow_id("f", "1.0.0"), name="f", version="1.0.0", profile=Profile.DEV)
    node = {"flow": "f", "node": "a", "profile": "dev"}
    tally.observe("executor.node_latency_ms", node, 2.0)
    tally.count("executor.node_errors_total", node | {"error_kind": "handler_error"})
    tally.level("executor.active_nodes", node, 1)

    tally.tell(flow, "f.py", 5.0, 3, "a")

    assert [5.0] == recorder.observed("cli.run_duration_ms", flow="f", example="f.py")
    assert (1, 1, 3) == (
        recorder.counted("cli.nodes_succeeded_total", node="a"),
        recorder.counted("cli.nodes_failed_total", node="a", error_kind="handler_error"),
        recorder.counted("cli.captures_emitted_total", node="a", capture="a"),
    )


# In processes of their own


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "conductor_flows.cli.main", *arguments], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONWARNINGS": ""},
    )  # fmt: skip


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_cancel_the_run(number: int, code: int) -> None:
    with started("run", "local", "list.py:streams", "--stream", "--payload", "1") as running:
        assert running.stdout is not None
        assert "1\n" == running.stdout.readline()
        running.send_signal(number)
        out, err = running.communicate(timeout=20)

    assert code == running.returncode
    assert all(line.isdecimal() for line in out.split())
    assert "closed\nflows: interrupted; the run was cancelled" == err.strip()


@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-"])
def test_closed_streams_are_no_surprise(closing: str) -> None:
    command = f"{sys.executable} -m conductor_flows.cli.main"
    words = "graph check" if closing == "<&-" else "run local list.py:divides --payload 3"

    ran = subprocess.run(
        f"{command} {words} {closing}", shell=True, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert (2 if closing == "<&-" else 0) == ran.returncode
    assert "UNEXPECTED" not in ran.stderr


def test_a_reader_that_goes_away_ends_the_run_quietly() -> None:
    with started("run", "local", "list.py:streams", "--stream", "--payload", "1") as running:
        assert running.stdout is not None
        assert "1\n" == running.stdout.readline()
        running.stdout.close()
        assert running.stderr is not None
        err = running.stderr.read()
        code = running.wait(timeout=20)

    assert (0, "closed\n") == (code, err)  # as its node prints
