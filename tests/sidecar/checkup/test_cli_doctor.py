"""`conductor doctor`, `diagnose`, `backup` and `restore` as they are typed."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from backup_world import Served, fill
from conductor_sdk.clock import SystemClock
from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.checkup.files import remove_socket
from conductor_sidecar.checkup.registry import CHECKS
from conductor_sidecar.checkup.scene import Scene
from typed import shown, typed

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path) -> str:
    (tmp_path / "ws").mkdir()
    return str(tmp_path / "ws")


def test_an_empty_workspace_passes_with_warnings_and_not_strictly(
    capsys: Captured, place: str
) -> None:
    plain = shown(capsys, "doctor", "-w", place)
    strict = shown(capsys, "doctor", "-w", place, "--strict")

    assert (0, 1) == (plain.code, strict.code)
    assert "0 failed" in plain.out
    assert "conductor enroll URL" in plain.out


def test_json_names_every_check_and_counts_them(capsys: Captured, place: str) -> None:
    ran = typed(capsys, "doctor", "-w", place, "--json", "--offline")
    checks = ran.json["checks"]

    assert [check.id for check in CHECKS] == [each["id"] for each in checks]
    assert (1, len(CHECKS)) == (ran.json["schema"], sum(ran.json["counts"].values()))
    assert {
        "id", "group", "name", "state", "detail", "hint", "severity", "fixable", "fixed",
    } == checks[0].keys()  # fmt: skip


def test_the_checks_are_listed_without_being_made(capsys: Captured, place: str) -> None:
    ran = shown(capsys, "doctor", "-w", place, "--list")
    group = typed(capsys, "doctor", "--list", "--only", "disk", "--json").json["checks"]

    assert all(check.id in ran.out for check in CHECKS)
    assert {"disk"} == {each["id"].partition(".")[0] for each in group}
    assert any(each["fix"] for each in group)


def test_a_check_that_does_not_exist_is_a_usage_error(capsys: Captured, place: str) -> None:
    ran = typed(capsys, "doctor", "-w", place, "--only", "nonsense")

    assert (2, True) == (ran.code, "conductor doctor --list" in ran.err)


def test_fixing_narrows_modes_and_asks_before_it_removes(capsys: Captured, place: str) -> None:
    workspace = resolve_workspace(place)
    workspace.create()
    wide, old = workspace.state_dir / "notes.json", workspace.state_dir / "sidecar.db.v1.bak"
    for path in (wide, old):
        path.write_text("{}")
        path.chmod(0o600)
    wide.chmod(0o644)
    os.utime(old, (1.0, 1.0))
    words = ("doctor", "-w", place, "--only", "files.modes", "--only", "disk.leftovers")
    before = shown(capsys, *words)
    fixed = shown(capsys, *words, "--fix")
    kept = old.exists()
    agreed = shown(capsys, *words, "--fix", "--yes")

    assert (1, 0, 0) == (before.code, fixed.code, agreed.code)
    assert "fixed: chmod 600" in fixed.out.replace("\n", " ")
    assert (0o600, True, False) == (wide.stat().st_mode & 0o777, kept, old.exists())
    assert "fixed: rm" in agreed.out


def test_a_part_that_does_not_exist_is_a_usage_error(capsys: Captured, place: str) -> None:
    ran = typed(capsys, "diagnose", "-w", place, "--without", "nonsense")

    assert (2, True) == (ran.code, "versions" in ran.err)


def test_what_a_bundle_holds_is_shown_in_80_columns(
    capsys: Captured, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = typed(capsys, "diagnose", "-w", place, "--offline")
    lines = ran.out.splitlines()

    assert 0 == ran.code
    assert [] == [line for line in lines[1:] if len(line) > 80]
    assert lines[0].startswith(str(tmp_path / "conductor-diagnose-ws-"))


async def test_a_backup_and_its_restore_are_shown_before_they_are_done(
    capsys: Captured, place: str, tmp_path: Path
) -> None:
    workspace = resolve_workspace(place)
    await fill(workspace, "one")
    file = str(tmp_path / "b.tar")

    async def run(*words: str) -> tuple[int, str]:
        ran = await asyncio.to_thread(typed, capsys, *words, "-w", place)
        return ran.code, ran.out

    backup = await run("backup", file)
    dry = await run("restore", file)
    done = await run("restore", file, "--yes")
    again = await run("backup", file)

    assert [0, 0, 0, 1] == [backup[0], dry[0], done[0], again[0]]
    assert "not in it      enrollment and tokens" in backup[1]
    assert "Nothing was changed" in dry[1]
    assert "What was there: " in done[1]


async def test_a_directory_gets_a_file_with_a_name_of_its_own(
    capsys: Captured, place: str, tmp_path: Path
) -> None:
    await fill(resolve_workspace(place), "one")
    ran = await asyncio.to_thread(typed, capsys, "backup", str(tmp_path), "-w", place, "--json")
    restored = await asyncio.to_thread(
        typed, capsys, "restore", ran.json["file"], "-w", place, "--json"
    )

    assert Path(ran.json["file"]).name.startswith("conductor-ws-")
    assert (True, None) == (restored.json["dry_run"], restored.json["set_aside"])
    assert "conductor/journal.db" in json.dumps(restored.json["replaces"])


async def test_a_running_sidecar_is_well_and_is_not_restored_over(
    capsys: Captured, place: str, tmp_path: Path
) -> None:
    workspace = resolve_workspace(place)
    file = str(tmp_path / "b.tar")
    async with Served(workspace):
        backup = await asyncio.to_thread(typed, capsys, "backup", file, "-w", place)
        refused = await asyncio.to_thread(typed, capsys, "restore", file, "-w", place, "--yes")
        words = ("doctor", "-w", place, "--json", "--offline")
        found = await asyncio.to_thread(typed, capsys, *words)
        mended = await asyncio.to_thread(remove_socket, Scene(workspace, {}, SystemClock()))
        assert ([], True) == (mended, workspace.control_socket.is_socket())
    states = {each["id"]: each["state"] for each in found.json["checks"]}

    assert [0, 6, 0] == [backup.code, refused.code, found.code]
    own = ("stores.sidecar", "daemon.running", "daemon.link", "daemon.health", "daemon.balance",
           "files.socket", "records.claims", "daemon.owner")  # fmt: skip
    assert dict.fromkeys(own, "ok") == {each: states[each] for each in own}
