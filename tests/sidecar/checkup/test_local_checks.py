"""Checks of the machine, the disk, the files and the settings, each made to find something."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkup_scene import BY_ID, NOW, look
from conductor_sdk.clock import ManualClock
from conductor_sdk.workspace import Workspace
from conductor_sidecar.checkup import machine
from conductor_sidecar.checkup.scene import Scene
from conductor_sidecar.settings import Settings

WEEK = timedelta(days=8)


def aged(path: Path, age: timedelta = WEEK) -> Path:
    at = (NOW - age).timestamp()
    os.utime(path, (at, at))
    return path


def mountinfo(scene: Scene, kind: str, place: str = "/") -> None:
    line = f"22 1 254:0 / {place} rw,relatime - {kind} /dev/some rw\n"
    (scene.root / "proc/self/mountinfo").write_text(line)


@pytest.mark.parametrize(
    ("version", "state"),
    [((3, 6, 23), "ok"), ((3, 7, 0), "warn"), ((3, 51, 2), "warn"), ((3, 51, 3), "ok")],
)
def test_the_versions_of_sqlite_with_the_bug_are_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], state: str
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    assert state == look(scene, "machine.sqlite").state


@pytest.mark.parametrize(
    ("limit", "state"), [((64, 4096), "fail"), ((512, 4096), "warn"), ((4096, 4096), "ok")]
)
def test_a_low_limit_of_open_files_is_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, limit: tuple[int, int], state: str
) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: limit)

    assert state == look(scene, "machine.open_files").state


@pytest.mark.parametrize(("kib", "state"), [(1024, "warn"), (2**20, "ok")])
def test_little_memory_is_named(scene: Scene, kib: int, state: str) -> None:
    (scene.root / "proc/meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {kib} kB\n")

    assert state == look(scene, "machine.memory").state


@pytest.mark.parametrize(("year", "state"), [(1970, "fail"), (2026, "ok"), (2110, "fail")])
def test_a_year_that_cannot_be_is_named(scene: Scene, year: int, state: str) -> None:
    scene.clock = ManualClock(datetime(year, 1, 1, tzinfo=UTC))

    assert state == look(scene, "machine.clock").state


@pytest.mark.parametrize(("said", "state"), [("yes", "ok"), ("no", "warn"), ("", "skip")])
def test_a_clock_that_nobody_keeps_is_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, state: str
) -> None:
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert state == look(scene, "machine.clock_sync").state


@pytest.mark.parametrize(
    ("kind", "state"),
    [("ext4", "ok"), ("nfs4", "warn"), ("tmpfs", "warn"), ("overlay", "warn"), ("xfs", "ok")],
)
def test_a_disk_that_forgets_or_is_far_away_is_named(scene: Scene, kind: str, state: str) -> None:
    mountinfo(scene, kind)
    found = look(scene, "disk.filesystem")

    assert (state, True) == (found.state, kind in found.detail)


def test_the_nearest_mount_counts_and_an_escaped_name_is_read(
    scene: Scene, workspace: Workspace
) -> None:
    parent = str(workspace.root.parent)
    (scene.root / "proc/self/mountinfo").write_text(
        "1 0 0:1 / / rw - ext4 /dev/a rw\n"
        f"2 1 0:2 / {parent} rw - tmpfs tmpfs rw\n"
        f"3 1 0:3 / {parent}/w rw - nfs server:/w rw\n"
        r"4 1 0:4 / /with\040space rw - nfs server:/w rw" + "\n"
    )

    assert "tmpfs" in look(scene, "disk.filesystem").detail


def test_leftovers_of_ours_are_removed_once_they_are_a_week_old(
    scene: Scene, workspace: Workspace
) -> None:
    workspace.create()
    old = [workspace.state_dir / "sidecar.db.v2.bak", workspace.packs_dir / "x.tmp",
           workspace.state_dir / ".enrollment.json.ab12"]  # fmt: skip
    young = workspace.state_dir / "sidecar.db.v3.bak"
    foreign = workspace.state_dir / "notes.txt"
    for path in (*old, young, foreign):
        path.write_bytes(b"x")
    snapshot = workspace.state_dir / ("snapshot-" + "0" * 16)
    snapshot.mkdir()
    for path in (*old, foreign, snapshot):
        aged(path)
    check = BY_ID["disk.leftovers"]
    before = check.look(scene)
    assert check.mend is not None
    done = check.mend.run(scene)

    assert ("warn", True) == (before.state, check.mend.asks)
    assert 4 == len(done)
    assert ["notes.txt", "sidecar.db.v3.bak"] == sorted(
        path.name for path in workspace.state_dir.iterdir()
    )
    assert "ok" == check.look(scene).state


def test_what_was_set_aside_is_told_with_age_and_size_and_never_removed(
    scene: Scene, workspace: Workspace
) -> None:
    workspace.create()
    aside = workspace.state_dir / "sidecar.db.corrupt-20260101T000000Z"
    aside.write_bytes(bytes(2**20))
    aged(aside)
    found = look(scene, "disk.set_aside")

    assert ("warn", None) == (found.state, BY_ID["disk.set_aside"].mend)
    assert "1, 1.0 MiB, the oldest 8 days old" in found.detail


def test_rights_of_others_are_found_and_taken_away(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    file = workspace.packs_dir / "demo.db"
    file.write_bytes(b"x")
    file.chmod(0o644)
    workspace.state_dir.chmod(0o755)
    ids = ("files.state_directory", "files.modes")
    before = [look(scene, each).state for each in ids]
    mend = BY_ID["files.modes"].mend
    assert mend is not None
    done = mend.run(scene)

    assert ["fail", "fail"] == before
    assert [f"chmod 700 {workspace.state_dir}", f"chmod 600 {file}"] == done
    assert ["ok", "ok"] == [look(scene, each).state for each in ids]


def test_a_link_where_a_file_belongs_is_a_failure(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    (workspace.state_dir / "journal.db").symlink_to("/etc/hostname")

    assert "fail" == look(scene, "files.symlinks").state
    assert "skip" == look(scene, "files.modes").state


def test_a_socket_that_nobody_answers_on_is_removed(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(workspace.state_dir)  # the path of a test's directory may be too long
    try:
        listener.bind("control.sock")
    finally:
        os.chdir(here)
        listener.close()
    workspace.control_socket.chmod(0o600)
    check = BY_ID["files.socket"]
    before = check.look(scene)
    assert check.mend is not None
    done = check.mend.run(scene)

    assert ("warn", [f"rm {workspace.control_socket}"]) == (before.state, done)
    assert "ok" == check.look(scene).state


def test_what_is_no_socket_is_left_alone(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    workspace.control_socket.write_bytes(b"mine")
    check = BY_ID["files.socket"]
    assert check.mend is not None

    assert ("fail", []) == (check.look(scene).state, check.mend.run(scene))
    assert workspace.control_socket.exists()


def test_a_path_that_is_too_long_for_a_socket_is_told(scene: Scene, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    scene.workspace = Workspace(deep)

    assert "warn" == look(scene, "files.socket_path").state


def test_a_lock_file_that_names_the_dead_is_emptied(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    workspace.lock.write_text('{"pid": 1, "command": "conductor sidecar", "since": "x"}')
    check = BY_ID["records.lock"]
    before = check.look(scene)
    assert check.mend is not None
    done = check.mend.run(scene)

    assert ("warn", 1) == (before.state, len(done))
    assert ("ok", 0) == (check.look(scene).state, workspace.lock.stat().st_size)


HOLDER = """
import asyncio, sys
from pathlib import Path
from conductor_sdk.workspace import Workspace
from conductor_state.lock import WorkspaceLock
lock = WorkspaceLock(Workspace(Path(sys.argv[1])), "conductor test")
asyncio.run(lock.acquire(0.0))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_owner_of_a_lock_is_named_and_nothing_of_it_is_touched(
    scene: Scene, workspace: Workspace
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(workspace.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()
        (scene.root / f"proc/{holder.pid}").mkdir()
        check = BY_ID["records.lock"]
        found = check.look(scene)
        assert check.mend is not None
        done = check.mend.run(scene)
        sidecar = look(scene, "daemon.owner")
        holder.communicate("")

    assert ("ok", True, []) == (found.state, str(holder.pid) in found.detail, done)
    assert ("warn", True) == (sidecar.state, "conductor test" in sidecar.detail)


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("", ("ok", "ok")),
        ("nonsense = [", ("fail", "skip")),
        ("[link]\nnonsense = 1", ("fail", "skip")),
        ('[link]\nadapter = "pigeon"', ("ok", "fail")),
    ],
)
def test_settings_are_read_and_the_adapter_found(
    scene: Scene, workspace: Workspace, text: str, states: tuple[str, str]
) -> None:
    (workspace.root / "conductor.toml").write_text(text)
    from conductor_sidecar.doctor import Doctor

    found = Doctor(scene).examine(["settings.valid", "settings.adapter"])

    assert states == tuple(each.state for each in found)
    assert all(each.hint for each in found if each.state == "fail")


