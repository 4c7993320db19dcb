"""`flows resume` over runs that failed, or whose process was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Flows = Callable[..., Any]
SHOP = """
import os
from pathlib import Path

from conductor_flows import Flow, NodeContext, node, trigger
from conductor_flows.ir.model import DurabilityPolicy, Policies

AT = Path(__file__).parent


def note(name: str, context: NodeContext) -> None:
    with (AT / "effects").open("a") as file:
        file.write(f"{name} {context.run.run_id} {context.idempotency_key}\\n")


@trigger(summary="Take")
async def take(x: int) -> int:
    return x


@node(effects="effectful", idempotency="context", summary="Charge")
async def charge(x: int, context: NodeContext) -> int:
    note("charge", context)
    return x * 2


@node(effects="effectful", idempotency="context", summary="Ship")
async def ship(x: int, context: NodeContext) -> int:
    note("ship", context)
    if (AT / "killed").exists():
        os.kill(os.getpid(), 9)
    if (AT / "broken").exists():
        raise LookupError("no carrier")
    return x + 1


flow = Flow("shop", "1.0.0", durability="strong",
            policies=Policies(durability=DurabilityPolicy(lease_ttl=100)))
taken, charged = flow.add(take), flow.add(charge)
flow.connect(taken, charged)
flow.connect(charged, flow.add(ship))
"""
ASKS = """
from pathlib import Path

from conductor_flows import Decision, Flow, approval, node, trigger


@trigger(summary="Take")
async def take(x: int) -> int:
    return x


@node(summary="Tell")
async def tell(decision: Decision) -> bool:
    if Path("broken").exists():
        raise LookupError("no line")
    return decision.approved


