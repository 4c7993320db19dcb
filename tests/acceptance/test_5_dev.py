"""Issue 2, "What a user gets", 5: the embedded conductor and its bad days."""

from __future__ import annotations

import json
from pathlib import Path

from real_world import QUEUED, QUICK, RECOVERY, World, until

JOB = {"wu_id": "acme-job-1"}


def test_several_workspaces_get_only_what_is_theirs(world: World) -> None:
    conductor = world.conductor()
    sidecars = []
    for name in ("ws1", "ws2"):
        conductor.enroll(world.directory / name)
        sidecars.append(world.sidecar(world.directory / name, *QUICK))
        sidecars[-1].wait_for_link()
    conductor.send("ws1", RECOVERY, JOB, "--count", "3")
    conductor.send("ws2", RECOVERY, JOB)
    sidecars[0].until(RECOVERY, delivered=3)
    sidecars[1].until(RECOVERY, delivered=1)
    table = conductor.dev("workspaces", "--json").json["workspaces"]

    assert {of["workspace"]: (of["connected"], of["last"]) for of in table} == {
        "ws1": (True, 3),
        "ws2": (True, 1),
    }


def test_what_is_sent_while_nobody_runs_arrives_later_in_order(world: World) -> None:
    conductor = world.conductor("--port", "0")
    workspace = world.directory / "ws1"
    conductor.enroll(workspace)
    conductor.running.end()
    sent = [conductor.send("ws1", "acme-demo:note", {"n": n}) for n in range(3)]
    assert len(set(sent)) == 3
    again = world.conductor()
    sidecar = world.sidecar(workspace, *QUICK)
    sidecar.until("acme-demo:note", accepted=3)

    assert again.url == conductor.url  # the port of the last run
    assert sidecar.status()["cursor"]["sequence"] == 3


def test_a_bad_day_delivers_everything_once_in_effect(world: World) -> None:
    conductor = world.conductor()
    workspace = world.directory / "ws1"
    conductor.enroll(workspace)
    conductor.dev(
        "fault", "set", "drop=0.2", "duplicate=0.2", "reorder=0.2", "delay=0.01@0.2"
    )  # fmt: skip
    sidecar = world.sidecar(workspace, *QUICK)
    for _ in range(5):
        conductor.send("ws1", RECOVERY, JOB, "--count", "20")
        sidecar.push(*({"kind": QUEUED, "payload": {}} for _ in range(20)))
    conductor.dev("restart")
    conductor.dev("fault", "clear")
    sidecar.until(RECOVERY, accepted=100, delivered=100, buffered=0)
    sidecar.until(QUEUED, "outbound", accepted=100, delivered=100, buffered=0)
    ids = [of["event_id"] for of in conductor.events("ws1")]

    assert len(ids) == len(set(ids)) == 100
    assert sidecar.status()["balanced"] is True
    assert sidecar.stop() == 0


def test_a_black_hole_and_a_refusal_are_seen_and_survived(world: World) -> None:
    conductor = world.conductor()
    workspace = world.directory / "ws1"
    conductor.enroll(workspace)
    conductor.dev("fault", "set", "refuse=503@1")
    sidecar = world.sidecar(workspace, *QUICK)
    link = sidecar.wait_for_link("waiting")

    assert "503" in link["reason"]
    shown = conductor.dev("fault", "show", "--json").json
    assert shown["faults"] == ["refuse=503@1"]
    conductor.dev("fault", "clear")
    sidecar.wait_for_link()


def test_a_gap_in_the_history_is_never_silent(world: World) -> None:
    conductor = world.conductor()
    workspace = world.directory / "ws1"
    conductor.enroll(workspace)
    sidecar = world.sidecar(workspace, *QUICK)
    conductor.send("ws1", RECOVERY, JOB)
    sidecar.until(RECOVERY, delivered=1)
    conductor.dev("restart", "--forget")
    sidecar.until("conductor:gap_detected", accepted=1)
    entries = world.command("log", "tail", "--json", "-w", str(workspace)).out.splitlines()

    assert "GAP_DETECTED" in [json.loads(line)["event_type"] for line in entries]
    conductor.send("ws1", RECOVERY, {"wu_id": "acme-job-2"})
    sidecar.until(RECOVERY, delivered=2)


def test_a_revoked_workspace_is_cut_off_while_others_go_on(world: World) -> None:
    conductor = world.conductor()
    for name in ("ws1", "ws2"):
        conductor.enroll(world.directory / name)
    one = world.sidecar(world.directory / "ws1", *QUICK)
    two = world.sidecar(world.directory / "ws2", *QUICK)
    for sidecar in (one, two):
        sidecar.wait_for_link()
    [credential] = conductor.credentials("ws1")
    conductor.dev("token", "revoke", credential)
    until(lambda: "CREDENTIAL_REFUSED" in one.status()["link"]["reason"], "ws1 is refused")

    assert two.status()["link"]["state"] == "open"
    assert two.status()["link"]["connections"] == 1


def test_the_history_of_a_killed_conductor_is_whole(world: World) -> None:
    import signal

    conductor = world.conductor()
    workspace = world.directory / "ws1"
    conductor.enroll(workspace)
    sidecar = world.sidecar(workspace, *QUICK)
    sidecar.wait_for_link()
    receipts = sidecar.push(*({"kind": QUEUED, "payload": {}} for _ in range(10)))
    sidecar.until(QUEUED, "outbound", delivered=10)
    conductor.running.end(signal.SIGKILL)
    again = world.conductor()

    assert [of["event_id"] for of in again.events("ws1")] == [of["event_id"] for of in receipts]
    sidecar.wait_for_link()
    assert Path(conductor.home / "history.db").stat().st_mode & 0o777 == 0o600