def test_a_variable_that_sets_nothing_is_named(scene: Scene) -> None:
    scene.environ = {"CONDUCTOR_LOGS__LEVEL": "info", "CONDUCTOR_LOG_LEVEL": "debug"}
    found = look(scene, "settings.environment")

    assert ("warn", True) == (found.state, "CONDUCTOR_LOG_LEVEL" in found.detail)


@pytest.mark.parametrize(("mode", "state"), [(0o600, "ok"), (0o644, "fail")])
def test_a_secret_in_a_settings_file_must_be_private(
    scene: Scene, workspace: Workspace, mode: int, state: str
) -> None:
    file = workspace.root / "conductor.toml"
    file.write_text('[pack.demo]\napi_key = "sk-1234567890"\n')
    file.chmod(mode)
    found = look(scene, "settings.private")

    assert (state, False) == (found.state, "sk-1234567890" in found.detail)


@pytest.mark.parametrize(
    ("text", "listen", "allowed"),
    [
        ("", "ok", "skip"),
        ('[http]\nlisten = "127.0.0.1:7433"\nallow_tools = ["a:b"]', "ok", "ok"),
        ('[http]\nlisten = "127.0.0.1:7433"', "ok", "warn"),
        ('[http]\nlisten = "192.0.2.1:7433"\nallow_tools = ["*"]', "fail", "warn"),
        ('[http]\nlisten = "192.0.2.1:7433"\nallow_remote = true\nallowed_origins = ["*"]',
         "warn", "warn"),
    ],
)  # fmt: skip
def test_tools_that_others_could_reach_are_named(
    scene: Scene, workspace: Workspace, text: str, listen: str, allowed: str
) -> None:
    (workspace.root / "conductor.toml").write_text(text)

    assert (listen, allowed) == (
        look(scene, "tools.listen").state, look(scene, "tools.allowed").state
    )  # fmt: skip


