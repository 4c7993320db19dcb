"""The way back: all of a backup or nothing, and what was there stays."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from backup_world import Served, backed_up, facts, fill, in_child
from conductor_sdk.clock import ManualClock, SystemClock
from conductor_sdk.secret import Secret
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.app import open_stores, workspace_lock
from conductor_sidecar.backup.manifest import NAME
from conductor_sidecar.backup.restore import Restored, restore_backup
from conductor_sidecar.restoring import swap
from conductor_sidecar.restoring.errors import (
    BackupDamaged,
    BackupTooNew,
    RestoreRefused,
)
from conductor_sidecar.settings import Settings
from conductor_state.enrollment import Enrollment
from conductor_state.identity import read_enrollment, write_enrollment
from conductor_state.journal_errors import JournalBusy
from conductor_state.shared_file import SharedFile
from typed import typed

Scenario = tuple[Workspace, Path, dict[str, Any], dict[str, Any]]


@pytest.fixture
async def scenario(tmp_path: Path) -> Scenario:
    """A backup of `one`, and a workspace that has gone on to `two`."""
    (tmp_path / "ws").mkdir()
    workspace = resolve_workspace(tmp_path / "ws")
    await fill(workspace, "one")
    then = await facts(workspace)
    file = tmp_path / "b.tar"
    await asyncio.to_thread(backed_up, workspace, file)
    await fill(workspace, "two", 7)
    with closing(sqlite3.connect(workspace.pack_db("later"))) as connection:
        connection.execute("CREATE TABLE t (x)")
    return workspace, file, then, await facts(workspace)


async def restored(workspace: Workspace, file: Path, **options: Any) -> Restored:
    given = {"dry_run": False, **options}
    return await asyncio.to_thread(restore_backup, workspace, file, SystemClock(), **given)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def staged(workspace: Workspace) -> list[str]:
    place = workspace.state_dir.parent
    return sorted(path.name for path in place.iterdir() if path.name not in {"conductor", "packs"})


async def test_everything_is_as_it_was_and_the_journal_says_so(scenario: Scenario) -> None:
    workspace, file, then, _ = scenario
    done = await restored(workspace, file)
    now = await facts(workspace)
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        entry = (await stores.journal.latest(1))[0]
    told = json.loads(entry.payload)

    assert {**then, "entries": ["NOTED", "RESTORED"]} == now
    assert not workspace.pack_db("later").exists()
    assert done.aside is not None
    assert [done.aside.name] == staged(workspace)
    assert (1, 2, done.aside.name) == (
        told["entries"], told["replaced_entries"], told["set_aside"]
    )  # fmt: skip
    assert "operator" == entry.actor


async def test_what_was_there_is_kept_whole(scenario: Scenario, tmp_path: Path) -> None:
    workspace, file, _, before = scenario
    done = await restored(workspace, file)
    assert done.aside is not None
    (tmp_path / "again").mkdir()
    again = resolve_workspace(tmp_path / "again")
    again.create()
    for name in ("conductor", "packs"):
        for path in (done.aside / name).iterdir():
            path.rename(again.state_dir.parent / name / path.name)
    (done.aside / "folders/.sidekick").rename(again.root / ".sidekick")

    assert before == await facts(again)
    assert again.pack_db("later").exists()


async def test_a_dry_run_checks_everything_and_changes_nothing(scenario: Scenario) -> None:
    workspace, file, _, before = scenario
    done = await restored(workspace, file, dry_run=True)

    assert (None, 2) == (done.aside, done.entries_now)
    assert [] == staged(workspace)
    assert before == await facts(workspace)


POINTS = ["restore.staged", "restore.journaled"]
AFTER = ["restore.decided", *(f"restore.step.{n}" for n in (0, 1, 3, 6, 7, 8)), "restore.done"]


@pytest.mark.parametrize("point", POINTS)
async def test_killed_before_the_decision_nothing_has_changed(
    scenario: Scenario, point: str
) -> None:
    workspace, file, _, before = scenario
    killed = await asyncio.to_thread(in_child, "restore", workspace, file, point)

    assert -9 == killed.returncode
    assert before == await facts(workspace)
    assert [] == staged(workspace)  # the next start has cleared up


@pytest.mark.parametrize("point", AFTER)
async def test_killed_after_the_decision_the_next_start_finishes(
    scenario: Scenario, point: str
) -> None:
    workspace, file, then, _ = scenario
    killed = await asyncio.to_thread(in_child, "restore", workspace, file, point)
    now = await facts(workspace)

    assert (-9, "") == (killed.returncode, killed.stderr)
    assert {**then, "entries": ["NOTED", "RESTORED"]} == now
    [aside] = staged(workspace)
    assert aside.startswith("before-restore-")
    assert (workspace.state_dir.parent / aside / "conductor/sidecar.db").exists()


async def test_a_finish_that_is_killed_is_finished_by_the_one_after(scenario: Scenario) -> None:
    workspace, file, then, _ = scenario
    first = await asyncio.to_thread(in_child, "restore", workspace, file, "restore.decided")
    codes = [first.returncode]
    for point in ("restore.step.0", "restore.step.2", "restore.step.7", "restore.done"):
        killed = await asyncio.to_thread(in_child, "finish", workspace, file, point)
        codes.append(killed.returncode)
    assert [-9] * 5 == codes
    assert {**then, "entries": ["NOTED", "RESTORED"]} == await facts(workspace)


@pytest.mark.parametrize("room", [4096, 100_000])
async def test_a_disk_that_is_full_changes_nothing(scenario: Scenario, room: int) -> None:
    workspace, file, _, before = scenario
    done = await asyncio.to_thread(in_child, "restore", workspace, file, room=room)

    assert (1, True) == (done.returncode, "File too large" in done.stderr)
    assert before == await facts(workspace)
    assert [] == staged(workspace)


async def test_not_while_somebody_owns_the_workspace(
    scenario: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, file, _, _ = scenario
    lock = workspace_lock(workspace, "conductor sidecar")
    await lock.acquire(0.0)
    try:
        words = ("restore", str(file), "-w", str(workspace.root), "--yes")
        ran = await asyncio.to_thread(typed, capsys, *words)
    finally:
        lock.release()

    assert (6, True) == (ran.code, "conductor sidecar" in ran.err)


async def test_every_damage_is_found_before_anything_changes(
    scenario: Scenario, tmp_path: Path
) -> None:
    workspace, file, _, before = scenario
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        places = [member.offset_data + member.size // 2 for member in tar if member.size]
        ends = max(member.offset_data + member.size for member in tar.getmembers())
    damaged = tmp_path / "damaged.tar"
    for place in places:
        content = bytearray(whole)
        content[place] ^= 0xFF
        damaged.write_bytes(content)
        with pytest.raises(BackupDamaged):
            await restored(workspace, damaged)
    for length in (0, 100, 700, places[1], ends - 1):
        damaged.write_bytes(whole[:length])
        with pytest.raises(BackupDamaged):
            await restored(workspace, damaged)

    assert before == await facts(workspace)
    assert [] == staged(workspace)


Change = Callable[[dict[str, Any]], None]


def forged(file: Path, target: Path, change: Change, *more: tarfile.TarInfo) -> Path:
    """Write the archive again with another manifest, and more members."""
    with tarfile.open(file) as tar, tarfile.open(target, "w") as out:
        for member in tar:
            content = tar.extractfile(member)
            data = content.read() if content else b""
            if member.name == NAME:
                manifest = json.loads(data)
                change(manifest)
                data = json.dumps(manifest).encode()
                member.size = len(data)
            out.addfile(member, io.BytesIO(data))
        for member in more:
            out.addfile(member)
    return target


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def named(path: str) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        manifest["items"][0]["path"] = path

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda m: m.update(format=2), BackupTooNew),
        (lambda m: m.update(journal_entries=9), BackupDamaged),
        (lambda m: m.update(items=[]), BackupDamaged),
        (lambda m: m.update(items=m["items"] * 2), BackupDamaged),
        (named("/etc/passwd"), BackupDamaged),
        (named("../../x"), BackupDamaged),
        (named("folders/.sidekick/../../x"), BackupDamaged),
        (named("conductor/control.sock"), BackupDamaged),
        (lambda m: m.pop("created"), BackupDamaged),
    ],
)
async def test_a_forged_manifest_is_refused(
    scenario: Scenario, tmp_path: Path, change: Change, error: type[Exception]
) -> None:
    workspace, file, _, _ = scenario
    with pytest.raises(error):
        await restored(workspace, forged(file, tmp_path / "f.tar", change))
    assert [] == staged(workspace)
    assert ["b.tar", "f.tar", "ws"] == names(tmp_path)


async def test_members_beside_the_manifest_are_refused(scenario: Scenario, tmp_path: Path) -> None:
    workspace, file, _, _ = scenario
    for member in (tarfile.TarInfo("conductor/x"), link("packs/demo.db", "/etc/passwd")):
        with pytest.raises(BackupDamaged):
            await restored(workspace, forged(file, tmp_path / "f.tar", lambda _: None, member))


async def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    workspace = resolve_workspace(tmp_path / "ws")
    await fill(workspace, "one")
    with closing(sqlite3.connect(workspace.sidecar_db)) as connection:
        connection.execute("PRAGMA user_version = 99")
    await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")
    with pytest.raises(BackupTooNew, match="version 99"):
        await restored(workspace, tmp_path / "b.tar")


async def test_counters_that_lie_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    workspace = resolve_workspace(tmp_path / "ws")
    await fill(workspace, "one")
    with closing(sqlite3.connect(workspace.sidecar_db)) as connection:
        connection.execute("UPDATE outbox_counts SET events = 0")
        connection.commit()
    await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")
    with pytest.raises(BackupDamaged, match="outbox of demo:up"):
        await restored(workspace, tmp_path / "b.tar")


def enrolled(workspace: Workspace, subject: str) -> None:
    token = Secret(f"token-of-{subject}")
    write_enrollment(workspace, Enrollment("wss://c.example/", token, subject, None))


async def test_another_subjects_backup_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        workspace = resolve_workspace(tmp_path / name)
        await fill(workspace, name)
        enrolled(workspace, name)
    await asyncio.to_thread(backed_up, resolve_workspace(tmp_path / "a"), tmp_path / "a.tar")
    with pytest.raises(RestoreRefused, match="'a', enrolled is 'b'"):
        await restored(workspace, tmp_path / "a.tar")


async def test_the_credential_comes_back_only_when_it_is_asked_for(scenario: Scenario) -> None:
    workspace, file, _, _ = scenario
    with pytest.raises(RestoreRefused, match="no credential"):
        await restored(workspace, file, with_credential=True)
    enrolled(workspace, "ws1")
    both = file.with_name("with.tar")
    await asyncio.to_thread(backed_up, workspace, both, with_credential=True)
    enrolled(workspace, "ws2")
    (workspace.state_dir / "enrollment.next.json").write_text("{}")
    done = await restored(workspace, both, with_credential=True)
    assert done.aside is not None

    assert "ws1" == read_enrollment(workspace).subject
    assert not (workspace.state_dir / "enrollment.next.json").exists()
    assert (done.aside / "conductor/enrollment.next.json").exists()


async def test_a_damaged_present_is_replaced_and_kept(scenario: Scenario) -> None:
    workspace, file, then, _ = scenario
    for path in (workspace.sidecar_db, workspace.journal_db):
        path.write_bytes(b"nonsense" * 1000)
    workspace.sidecar_db.with_name("sidecar.db.suspect").write_text("page 7")
    workspace.sidecar_db.with_name("sidecar.db-wal").write_bytes(b"old log")
    done = await restored(workspace, file)
    now = await facts(workspace)
    assert done.aside is not None

    assert {**then, "entries": ["NOTED", "RESTORED"]} == now
    kept = {path.name for path in (done.aside / "conductor").iterdir()}
    assert {"sidecar.db", "sidecar.db-wal", "sidecar.db.suspect", "journal.db"} <= kept


async def test_an_empty_workspace_takes_a_backup_and_goes_on(
    scenario: Scenario, tmp_path: Path
) -> None:
    _, file, then, _ = scenario
    (tmp_path / "new").mkdir()
    new = resolve_workspace(tmp_path / "new")
    new.create()
    await restored(new, file)

    assert {**then, "entries": ["NOTED", "RESTORED"]} == await facts(new)


async def test_a_backup_without_a_journal_begins_one(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    workspace = resolve_workspace(tmp_path / "ws")
    await fill(workspace, "one")
    workspace.journal_db.unlink()
    await asyncio.to_thread(backed_up, workspace, tmp_path / "b.tar")
    await fill(workspace, "two")
    await restored(workspace, tmp_path / "b.tar")
    found = await facts(workspace)

    assert (["RESTORED"], "OK", 5) == (found["entries"], found["chain"], found["cursor"])


async def test_two_restores_in_one_second_have_a_place_each(scenario: Scenario) -> None:
    workspace, file, _, _ = scenario
    clock = ManualClock()
    for _ in range(2):
        await asyncio.to_thread(restore_backup, workspace, file, clock, dry_run=False)

    assert ["before-restore-20260101T000000Z", "before-restore-20260101T000000Z-1"] == staged(
        workspace
    )


async def test_other_processes_append_to_the_restored_journal(scenario: Scenario) -> None:
    workspace, file, _, _ = scenario
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        await asyncio.to_thread(restore_backup, workspace, file, SystemClock(), dry_run=False)
        await stores.journal.append("NOTED", "operator", {"name": "beside"})
        entries = [entry.event_type for entry in await stores.journal.latest()]

    assert ["NOTED", "RESTORED", "NOTED"] == entries


async def test_a_journal_that_is_being_written_is_not_moved_away(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, file, then, _ = scenario
    killed = await asyncio.to_thread(in_child, "restore", workspace, file, "restore.decided")
    assert -9 == killed.returncode
    monkeypatch.setattr(swap, "JOURNAL_WAIT_S", 0.05)
    writer = SharedFile(workspace.journal_db, timeout_s=5.0)
    try:
        with writer.writing():
            before = workspace.journal_db.stat().st_ino
            with pytest.raises(JournalBusy):
                swap.finish_restore(workspace, lambda _: None)
            assert before == workspace.journal_db.stat().st_ino
    finally:
        writer.close()
    assert {**then, "entries": ["NOTED", "RESTORED"]} == await facts(workspace)


async def test_a_folder_on_another_disk_is_refused(scenario: Scenario, other_disk: Path) -> None:
    workspace, file, _, before = scenario
    workspace.packs_dir.rename(workspace.packs_dir.with_name("moved"))
    workspace.packs_dir.symlink_to(other_disk)
    (other_disk / "demo.db").touch()
    with pytest.raises(RestoreRefused, match="another disk"):
        await asyncio.to_thread(restore_backup, workspace, file, SystemClock(), dry_run=True)
    workspace.packs_dir.unlink()
    workspace.packs_dir.with_name("moved").rename(workspace.packs_dir)

    assert before == await facts(workspace)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory of another file system."""
    shared = Path("/dev/shm")
    assert shared.stat().st_dev != tmp_path.stat().st_dev, "TMPDIR must not be in memory"
    with tempfile.TemporaryDirectory(dir=shared) as place:
        yield Path(place)


async def test_a_running_sidecar_takes_up_what_was_restored(scenario: Scenario) -> None:
    workspace, file, _, _ = scenario
    await restored(workspace, file)
    async with Served(workspace) as sidecar:
        status = await sidecar.ask("GET", "/v1/status")
        found = await sidecar.ask("GET", "/v1/integrity")

    assert (True, []) == (status["balanced"], found["problems"])
