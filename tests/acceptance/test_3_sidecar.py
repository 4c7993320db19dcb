"""Issue 2, "What a user gets", 3, and "Bad input": the daemon's life and its settings."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from real_world import QUEUED, QUICK, RECOVERY, Sidecar, World, until

STATE = Path(".lumenflow/state/conductor")
JOB = {"wu_id": "acme-job-1"}


def files(sidecar: Sidecar) -> Path:
    return sidecar.workspace / STATE


def test_settings_come_from_defaults_file_environment_and_flags(world: World) -> None:
    (world.directory / "conductor.toml").write_text(
        "[dispatch]\nconcurrency = 3\nmax_attempts = 7\ndeadline_s = 9\n"
    )
    env = {"CONDUCTOR_DISPATCH__MAX_ATTEMPTS": "8", "CONDUCTOR_DISPATCH__DEADLINE_S": "10"}
    words = ("config", "show", "--json", "--set", "dispatch.deadline_s=11")
    done = world.command(*words, env=env)
    found = {of["name"]: (of["value"], of["source"]) for of in done.json["settings"]}

    assert found["dispatch.concurrency"] == (3, str(world.directory / "conductor.toml"))
    assert found["dispatch.max_attempts"] == (8, "environment CONDUCTOR_DISPATCH__MAX_ATTEMPTS")
    assert found["dispatch.deadline_s"] == (11.0, "command line")
    assert found["dispatch.window"][1] == "default"


@pytest.mark.parametrize(
    "text",
    [
        "dispatch.nonsense=1", "dispatch.deadline_s=-1", "dispatch.deadline_s=soon", "nonsense=1",
        "link.adapter.name=x", "retention.days=1e12", "retention.days=NaN",
        "outbox.max_age_s=Infinity", "drain.deadline_s=Infinity", "dispatch.max_attempts=1.5",
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_by_name(world: World, text: str) -> None:
    done = world.command("config", "show", "--set", text)

    assert done.code == 78
    assert ".".join(text.partition("=")[0].split(".")[:2]) in done.err
    assert "command line" in done.err
    assert "Traceback" not in done.err


def test_the_memory_adapter_is_a_loopback_with_an_inbox(world: World) -> None:
    sidecar = world.loopback("one")
    event_id = sidecar.send(RECOVERY, JOB)
    sidecar.until(RECOVERY, delivered=1)
    [receipt] = sidecar.push({"kind": QUEUED, "payload": {"job_id": "j"}})
    sidecar.until(QUEUED, "outbound", delivered=1)
    name = str(sidecar.workspace)

    assert event_id.startswith("evt-")
    assert receipt["event_id"] in world.command("inbox", "-w", name, "--no-mark").out
    assert receipt["event_id"] in world.command("mem:inbox", "-w", name).out
    assert world.command("inbox", "-w", name, "--count").out == "0 unread signal(s)\n"
    [line] = (sidecar.workspace / ".lumenflow/memory/signals.jsonl").read_text().splitlines()
    assert json.loads(line)["message"]
    assert sidecar.stop() == 0


def test_the_default_workspace_is_the_current_directory(world: World) -> None:
    home = world.directory / "here"
    home.mkdir()
    running = world.start("sidecar", "--adapter", "memory", cwd=home)
    Sidecar(home, running).wait_until_ready()

    assert json.loads(world.command("status", "--json", cwd=home).out)["workspace"] == str(home)


@pytest.mark.parametrize(
    "words",
    [("doctor", "--json"), ("tools", "list", "--json"), ("packs", "--json"), ("config", "show"),
     ("pack", "validate", "acme-demo"), ("pack", "test", "acme_demo")],
    ids=" ".join,
)  # fmt: skip
def test_what_needs_neither_enrollment_nor_daemon_works_without(
    world: World, words: tuple[str, ...]
) -> None:
    done = world.command(*words)

    assert (done.code, done.err) == (0, "")
    assert list(world.directory.iterdir()) == []


def test_log_without_a_journal_says_so(world: World) -> None:
    done = world.command("log", "verify", "--json")

    assert (done.code, done.json["source"]) == (3, "MISSING")
    assert world.command("log", "tail").code == 3


def test_a_second_sidecar_is_refused_and_told_of_the_first(world: World) -> None:
    first = world.loopback("one")
    done = world.command("sidecar", "--adapter", "memory", "-w", str(first.workspace))

    assert done.code == 6
    assert f"process {first.running.pid}" in done.err
    assert "WORKSPACE_BUSY" in done.err
    assert first.status()["running"] is True


def test_an_unenrolled_sidecar_names_the_next_command(world: World) -> None:
    done = world.command("sidecar")

    assert done.code == 77
    assert "next: conductor enroll" in done.err


def test_sigterm_drains_and_the_next_start_goes_on(world: World) -> None:
    sidecar = world.loopback("one")
    sidecar.send(RECOVERY, JOB, "r-1")
    sidecar.until(RECOVERY, delivered=1)

    assert sidecar.stop(signal.SIGTERM) == 0
    assert re.search("draining.*\n.*drained.*\n(.*link_closed.*\n)?.*stopped",
                     sidecar.running.printed)  # fmt: skip
    assert not (files(sidecar) / "control.sock").exists()
    again = world.loopback("one")
    again.send(RECOVERY, JOB, "r-1")
    again.until(RECOVERY, accepted=1, delivered=1)


def test_sigkill_loses_nothing_and_the_stale_socket_is_in_nobodys_way(world: World) -> None:
    conductor = world.conductor()
    workspace = world.directory / "ws1"
    conductor.enroll(workspace)
    sidecar = world.sidecar(workspace, *QUICK)
    sidecar.wait_for_link()
    conductor.send("ws1", RECOVERY, JOB, "--count", "50")
    sidecar.kill()
    ids = [of["event_id"] for of in sidecar_receipts(world, conductor.url, workspace)]
    again = world.sidecar(workspace, *QUICK)
    again.until(RECOVERY, accepted=50, delivered=50, buffered=0)
    again.until(QUEUED, "outbound", delivered=20, buffered=0)

    assert [of["event_id"] for of in conductor.events("ws1")] == ids
    assert again.status()["balanced"] is True


def sidecar_receipts(world: World, url: str, workspace: Path) -> list[dict[str, object]]:
    """Queue events in a sidecar whose conductor cannot be reached, then kill it."""
    enrollment = workspace / STATE / "enrollment.json"
    kept = enrollment.read_bytes()
    enrollment.write_bytes(kept.replace(url.rpartition(":")[2].encode(), b"9"))
    sidecar = world.sidecar(workspace)
    receipts = sidecar.push(*({"kind": QUEUED, "payload": {"n": n}} for n in range(20)))
    sidecar.kill()
    enrollment.write_bytes(kept)
    assert {of["status"] for of in receipts} == {"queued"}
    return receipts


def test_a_workspace_path_longer_than_a_socket_name_works(world: World) -> None:
    deep = world.directory.joinpath(*["a-rather-long-directory-name"] * 8)
    deep.mkdir(parents=True)
    sidecar = world.sidecar(deep, "--adapter", "memory")

    assert len(str(deep)) > 200
    assert world.command("status", "-w", str(deep)).code == 0
    assert sidecar.stop() == 0


def test_a_workspace_name_that_is_no_text_works(world: World) -> None:
    if sys.platform != "linux":
        return  # elsewhere no such name can exist
    odd = Path(os.fsdecode(os.fsencode(world.directory) + b"/odd-\xff"))
    odd.mkdir()
    sidecar = world.start("sidecar", "--adapter", "memory", cwd=odd)
    sidecar.wait_for('"event": "link_open"')
    done = world.command("status", "--json", cwd=odd)

    assert done.code == 0
    assert done.json["workspace"].endswith("/odd-�")
    assert "Traceback" not in sidecar.printed + done.err


def test_a_workspace_that_cannot_be_written_is_refused_with_a_code(world: World) -> None:
    nowhere = "/proc/sys" if sys.platform == "linux" else "/System"
    words = ("sidecar", "--adapter", "memory", "-w")
    for done in (world.command(*words, nowhere), world.without_room(*words, ".")):
        assert done.code == 1
        assert "next: " in done.err
        assert "Traceback" not in done.err


def test_a_key_with_a_dot_in_a_packs_section_stays_one_key(world: World) -> None:
    (world.directory / "conductor.toml").write_text('[pack.acme_demo.map]\n"a.b" = 1\n')
    done = world.command("config", "show", "--json")
    found = {of["name"]: of["value"] for of in done.json["settings"]}

    assert found["pack.acme_demo.map.a.b"] == 1


@pytest.mark.parametrize("name", ["sidecar.db", "journal.db"])
def test_a_corrupt_database_is_set_aside_and_the_daemon_starts(world: World, name: str) -> None:
    sidecar = world.loopback("one")
    sidecar.send(RECOVERY, JOB)
    sidecar.until(RECOVERY, delivered=1)
    sidecar.stop()
    path = files(sidecar) / name
    path.write_bytes(b"nonsense" * 1024)
    again = world.loopback("one")
    before = again.counts(RECOVERY)["delivered"]  # none if the counters were in the corrupt one
    again.send(RECOVERY, JOB)
    again.until(RECOVERY, delivered=before + 1)
    entries = world.command("log", "tail", "--json", "-w", str(again.workspace)).out.splitlines()
    events = [json.loads(line) for line in entries]

    assert [path.name for path in files(again).iterdir() if name in path.name and path.name != name]
    told = [of for of in events if "QUARANTINED" in of["event_type"] or "ASIDE" in of["event_type"]]
    assert told, entries
    assert any(isinstance(value, int) for value in told[0]["payload"].values()), told
    assert world.command("log", "verify", "-w", str(again.workspace)).code == 0


def test_a_truncated_database_keeps_what_can_be_read(world: World) -> None:
    sidecar = world.loopback("one")
    for number in range(300):
        sidecar.send("acme-demo:unknown_kind", {"n": number, "text": "x" * 400})
    sidecar.until("acme-demo:unknown_kind", accepted=300)
    sidecar.stop()
    path = files(sidecar) / "sidecar.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = world.loopback("one")

    assert again.status()["balanced"] is True
    assert again.stop() == 0


def test_a_corrupt_enrollment_is_refused_with_the_next_command(world: World) -> None:
    state = world.directory / STATE
    state.mkdir(parents=True, mode=0o700)
    for text in ("", "{", "[]", '{"version": 99}', '{"version": 1, "token": "very-secret"}'):
        (state / "enrollment.json").write_text(text)
        (state / "enrollment.json").chmod(0o600)
        done = world.command("sidecar")

        assert done.code in {77, 78}
        assert "next: " in done.err
        assert "very-secret" not in done.err


def test_a_database_of_a_newer_version_is_refused_and_left_alone(world: World) -> None:
    sidecar = world.loopback("one")
    sidecar.stop()
    path = files(sidecar) / "sidecar.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    before = path.read_bytes()
    for words in (("sidecar", "--adapter", "memory"), ("status",)):
        done = world.command(*words, "-w", str(sidecar.workspace))

        assert done.code == 78
        assert "SCHEMA_TOO_NEW" in done.err
        assert "next: " in done.err
    assert path.read_bytes() == before


def test_the_state_directory_is_private(world: World) -> None:
    sidecar = world.loopback("one")
    sidecar.push({"kind": QUEUED, "payload": {}})
    modes = {
        path.name: path.lstat().st_mode & 0o777
        for path in [files(sidecar), *files(sidecar).iterdir()]
    }

    assert modes.pop("conductor") == 0o700
    assert dict.fromkeys(modes, 384) == modes


def test_a_command_waits_for_another_one_and_for_a_daemon_that_starts(world: World) -> None:
    sidecar = world.loopback("one")
    name = str(sidecar.workspace)
    sidecar.stop()
    import fcntl

    with (files(sidecar) / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = world.start("status", "--json", "-w", name)
        until(lambda: holds_open(waiting.pid, "lock"), "the command waits for the lock")
        fcntl.flock(lock, fcntl.LOCK_UN)

    assert waiting.wait() == 0


def holds_open(pid: int, name: str) -> bool:
    """Whether a process has a file of that name open."""
    directory = Path(f"/proc/{pid}/fd")
    if not directory.exists():
        return True  # not Linux: then the race is not looked at
    try:
        return any(of.readlink().name == name for of in directory.iterdir())
    except OSError:
        return False