def test_a_pack_that_is_not_what_was_pinned_is_a_failure(
    scene: Scene, workspace: Workspace
) -> None:
    (workspace.root / "conductor.toml").write_text(
        f'[packs.pins]\nacme-demo = "sha256:{"0" * 64}"\n'
    )
    missing = Scene(scene.workspace, {}, scene.clock)
    found = look(scene, "packs.pins")

    assert ("fail", True) == (found.state, "acme-demo" in found.detail)
    (workspace.root / "conductor.toml").write_text(f'[packs.pins]\nnone = "sha256:{"0" * 64}"\n')
    assert "not installed" in look(missing, "packs.pins").detail
    assert Settings().packs.pins == {}


def test_a_broken_entry_point_is_named(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    installed_pack: Callable[[Path, str], Path],
) -> None:  # fmt: skip
    monkeypatch.syspath_prepend(str(installed_pack(tmp_path / "in", "no_such_module:pack")))
    found = look(scene, "packs.entry_points")

    assert ("fail", True) == (found.state, "broken of conductor.packs" in found.detail)


def test_a_newer_schema_is_a_failure_and_an_older_one_is_told(
    scene: Scene, workspace: Workspace
) -> None:
    workspace.create()
    for version, state in ((99, "fail"), (1, "warn")):
        with closing(sqlite3.connect(workspace.sidecar_db)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
        assert state == look(scene, "stores.schema").state


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("conductor/sidecar.db.suspect", "met damage"),
        ("conductor/sidecar.db.salvaged.json", "repair was cut short"),
        ("restoring/intent.json", "restore was cut short"),
    ],
)
def test_word_for_the_next_start_is_passed_on(
    scene: Scene, workspace: Workspace, path: str, words: str
) -> None:
    workspace.create()
    file = workspace.state_dir.parent / path
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")
    found = look(scene, "stores.marked")

    assert ("warn", True) == (found.state, words in found.detail)


def test_a_pack_store_with_damaged_pages_is_a_failure(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    path = workspace.packs_dir / "demo.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,) for _ in range(200)])
        connection.commit()
    assert "ok" == look(scene, "stores.packs").state
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xa5" * 4096
    path.write_bytes(content)

    assert "fail" == look(scene, "stores.packs").state


def test_a_log_that_is_never_folded_in_is_named(scene: Scene, workspace: Workspace) -> None:
    workspace.create()
    path = workspace.state_dir / "sidecar.db-wal"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)

    assert "warn" == look(scene, "stores.wal").state
