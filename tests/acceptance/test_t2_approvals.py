"""Issue 4: leave for exactly one action, whoever gives it, used once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from real_world import Sidecar, World, until
from tool_world import ALLOW, Door, effects, gear_world, journal, socket_door, tool_call

RESOLVED = "conductor:approval_resolved"
LEAVE = "gear:leave"


@pytest.fixture(scope="module")
def one(shared: World) -> Sidecar:
    return gear_world(shared, "one", *ALLOW)


@pytest.fixture
def door(one: Sidecar) -> Door:
    return socket_door(one)


def asked(door: Door, given: object) -> str:
    """Call, be refused, and return the id of the request."""
    answer = door.call(LEAVE, given)
    assert (answer.status, answer.code) == (403, "APPROVAL_REQUIRED")
    return str(answer.json["error"]["details"]["request_id"])


def decided(world: World, workspace: Path, *words: str) -> None:
    done = world.command("approvals", *words, "-w", str(workspace))
    assert (done.code, done.err) == (0, "")


def test_leave_that_is_granted_by_command_is_used_once(
    shared: World, one: Sidecar, door: Door
) -> None:
    before = effects(one.workspace)
    request_id = asked(door, {"n": 1})
    assert asked(door, {"n": 1}) == request_id  # asking again asks nothing new
    shown = shared.command("approvals", "list", "-w", str(one.workspace))
    assert request_id in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    decided(shared, one.workspace, "grant", request_id)

    assert door.call(LEAVE, {"n": 1}).code == "ok"
    assert effects(one.workspace) == before + 1
    assert asked(door, {"n": 1}) != request_id
    assert effects(one.workspace) == before + 1
    again = shared.command("approvals", "grant", request_id, "--json", "-w", str(one.workspace))
    assert (again.code, again.error["code"]) == (1, "APPROVAL_DECIDED")
    steps = [
        of["event_type"]
        for of in journal(shared, one.workspace)
        if of["payload"].get("request_id") == request_id
    ]
    assert steps == ["APPROVAL_REQUESTED", "APPROVAL_GRANTED", "APPROVAL_USED"]


def test_leave_is_for_one_input_one_tool_and_one_caller(
    shared: World, one: Sidecar, door: Door
) -> None:
    before = effects(one.workspace)
    request_id = asked(door, {"n": 2})
    decided(shared, one.workspace, "grant", request_id)
    others = [
        door.call(LEAVE, {"n": 3}), door.call(LEAVE, {"n": "2"}),
        door.call(LEAVE, {"n": 2, "m": 0}), door.call("careful:look", {"n": 2}),
        Door(one).call(LEAVE, {"n": 2}),
    ]  # fmt: skip

    assert {of.code for of in others} == {"APPROVAL_REQUIRED"}
    assert effects(one.workspace) == before
    assert door.ask("POST", f"/tools/{LEAVE}", b'{"input":{ "n" :2}}').code == "ok"
    assert effects(one.workspace) == before + 1


def test_a_refusal_by_command_is_told_with_its_reason(
    shared: World, one: Sidecar, door: Door
) -> None:
    before = effects(one.workspace)
    request_id = asked(door, {"n": 4})
    decided(shared, one.workspace, "deny", request_id, "--reason", "not on a Friday")
    answer = door.call(LEAVE, {"n": 4})

    assert (answer.status, answer.code) == (403, "APPROVAL_DENIED")
    assert "not on a Friday" in answer.json["error"]["message"]
    assert effects(one.workspace) == before


@pytest.mark.parametrize(("approved", "code"), [(True, "ok"), (False, "APPROVAL_DENIED")])
def test_the_conductor_decides_by_an_event(
    shared: World, one: Sidecar, door: Door, approved: bool, code: str
) -> None:
    given = {"n": 5, "approved": approved}
    request_id = asked(door, given)
    before = one.counts(RESOLVED)["delivered"]
    for _ in range(2):  # what comes twice is decided once
        one.send(RESOLVED, {"request_id": request_id, "approved": approved, "by": "ann"})
    one.send(RESOLVED, {"request_id": request_id, "approved": not approved, "by": "eve"})
    one.until(RESOLVED, delivered=before + 3, buffered=0)

    assert door.call(LEAVE, given).code == code
    [shown] = [
        of["payload"]
        for of in journal(shared, one.workspace, "APPROVAL_GRANTED", "APPROVAL_DENIED")
        if of["payload"]["request_id"] == request_id
    ]
    assert shown["by"] == "ann"


def test_one_grant_lets_one_of_many_callers_through(shared: World, one: Sidecar) -> None:
    before = effects(one.workspace)
    request_id = asked(socket_door(one), {"n": 6})
    decided(shared, one.workspace, "grant", request_id)
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: socket_door(one).call(LEAVE, {"n": 6}).code, range(16)))

    assert sorted(codes) == ["APPROVAL_REQUIRED"] * 15 + ["ok"]
    assert effects(one.workspace) == before + 1


def test_nobody_decides_over_tcp(one: Sidecar, door: Door) -> None:
    request_id = asked(door, {"n": 7})
    outside = Door(one)
    for path in (f"/v1/approvals/{request_id}", f"/v1/approvals/{request_id}/grant",
                 "/v1/approvals", "/v1/status", "/v1/push", "/v1/loopback/send"):  # fmt: skip
        for method in ("GET", "POST"):
            body: object = {} if method == "POST" else None
            assert outside.ask(method, path, body).status in {404, 405}, path


def test_leave_expires(world: World) -> None:
    sidecar = gear_world(world, "short", "--set", "approvals.ttl_s=0.5")
    door = socket_door(sidecar)
    request_id = asked(door, {})
    world.command("approvals", "grant", request_id, "-w", str(sidecar.workspace))

    def state() -> str:
        done = world.command(
            "approvals", "show", request_id, "--json", "-w", str(sidecar.workspace)
        )
        found = done.json
        return str(found.get("approval", found)["state"])

    until(lambda: state() == "expired", "it expires")
    assert asked(door, {}) != request_id
    assert effects(sidecar.workspace) == 0
    late = world.command("approvals", "grant", request_id, "--json", "-w", str(sidecar.workspace))
    assert (late.code, late.error["code"]) == (1, "APPROVAL_DECIDED")


def test_leave_outlives_the_daemon_and_is_given_and_used_without_one(world: World) -> None:
    sidecar = gear_world(world, "one")
    workspace = sidecar.workspace
    asked_ids = [asked(socket_door(sidecar), {"n": n}) for n in range(4)]
    decided(world, workspace, "grant", asked_ids[0])
    sidecar.kill()
    decided(world, workspace, "grant", asked_ids[1])
    decided(world, workspace, "deny", asked_ids[2], "--reason", "no")
    used = tool_call(world, workspace, LEAVE, {"n": 1})
    assert used.code == 0, used.err
    missing = tool_call(world, workspace, LEAVE, {"n": 3})
    assert (missing.code, missing.json["error"]["details"]["request_id"]) == (1, asked_ids[3])
    again = world.sidecar(workspace, "--adapter", "memory", "--log-level", "error")
    door = socket_door(again)

    assert [door.call(LEAVE, {"n": n}).code for n in range(4)] == [
        "ok", "APPROVAL_REQUIRED", "APPROVAL_DENIED", "APPROVAL_REQUIRED"
    ]  # fmt: skip
    assert effects(workspace) == 2


def test_the_full_tool_set_asks_before_it_ends_things_and_core_does_not(world: World) -> None:
    (world.directory / "full").mkdir()
    (world.directory / "full/conductor.toml").write_text('[pack.sidekick]\ntoolset = "full"\n')
    core = socket_door(world.loopback("core", "--log-level", "error"))
    full = socket_door(world.loopback("full", "--log-level", "error"))

    def kept(door: Door) -> str:
        answer = door.call("memory:store", {"type": "fact", "content": "x"})
        return str(answer.json["data"]["memory"]["id"])

    assert core.call("memory:forget", {"id": kept(core)}).code == "ok"
    memory = kept(full)
    codes = {
        tool: full.call(tool, given).code
        for tool, given in {
            "memory:forget": {"id": memory}, "task:cancel": {"id": "task-00000000"},
            "channel:delete": {"name": "ops"}, "routine:delete": {"id": "routine-00000000"},
        }.items()
    }  # fmt: skip
    assert set(codes.values()) == {"APPROVAL_REQUIRED"}, codes
    where = full.workspace.root
    listed = world.command("approvals", "list", "--json", "-w", str(where)).json["approvals"]
    [request] = [of for of in listed if of["tool"] == "memory:forget"]
    assert request["approvals"] == ["sidekick:memory_forget"]
    decided(world, where, "grant", request["request_id"])
    # The readable shortcut is the same call.
    done = world.command("sidekick", "memory", "forget", memory, "--json", "-w", str(where))
    assert (done.code, json.loads(done.out)["data"]["deleted_id"]) == (0, memory)
