"""Issue 4: one effect for a key, whatever restarts, dies or asks at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from real_world import Sidecar, World, until
from tool_world import (
    ALLOW,
    Answer,
    Door,
    calls,
    effects,
    gear_world,
    journal,
    socket_door,
    tool_call,
    wait_for_effects,
)


@pytest.fixture(scope="module")
def one(shared: World) -> Sidecar:
    return gear_world(shared, "one", *ALLOW)


def again(world: World, sidecar: Sidecar) -> Sidecar:
    """Start the sidecar of a workspace once more."""
    return world.sidecar(sidecar.workspace, "--adapter", "memory", "--log-level", "error")


def test_the_same_key_has_one_effect_and_one_answer(shared: World, one: Sidecar) -> None:
    door = socket_door(one)
    before = effects(one.workspace)
    first = door.call("gear:effect", {"n": 1}, key="k-1")
    second = door.call("gear:effect", {"n": 1}, key="k-1")
    typed = tool_call(shared, one.workspace, "gear:effect", {"n": 1}, "--key", "k-1")

    assert first.json["data"] == second.json["data"] == typed.json["data"]
    assert second.json["metadata"]["replayed"] is True
    assert second.json["metadata"]["call_id"] != first.json["metadata"]["call_id"]
    assert effects(one.workspace) == before + 1
    conflict = door.call("gear:effect", {"n": 2}, key="k-1")
    assert (conflict.status, conflict.code) == (409, "IDEMPOTENCY_CONFLICT")
    # Another tool and another caller may use the same word.
    assert door.call("thief:look", {"n": 1}, key="k-1").code == "ok"
    assert Door(one).call("gear:effect", {"n": 1}, key="k-1").code == "ok"
    assert effects(one.workspace) == before + 3


def test_of_many_calls_at_once_with_one_key_one_runs(one: Sidecar) -> None:
    before = effects(one.workspace)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: socket_door(one).call("gear:effect", {"n": 2}, key="k-2"), range(24))
        )

    assert {of.code for of in answers} <= {"ok", "CALL_IN_PROGRESS"}
    assert {of.status for of in answers if of.code == "CALL_IN_PROGRESS"} <= {409}
    assert len([of for of in answers if "replayed" not in of.json.get("metadata", {})
                and of.code == "ok"]) == 1  # fmt: skip
    assert effects(one.workspace) == before + 1


def test_a_refused_call_leaves_its_key_free(one: Sidecar) -> None:
    door = socket_door(one)

    assert door.call("task:create", {"title": ""}, key="k-3").code == "INVALID_INPUT"
    assert door.call("gear:leave", {}, key="k-3").code == "APPROVAL_REQUIRED"
    assert door.call("task:create", {"title": "x"}, key="k-3").code == "ok"


@pytest.mark.parametrize("key", ["", "x" * 256, "with space", "ü", "a\tb"])
def test_a_key_is_visible_ascii(one: Sidecar, key: str) -> None:
    before = effects(one.workspace)
    headers = {"Idempotency-Key": key.encode("latin-1").decode("latin-1")}
    for door in (socket_door(one), Door(one)):
        answer = door.ask("POST", "/tools/gear:effect", {"input": {}}, headers)
        assert answer.status == 400, answer.body
    assert effects(one.workspace) == before


def test_a_key_outlives_the_daemon(world: World) -> None:
    sidecar = gear_world(world, "one")
    first = socket_door(sidecar).call("gear:effect", {}, key="k")
    assert sidecar.stop() == 0
    alone = tool_call(world, sidecar.workspace, "gear:effect", {}, "--key", "k")
    sidecar = again(world, sidecar)
    sidecar.kill()
    second = socket_door(again(world, sidecar)).call("gear:effect", {}, key="k")

    assert first.json["data"] == alone.json["data"] == second.json["data"]
    assert effects(sidecar.workspace) == 1


def test_a_call_that_a_power_cut_ends_is_told_as_such_and_not_run_again(world: World) -> None:
    conductor = world.conductor()
    workspace: Path = world.directory / "ws-1"
    conductor.enroll(workspace)
    world.with_packs({"gear": "gear_pack:gear"})
    sidecar = world.sidecar(workspace, "--log-level", "error")
    lost: list[BaseException] = []

    def call() -> None:
        try:
            socket_door(sidecar).call("gear:hold", {}, key="k")
        except Exception as error:  # noqa: BLE001  whatever a dead daemon looks like
            lost.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    wait_for_effects(workspace, 1)
    running = socket_door(sidecar).call("gear:hold", {}, key="k")
    assert (running.status, running.code) == (409, "CALL_IN_PROGRESS")
    sidecar.kill()
    thread.join(20)
    assert lost
    (workspace / "go").touch()
    sidecar = world.sidecar(workspace, "--log-level", "error")
    answer = socket_door(sidecar).call("gear:hold", {}, key="k")

    assert (answer.status, answer.code) == (200, "CALL_INTERRUPTED")
    assert effects(workspace) == 1
    [entry] = journal(world, workspace, "TOOL_CALL_INTERRUPTED")
    assert entry["payload"]["tool"] == "gear:hold"
    call_id = entry["payload"]["call_id"]
    started = {of["payload"]["call_id"] for of in journal(world, workspace, "TOOL_CALL_STARTED")}
    ended = [
        of["payload"]["call_id"]
        for of in journal(world, workspace, "TOOL_CALL_FINISHED", "TOOL_CALL_INTERRUPTED")
    ]
    assert sorted(started) == sorted(ended)  # each call ends once
    told = until(
        lambda: [of for of in conductor.events("ws-1") if of["payload"].get("call_id") == call_id],
        "the event of the interrupted call",
    )
    assert [of["payload"]["outcome"] for of in told] == ["interrupted"]
    assert socket_door(sidecar).call("gear:hold", {}, key="k-2").code == "ok"


def test_a_call_in_progress_is_given_time_when_the_daemon_stops(world: World) -> None:
    sidecar = gear_world(world, "one")
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.append(socket_door(sidecar).call("gear:hold", {}))
    )
    thread.start()
    wait_for_effects(sidecar.workspace, 1)
    stopping = threading.Thread(target=sidecar.stop)
    stopping.start()
    (sidecar.workspace / "go").touch()
    stopping.join(20)
    thread.join(20)

    assert [of.code for of in answers] == ["ok"]
    assert calls(world, sidecar.workspace) == [("gear:hold", "success", None)]


def test_a_command_whose_daemon_dies_says_that_nobody_knows(world: World) -> None:
    sidecar = gear_world(world, "one")
    words = ("tools", "call", "gear:hold", "--json", "-w", str(sidecar.workspace))
    running = world.start(*words)
    wait_for_effects(sidecar.workspace, 1)
    sidecar.kill()

    assert running.wait() not in {0, None}
    running.wait_for("CALL_LOST")
    assert effects(sidecar.workspace) == 1
