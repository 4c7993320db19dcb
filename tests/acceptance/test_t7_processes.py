"""Issue 4, "Proof": several processes at once, killed ones too: nothing lost, nothing made up."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from house import ROOT
from real_world import Sidecar, World, until
from tool_world import QUIET, journal, socket_door, tool_call

RACER = str(ROOT / "tests/support/tool_racer.py")


class Racer:
    """One process that creates tasks."""

    def __init__(self, world: World, how: str, workspace: Path, name: str, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, RACER, how, str(workspace), name, str(count)], env=world.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=workspace,
        )  # fmt: skip

    def told(self) -> list[str]:
        """Wait until it ends; returns what it was told is there."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode in {0, -signal.SIGKILL} or "SidecarUnreachable" in err, err
        return [line for line in out.splitlines(keepends=True) if line.endswith("\n")]


def stored(workspace: Path) -> tuple[list[str], list[str]]:
    """What the files say: the titles, and the ids that the audit trail says were created."""
    tasks = json.loads((workspace / ".sidekick/tasks/tasks.json").read_text())
    lines = (workspace / ".sidekick/audit/events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    ids = [one for of in events if of["op"] == "create" for one in of["ids"]]
    assert sorted(ids) == sorted(of["id"] for of in tasks)  # together, or not at all
    return [of["title"] for of in tasks], ids


def test_eight_processes_create_fifty_tasks_each_through_the_daemon(world: World) -> None:
    sidecar = world.loopback("one", *QUIET)
    racers = [Racer(world, "daemon", sidecar.workspace, f"p{n}", 50) for n in range(8)]
    told = [line.strip() for of in racers for line in of.told()]
    titles, ids = stored(sidecar.workspace)

    assert len(told) == len(set(told)) == 400
    assert sorted(titles) == sorted(told)
    assert len(set(ids)) == 400
    done = journal(world, sidecar.workspace, "TOOL_CALL_FINISHED")
    assert len(done) == 400
    assert {of["payload"]["result"] for of in done} == {"success"}
    sidecar.until("agent-runtime:tool_called", "outbound", accepted=400)


def test_processes_beside_the_daemon_share_its_files(world: World) -> None:
    sidecar = world.loopback("one", *QUIET)
    hows = ["storage"] * 4 + ["daemon"] * 2
    racers = [Racer(world, how, sidecar.workspace, f"p{n}", 25) for n, how in enumerate(hows)]
    told = [line.strip() for of in racers for line in of.told()]
    titles, _ = stored(sidecar.workspace)

    assert len(told) == 150
    assert sorted(titles) == sorted(told)
    assert socket_door(sidecar).call("task:list").json["data"]["count"] == 150


@pytest.mark.parametrize("daemon", [True, False])
def test_commands_at_the_same_time_all_succeed(world: World, daemon: bool) -> None:
    workspace = world.directory / "one"
    workspace.mkdir()
    if daemon:
        world.loopback("one", *QUIET)

    def create(number: int) -> int:
        return tool_call(world, workspace, "task:create", {"title": str(number)}).code

    with ThreadPoolExecutor(5) as pool:
        codes = list(pool.map(create, range(5)))
    assert codes == [0] * 5
    titles, _ = stored(workspace)
    assert sorted(titles) == [str(number) for number in range(5)]


def test_commands_and_a_daemon_that_starts_meanwhile_agree(world: World) -> None:
    workspace = world.directory / "one"
    workspace.mkdir()
    codes: list[int] = []

    def create() -> None:
        for number in range(4):
            done = tool_call(world, workspace, "task:create", {"title": str(number)})
            codes.append(done.code)

    thread = threading.Thread(target=create)
    thread.start()
    until((workspace / ".sidekick/tasks/tasks.json").exists, "a first task")
    sidecar = world.start("sidecar", "-w", str(workspace), "--adapter", "memory", *QUIET)
    thread.join(60)
    codes_of_daemon = sidecar.end(signal.SIGTERM)
    titles, _ = stored(workspace)

    # The daemon either waited for the command or said that somebody else owns the workspace.
    assert codes_of_daemon in {0, 6}
    assert codes == [0] * 4
    assert sorted(titles) == ["0", "1", "2", "3"]


def kills(world: World, rounds: int, seed: int) -> None:
    """Kill daemon and writers again and again in the middle of writes."""
    chance = random.Random(seed)
    workspace = world.directory / "one"
    workspace.mkdir()
    told: list[str] = []
    asked: set[str] = set()
    pause = threading.Event()
    for turn in range(rounds):
        sidecar: Sidecar = world.loopback("one", *QUIET)
        racers = [
            Racer(world, how, workspace, f"t{turn}-{how}-{n}", 400)
            for n, how in enumerate(["daemon", "storage"])
        ]
        asked |= {f"t{turn}-{how}-{n}-{i}" for n, how in enumerate(["daemon", "storage"])
                  for i in range(400)}  # fmt: skip
        target = len(titles_now(workspace)) + chance.randint(3, 12)
        until(lambda: len(titles_now(workspace)) >= target, "some writes")  # noqa: B023  in its turn
        pause.wait(chance.random() * 0.02)
        victims = [sidecar.kill, *(of.process.kill for of in racers)]
        chance.shuffle(victims)
        for kill in victims:
            kill()
        told += [line.strip() for of in racers for line in of.told()]
    sidecar = world.loopback("one", *QUIET)
    # One more change clears up what a killed writer left.
    assert socket_door(sidecar).call("task:create", {"title": "last"}).code == "ok"
    titles, _ = stored(workspace)
    assert set(told) <= set(titles)  # nothing lost that was reported
    assert set(titles) <= asked | {"last"}  # nothing there that nobody asked for
    assert len(titles) == len(set(titles))  # nothing twice
    left = {of.name for of in (workspace / ".sidekick").rglob("*") if of.is_file()}
    assert left <= {".lock", "tasks.json", "events.jsonl"}, left
    entries = journal(world, workspace)
    begun = [of["payload"]["call_id"] for of in entries if of["event_type"] == "TOOL_CALL_STARTED"]
    ended = [
        of["payload"]["call_id"] for of in entries
        if of["event_type"] in {"TOOL_CALL_FINISHED", "TOOL_CALL_INTERRUPTED"}
    ]  # fmt: skip
    assert sorted(begun) == sorted(ended)
    assert world.command("log", "verify", "-w", str(workspace)).code == 0


def titles_now(workspace: Path) -> list[str]:
    path = workspace / ".sidekick/tasks/tasks.json"
    return [of["title"] for of in json.loads(path.read_text())] if path.exists() else []


def test_what_is_killed_while_it_writes_loses_nothing_that_was_reported(world: World) -> None:
    kills(world, rounds=3, seed=4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_what_is_killed_again_and_again_loses_nothing(world: World, seed: int) -> None:
    kills(world, rounds=20, seed=seed)


@pytest.mark.parametrize("storage", ["filesystem", "sqlite"])
def test_a_repeated_create_after_a_kill_is_one_task(world: World, storage: str) -> None:
    workspace = world.directory / "one"
    workspace.mkdir()
    (workspace / "conductor.toml").write_text(f'[pack.sidekick]\nstorage = "{storage}"\n')
    sidecar = world.loopback("one", *QUIET)
    racer = Racer(world, "daemon", workspace, "p", 400)
    assert racer.process.stdout is not None
    racer.process.stdout.readline()
    sidecar.kill()
    racer.told()
    door = socket_door(world.loopback("one", *QUIET))
    before = door.call("task:list").json["data"]["items"]
    for of in before:
        again = door.call("task:create", {"title": of["title"]}, key=of["title"])
        assert again.code in {"ok", "CALL_INTERRUPTED"}
        if again.code == "ok":
            assert again.json["data"]["task"]["id"] == of["id"]
    assert door.call("task:list").json["data"]["count"] == len(before)