flow = Flow("asks", "1.0.0")
asked = flow.add(approval("ask", int))
flow.connect(flow.add(take), asked)
flow.connect(asked, flow.add(tell))
"""
KEPT = ("--checkpoint-dir", "kept.db")
TRIES = 200


@pytest.fixture(autouse=True)
def _shop(folder: Path) -> None:
    (folder / "shop.py").write_text(SHOP)
    (folder / "asks.py").write_text(ASKS)


def effects(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "effects").read_text().splitlines()]


def failed(flows: Flows, folder: Path) -> str:
    (folder / "broken").touch()
    ran = flows(
        "run", "local", "shop.py", "--payload", "4", "--checkpoint-store", "sqlite", *KEPT
    )  # fmt: skip
    assert 1 == ran.code
    (listed,) = flows("resume", "list", "--json", *KEPT).json["checkpoints"]
    return str(listed["checkpoint_id"])


def in_a_process(*words: str) -> int:
    code = "import sys; from conductor_flows.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


def test_a_list_says_which_runs_failed_and_when_and_why(flows: Flows, folder: Path) -> None:
    checkpoint = failed(flows, folder)

    listed = flows("resume", "list", *KEPT)
    (told,) = flows("resume", "list", "--status", "failed", "--json", *KEPT).json["checkpoints"]

    assert f"{checkpoint}  failed  -        see below" in listed.out
    assert "failed at ship just now: LookupError: no carrier [FLOW_NODE_FAILED]" in listed.out
    assert listed.out.endswith("flows resume run ID SPEC\n")
    assert all(len(line) <= 80 for line in listed.out.splitlines())
    assert ("ship", "FLOW_NODE_FAILED", "LookupError: no carrier") == (
        told["failed"]["node"], told["failed"]["code"], told["failed"]["said"],
    )  # fmt: skip
    assert [] == flows("resume", "list", "--due", "--json", *KEPT).json["checkpoints"]
    assert [] == flows("resume", "list", "--status", "active", "--json", *KEPT).json["checkpoints"]


def test_one_that_failed_is_shown_with_when_and_why(flows: Flows, folder: Path) -> None:
    shown = flows("resume", "show", failed(flows, folder), *KEPT)

    assert "status:     failed, goes on: when it is tried again" in shown.out
    assert ", at ship\n" in shown.out
    assert "why:        LookupError: no carrier [FLOW_NODE_FAILED]" in shown.out
    assert "pending:    ship" in shown.out


def test_the_second_try_is_the_same_run_and_says_what_it_does(flows: Flows, folder: Path) -> None:
    checkpoint = failed(flows, folder)
    again = flows("resume", "run", checkpoint, "shop.py", *KEPT)
    (folder / "broken").unlink()
    ran = flows("resume", "run", checkpoint, "shop.py", *KEPT)

    command = f"flows resume run {checkpoint} shop.py --checkpoint-dir kept.db"
    assert 1 == again.code
    assert again.err.endswith(f"next: put it right, then try it again from there: {command}\n")
    assert (0, "9\n") == (ran.code, ran.out)
    run = effects(folder)[0][1]
    lines = ran.err.splitlines()
    assert f"{run} failed at ship just now:" == " ".join(lines[0].split()[:6])
    assert ["  not run again: take, charge", "  goes on at: ship"] == [
        line for line in lines if line.startswith("  ") and ": " in line and line[2] != " "
    ]
    assert ["charge", "ship", "ship", "ship"] == [name for name, _, _ in effects(folder)]
    assert 1 == len({tuple(each) for each in effects(folder)[1:]})
    assert "No checkpoints.\n" == flows("resume", "list", *KEPT).out


def test_json_is_all_that_is_said_where_json_was_asked_for(flows: Flows, folder: Path) -> None:
    checkpoint = failed(flows, folder)
    (folder / "broken").unlink()

    ran = flows("resume", "run", checkpoint, "shop.py", "--json", *KEPT)

    assert (9, "") == (ran.json["result"], ran.err)


def test_a_second_try_that_is_killed_is_tried_a_third_time(flows: Flows, folder: Path) -> None:
    checkpoint = failed(flows, folder)
    (folder / "broken").unlink()
    (folder / "killed").touch()
    killed = in_a_process("resume", "run", checkpoint, "shop.py", *KEPT)
    (folder / "killed").unlink()

    (listed,) = flows("resume", "list", "--json", *KEPT).json["checkpoints"]
    for _ in range(TRIES):  # until the lease of the process that died has run out
        ran = flows("resume", "run", checkpoint, "shop.py", *KEPT)
        if ran.code != 6:
            break

    assert -signal.SIGKILL == killed
    assert ("active", None, 1) == (listed["status"], listed["failed"], listed["attempts"])
    assert (0, "9\n") == (ran.code, ran.out)
    assert f"{effects(folder)[0][1]} was interrupted\n" in ran.err
    assert ["charge", "ship", "ship", "ship"] == [name for name, _, _ in effects(folder)]
    assert 1 == len({tuple(each) for each in effects(folder)[1:]})


def test_what_failed_is_left_alone_by_what_is_due(flows: Flows, folder: Path) -> None:
    failed(flows, folder)

    ran = flows("resume", "run", "--due", "shop.py", *KEPT)

    assert (0, "") == (ran.code, ran.out)
    assert "left alone, as they failed: 1;" in ran.err
    assert "flows resume list --status failed --checkpoint-dir kept.db" in ran.err
    assert 2 == len(effects(folder))


def test_an_approval_is_not_decided_twice(flows: Flows, folder: Path) -> None:
    halted = flows("run", "local", "asks.py", "--payload", "4").json["checkpoint_id"]
    (folder / "broken").touch()
    assert 1 == flows("resume", "run", halted, "asks.py", "--approve").code
    (folder / "broken").unlink()

    answered = flows("resume", "run", halted, "asks.py", "--payload", '{"approved": false}')
    ran = flows("resume", "run", halted, "asks.py")

    assert 2 == answered.code
    assert "[FLOW_NOTHING_WAITS]" in answered.err
    assert f"next: let it go on without an answer: flows resume run {halted}" in answered.err
    assert (0, "true\n") == (ran.code, ran.out)
