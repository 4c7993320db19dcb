"""A backup: of one moment, private, whole or not there."""

from __future__ import annotations

import asyncio
import fcntl
import json
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from backup_world import Served, backed_up, facts, fill, in_child
from conductor_sdk.clock import SystemClock
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.backup.restore import restore_backup
from conductor_sidecar.errors import NeverRun
from conductor_sidecar.restoring import folders
from conductor_sidecar.restoring.errors import BackupExists, BackupFailed, FolderBusy
from conductor_state.enrollment import Enrollment
from conductor_state.errors import StateError
from conductor_state.identity import write_enrollment
from typed import typed

TOKEN = "t0ken-" + "q" * 40


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "ws").mkdir()
    return resolve_workspace(tmp_path / "ws")


def names(file: Path) -> list[str]:
    with tarfile.open(file) as tar:
        return tar.getnames()


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != "ws")


async def test_a_backup_beside_a_running_sidecar_is_whole(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "b.tar"
    async with Served(workspace) as sidecar:
        for number in range(3):
            body = {"kind": "conductor:recovery_requested", "payload": {"n": number}}
            await sidecar.ask("POST", "/v1/loopback/send", body)
        done = await asyncio.to_thread(
            typed, capsys, "backup", str(file), "-w", str(workspace.root), "--json"
        )
        integrity = await sidecar.ask("GET", "/v1/integrity")
        status = await sidecar.ask("GET", "/v1/status")
    manifest = done.json["manifest"]

    assert (0, 0o600) == (done.code, stat.S_IMODE(file.stat().st_mode))
    assert [manifest["items"][n]["path"] for n in range(2)] == names(file)[1:3]
    assert ([], True) == (integrity["problems"], status["balanced"])
    assert [] == list(workspace.state_dir.glob("snapshot-*"))
    assert ["b.tar"] == left(tmp_path)
    assert manifest["sequence"] <= status["cursor"]["sequence"]


async def test_a_backup_holds_every_store_and_a_digest_of_each(
    workspace: Workspace, tmp_path: Path
) -> None:
    await fill(workspace, "one")
    done = await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")

    assert [
        "manifest.json", "conductor/journal.db", "conductor/sidecar.db",
        "folders/.sidekick/tasks/tasks.json", "packs/demo.db",
    ] == names(done.file)  # fmt: skip
    assert (5, 1) == (done.manifest.sequence, done.manifest.journal_entries)
    assert {"sidecar", "journal", "pack", "folder"} == {each.store for each in done.manifest.items}


async def test_what_packs_store_is_copied_after_the_log_and_the_journal_last(
    workspace: Workspace, tmp_path: Path
) -> None:
    await fill(workspace, "one")
    seen: list[tuple[str, list[str]]] = []

    def look(point: str) -> None:
        [stage] = [path for path in tmp_path.glob(".b.tar.*") if path.is_dir()]
        found = [path.relative_to(stage) for path in stage.rglob("*") if path.is_file()]
        seen.append((point, sorted(str(path) for path in found)))

    await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar", crash_point=look)
    log, packs = "conductor/sidecar.db", ["folders/.sidekick/tasks/tasks.json", "packs/demo.db"]
    assert [
        ("backup.sidecar", [log]), ("backup.packs", [log, *packs]),
        ("backup.staged", ["conductor/journal.db", log, *packs]),
    ] == seen[:3]  # fmt: skip


@pytest.mark.parametrize("wanted", [False, True])
async def test_the_credential_is_in_it_only_when_it_was_asked_for(
    workspace: Workspace, tmp_path: Path, *, wanted: bool
) -> None:
    await fill(workspace, "one")
    write_enrollment(workspace, Enrollment("wss://c.example/", Secret(TOKEN), "ws1", None))
    file = tmp_path / "b.tar"
    done = await asyncio.to_thread(backed_up, workspace, file, with_credential=wanted)

    assert wanted == (TOKEN.encode() in file.read_bytes())
    assert wanted == ("conductor/enrollment.json" in names(file))
    assert wanted == (done.manifest.left_out == [])
    assert "ws1" == done.manifest.subject


async def test_nothing_is_backed_up_where_nothing_ever_ran(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(NeverRun):
        backed_up(workspace, tmp_path / "b.tar")
    assert [] == left(tmp_path)


async def test_a_file_that_is_there_is_not_overwritten(
    workspace: Workspace, tmp_path: Path
) -> None:
    await fill(workspace, "one")
    (tmp_path / "b.tar").write_bytes(b"mine")
    with pytest.raises(BackupExists):
        await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")
    with pytest.raises(BackupFailed):
        await asyncio.to_thread(backed_up, workspace, tmp_path / "nowhere/b.tar")
    assert b"mine" == (tmp_path / "b.tar").read_bytes()


async def test_a_folder_whose_pack_is_writing_is_waited_for_with_a_bound(
    workspace: Workspace,
) -> None:
    await fill(workspace, "one")
    folder = workspace.root / ".sidekick"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FolderBusy), folders.held(folder, 0.05):
            pass
    with folders.held(folder, 0.05):
        assert [".lock", "tasks"] == sorted(path.name for path in folder.iterdir())


async def test_a_folder_that_is_a_link_is_not_followed(
    workspace: Workspace, tmp_path: Path
) -> None:
    await fill(workspace, "one")
    (workspace.root / ".sidekick").rename(tmp_path / "elsewhere")
    (workspace.root / ".sidekick").symlink_to(tmp_path / "elsewhere")
    done = await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")

    assert "folder" not in {each.store for each in done.manifest.items}


async def test_a_damaged_store_is_not_backed_up(workspace: Workspace, tmp_path: Path) -> None:
    await fill(workspace, "one", 2000)
    content = bytearray(workspace.sidecar_db.read_bytes())
    content[-3 * 4096 : -2 * 4096] = b"\xa5" * 4096
    workspace.sidecar_db.write_bytes(content)
    with pytest.raises(StateError):
        await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")

    assert [] == left(tmp_path)


@pytest.mark.parametrize("room", [4096, 65_536, 130_000])
async def test_a_disk_that_is_full_leaves_no_file_and_all_that_was_there(
    workspace: Workspace, tmp_path: Path, room: int
) -> None:
    await fill(workspace, "one", 300)
    before = await facts(workspace)
    done = await asyncio.to_thread(in_child, "backup", workspace, tmp_path / "b.tar", room=room)

    assert (1, True) == (done.returncode, "Error" in done.stderr or "Failed" in done.stderr)
    assert [] == left(tmp_path)
    assert before == await facts(workspace)


@pytest.mark.parametrize(
    "point", ["backup.sidecar", "backup.packs", "backup.staged", "backup.written"]
)
async def test_a_backup_that_is_killed_leaves_no_file_of_its_name(
    workspace: Workspace, tmp_path: Path, point: str
) -> None:
    await fill(workspace, "one")
    before = await facts(workspace)
    killed = await asyncio.to_thread(in_child, "backup", workspace, tmp_path / "b.tar", point)
    again = await asyncio.to_thread(in_child, "backup", workspace, tmp_path / "b.tar")

    assert (-9, 0) == (killed.returncode, again.returncode)
    assert "b.tar" in left(tmp_path)
    assert before == await facts(workspace)


async def test_a_sidecar_that_cannot_write_its_copy_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from conductor_sdk.client import SidecarAnswered

    async with Served(workspace) as sidecar:
        place = workspace.state_dir / "snapshot-taken"
        place.mkdir()
        (place / "sidecar.db").write_bytes(b"in the way")
        monkeypatch.setattr("secrets.token_hex", lambda _=None: "taken")
        place.rename(workspace.state_dir / "elsewhere")
        (workspace.state_dir / "snapshot-taken").symlink_to("elsewhere")
        with pytest.raises(SidecarAnswered):
            await sidecar.ask("POST", "/v1/snapshot", {})
        status: Any = await sidecar.ask("GET", "/v1/status")

    assert (True, b"in the way") == (
        status["running"], (workspace.state_dir / "elsewhere/sidecar.db").read_bytes()
    )  # fmt: skip


async def test_tasks_and_threads_are_told_by_names_and_lines(workspace: Workspace) -> None:
    async with Served(workspace) as sidecar:
        told = await sidecar.ask("GET", "/v1/debug/tasks")
    tasks = {task["name"]: task for task in told["tasks"]}

    assert {"keeper", "downlink", "dispatcher", "http.server"} <= tasks.keys()
    assert "pending" == tasks["keeper"]["state"]
    assert any("database sidecar.db" == thread["name"] for thread in told["threads"])
    assert all(":" in line for thread in told["threads"] for line in thread["stack"])


async def test_a_restored_folder_keeps_its_lock_file(workspace: Workspace, tmp_path: Path) -> None:
    await fill(workspace, "one")
    (workspace.root / ".sidekick/.lock").touch()
    inode = (workspace.root / ".sidekick/.lock").stat().st_ino
    file = tmp_path / "b.tar"
    await asyncio.to_thread(backed_up, workspace, file)
    await asyncio.to_thread(
        restore_backup, workspace, file, SystemClock(), dry_run=False
    )  # fmt: skip

    assert inode == (workspace.root / ".sidekick/.lock").stat().st_ino
    assert '["one"]' == json.dumps(
        json.loads((workspace.root / ".sidekick/tasks/tasks.json").read_text())
    )
