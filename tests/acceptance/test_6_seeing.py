"""Issue 2, "What a user gets", 6: seeing inside, with a daemon and without one."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from real_world import COMPLETED, QUEUED, RECOVERY, Sidecar, World, until

JOB = {"wu_id": "acme-job-1"}
ONCE = ("--set", "dispatch.max_attempts=1")


@pytest.fixture
def busy(world: World) -> Sidecar:
    """A sidecar that has handled, buried, pushed and dropped something."""
    world.with_packs({"rough": "rough_pack:pack"})
    sidecar = world.loopback("one", *ONCE)
    sidecar.send(RECOVERY, JOB, "r-1")
    sidecar.send("rough:act", {"do": "raise", "lane": "a"}, "b-1")
    sidecar.send("rough:act", {"do": "reject", "lane": "b"}, "b-2")
    sidecar.push({"kind": QUEUED, "payload": {}, "idempotency_key": "q-1"})
    sidecar.push({"kind": COMPLETED, "payload": {}})
    sidecar.until(RECOVERY, delivered=1)
    sidecar.until("rough:act", dead_lettered=2)
    sidecar.until(QUEUED, "outbound", delivered=1)
    sidecar.until(COMPLETED, "outbound", delivered=1)
    return sidecar


def answers(world: World, sidecar: Sidecar, ids: list[str]) -> dict[str, Any]:
    name = str(sidecar.workspace)
    status = world.command("status", "--json", "-w", name).json
    same = ("workspace", "cursor", "backlog", "dead_letters", "inbound", "outbound", "balanced")
    letters = world.command("dead-letters", "list", "--json", "-w", name).json
    return {
        "status": {key: status[key] for key in same},
        "letters": letters,
        "letter": [
            world.command("dead-letters", "show", of["event_id"], "-w", name).out
            for of in letters["dead_letters"][:1]
        ],
        "story": [world.command("explain", ids[0], "--json", "-w", name).json]
        + [world.command("explain", of, "-w", name).out for of in ids],
        "log": world.command("log", "verify", "--json", "-w", name).json["chain"],
        "unknown": [world.command(*words, "-w", name).code for words in
                    (("explain", "nope"), ("dead-letters", "show", "nope"))],
    }  # fmt: skip


def test_commands_answer_the_same_with_a_daemon_and_without(world: World, busy: Sidecar) -> None:
    letters = [of["event_id"] for of in busy.letters()]
    pushed = busy.push({"kind": QUEUED, "payload": {}, "idempotency_key": "q-1"})
    busy.until(QUEUED, "outbound", buffered=0)
    ids = [letters[0], pushed[0]["event_id"]]
    running = answers(world, busy, ids)
    assert busy.stop() == 0
    stopped = answers(world, busy, ids)

    assert running == stopped
    assert running["unknown"] == [3, 3]
    assert running["status"]["balanced"] is True


def test_status_shows_link_cursor_lanes_queue_counters_and_errors(
    world: World, busy: Sidecar
) -> None:
    shown = world.command("status", "-w", str(busy.workspace)).out
    status = busy.status()

    for word in ("link          open (memory)", "cursor        #3 of epoch", "lanes", "outbox",
                 "dead letters  2", RECOVERY, COMPLETED, "accepted = delivered"):  # fmt: skip
        assert word in shown
    assert {"oldest_age_s", "events", "bytes", "unconfirmed"} <= status["outbox"].keys()
    assert status["pid"] == busy.running.pid


def test_status_can_be_watched_by_a_program(world: World, busy: Sidecar) -> None:
    watching = world.start("status", "--watch", "--json", "-w", str(busy.workspace))
    watching.wait_for(r"(?m)^\{.*\}\n\{.*\}$")

    assert watching.end(signal.SIGINT) == 0
    assert {True} == {json.loads(line)["running"] for line in watching.printed.splitlines()}


def test_the_live_tail_shows_both_directions_and_ends_with_the_daemon(world: World) -> None:
    world.with_packs({"rough": "rough_pack:pack"})
    sidecar = world.loopback("one", *ONCE)
    tail = world.start("events", "--json", "-w", str(sidecar.workspace))
    until(lambda: push_until_seen(sidecar, tail), "the tail is connected")
    sidecar.send(RECOVERY, JOB)
    sidecar.send("rough:act", {"do": "raise", "lane": "a"})
    tail.wait_for('"what":"dead_letter"')
    sidecar.stop()

    assert tail.wait() == 0
    seen = [json.loads(line) for line in tail.printed.splitlines()]
    known = {(of["what"], of["kind"]) for of in seen}
    assert {("received", RECOVERY), ("handled", RECOVERY), ("dead_letter", "rough:act"),
            ("queued", QUEUED), ("confirmed", QUEUED)} <= known  # fmt: skip


def push_until_seen(sidecar: Sidecar, tail: Any) -> bool:
    sidecar.push({"kind": QUEUED, "payload": {}})
    return '"what":"confirmed"' in tail.printed


def test_the_live_tail_of_a_killed_daemon_ends_without_a_traceback(world: World) -> None:
    sidecar = world.loopback("one")
    tail = world.start("events", "-w", str(sidecar.workspace))
    until(lambda: push_until_text(sidecar, tail), "the tail is connected")
    sidecar.kill()

    assert tail.wait() in {0, 69}
    assert "Traceback" not in tail.printed


def push_until_text(sidecar: Sidecar, tail: Any) -> bool:
    sidecar.push({"kind": QUEUED, "payload": {}})
    return "confirmed" in tail.printed


def test_explain_tells_every_step_with_its_time(world: World, busy: Sidecar) -> None:
    name = str(busy.workspace)
    letter = busy.letters()[0]["event_id"]
    [down] = world.command("explain", letter, "--json", "-w", name).json["stories"]
    pushed = busy.push({"kind": QUEUED, "payload": {}, "idempotency_key": "q-1"})
    [up] = world.command("explain", pushed[0]["event_id"], "--json", "-w", name).json["stories"]

    assert [of["what"] for of in down["steps"]] == ["received", "stored", "attempt", "dead_letter"]
    assert "ValueError" in down["steps"][-1]["detail"]
    assert "rough_pack.py:" in down["steps"][-1]["detail"]  # where it was raised
    assert [of["what"] for of in up["steps"]][:3] == ["queued", "pushed", "confirmed"]
    times = [of["at_ms"] for of in down["steps"]]
    assert times == sorted(times)
    assert times[0] > 1_600_000_000_000


def test_dead_letters_are_redriven_and_dropped_only_when_named(world: World, busy: Sidecar) -> None:
    name = str(busy.workspace)
    first, second = [of["event_id"] for of in busy.letters()]
    for verb in ("redrive", "drop"):
        assert world.command("dead-letters", verb, "-w", name).code == 2
        done = world.command("dead-letters", verb, "--all", "--dry-run", "-w", name)
        assert done.out.splitlines()[-1].startswith("2 would be")
    assert len(busy.letters()) == 2
    assert world.command("dead-letters", "drop", first, "-w", name).code == 0
    busy.until("rough:act", dead_lettered=1, dropped={"operator": 1})
    assert world.command("dead-letters", "redrive", second, "-w", name).code == 0
    until(lambda: [of for of in busy.letters() if of["redrives"] == 1], "it is buried again")
    lines = world.command("log", "tail", "--json", "-w", name).out.splitlines()
    kinds = [json.loads(line)["event_type"] for line in lines]

    assert kinds.count("DEAD_LETTER_DROPPED") == kinds.count("DEAD_LETTER_REDRIVEN") == 1
    assert kinds.count("DEAD_LETTERED") == 3
    buried = [json.loads(line)["payload"] for line in lines if '"DEAD_LETTERED"' in line]
    assert [of["event_id"] for of in buried] == [first, second, second]


def test_a_redrive_without_a_daemon_runs_at_the_next_start(world: World, busy: Sidecar) -> None:
    busy.stop()
    done = world.command("dead-letters", "redrive", "--all", "-w", str(busy.workspace))
    assert done.code == 0
    assert done.out.splitlines()[-1] == "2 redriven."
    again = world.loopback("one", *ONCE)
    until(lambda: [of["redrives"] for of in again.letters()] == [1, 1], "both are buried again")


def test_doctor_prints_checks_and_finds_what_is_wrong(world: World, busy: Sidecar) -> None:
    name = str(busy.workspace)
    done = world.command("doctor", "--json", "-w", name)
    states = {of["name"]: of["state"] for of in done.json["checks"]}

    assert done.code == 0
    assert states["sidecar"] == states["journal"] == states["packs"] == "ok"
    busy.stop()
    (busy.workspace / ".lumenflow/state/conductor/sidecar.db").write_bytes(b"x" * 4096)
    done = world.command("doctor", "-w", name)
    assert done.code == 1
    assert "FAIL" in done.out


def test_the_whole_log_is_verified_while_the_daemon_runs(world: World, busy: Sidecar) -> None:
    done = world.command("log", "verify", "-w", str(busy.workspace))

    assert done.code == 0
    assert "chain         OK" in done.out
