"""The way back: a backup becomes the state of its workspace.

Promise: everything of the backup is checked before anything of the workspace changes; then all of
it is put in place, or a crash leaves word and the next start finishes. The restored journal begins
with an entry that says so. Refusal: not while a sidecar runs, not for another subject, and nothing
that was there is deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.workspace import Workspace
from conductor_sidecar.app import no_crash, open_journal
from conductor_sidecar.backup.archive import opened_archive, unpack
from conductor_sidecar.backup.manifest import Item, Manifest
from conductor_sidecar.backup.take import journal_head, subject_of
from conductor_sidecar.restoring.errors import (
    BackupDamaged,
    BackupFailed,
    BackupTooNew,
    RestoreRefused,
)
from conductor_sidecar.restoring.swap import (
    FILES,
    Intent,
    Step,
    aside_dir,
    decide,
    finish_restore,
    plan_steps,
    stage_dir,
)
from conductor_state.inspection import inspect_file, known_version, stored_version, whole

ENTRY = "RESTORED"
_SCHEMAS = {"sidecar": "sidecar", "journal": "journal"}


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did, or would do."""

    manifest: Manifest
    steps: list[Step]
    entries_now: int
    head_now: str
    """Of the journal that is replaced."""
    aside: Path | None
    """Where the files of before are; None: nothing was done."""


def restore_backup(
    workspace: Workspace, file: Path, clock: Clock, *, dry_run: bool,
    with_credential: bool = False, crash_point: Callable[[str], None] = no_crash,
) -> Restored:  # fmt: skip
    """Put a backup in the place of the state; the caller holds the workspace's lock.

    Args:
        workspace: What is replaced.
        file: The backup.
        clock: Names the directory of what was there, and dates the journal's entry.
        dry_run: Check everything, and change nothing.
        with_credential: Take the enrollment and the tokens of the backup too, if it has them.
        crash_point: For fault suites.

    Raises:
        BackupDamaged: The file is not a whole backup.
        BackupTooNew: It, or a store in it, was written by a newer program.
        RestoreRefused: It is another subject's.
        BackupFailed: There is no room, or no way; nothing has changed, or the next start goes on.
        FolderBusy: A pack holds its files; the next start goes on.
    """
    try:
        finish_restore(workspace, no_crash)  # a crash of an earlier one comes first
        with _staged(workspace, file) as manifest:
            crash_point("restore.staged")
            _check_subject(workspace, manifest, with_credential=with_credential)
            _check_stores(workspace, manifest)
            aside = aside_dir(workspace, f"{clock.now():%Y%m%dT%H%M%SZ}")
            planned = _planned(workspace, manifest, aside, with_credential=with_credential)
            if dry_run:
                return planned
            _journal_it(workspace, planned, aside)
            crash_point("restore.journaled")
            decide(workspace, Intent(str(aside.relative_to(workspace.root)), planned.steps))
        crash_point("restore.decided")
        return replace(planned, aside=finish_restore(workspace, crash_point))
    except OSError as error:
        raise BackupFailed(f"{error.filename or file}: {error.strerror}") from error


def _planned(
    workspace: Workspace, manifest: Manifest, aside: Path, *, with_credential: bool
) -> Restored:
    steps = plan_steps(workspace, aside, with_credential=with_credential)
    _check_disks(workspace, steps)
    return Restored(manifest, steps, *_journal_now(workspace), None)


@contextlib.contextmanager
def _staged(workspace: Workspace, file: Path) -> Generator[Manifest]:
    """Unpack for the length of a block; what was not decided by then is removed."""
    stage = stage_dir(workspace)
    stage.mkdir(mode=0o700)
    try:
        (stage / FILES).mkdir(mode=0o700)
        for name in ("conductor", "packs", "folders"):
            (stage / FILES / name).mkdir(mode=0o700)
        with opened_archive(file) as (tar, manifest):
            unpack(tar, manifest, stage / FILES)
        yield manifest
    finally:
        if not (stage / "intent.json").exists():
            shutil.rmtree(stage, ignore_errors=True)


def _check_subject(workspace: Workspace, manifest: Manifest, *, with_credential: bool) -> None:
    brings = any(item.path == "conductor/enrollment.json" for item in manifest.items)
    if with_credential and not brings:
        hint = "leave out --with-credential; nothing was changed"
        raise RestoreRefused("there is no credential in it", hint=hint)
    now = subject_of(workspace)
    if now is not None and manifest.subject not in {None, now} and not with_credential:
        hint = "restore into the workspace of that subject; nothing was changed"
        raise RestoreRefused(f"it is of {manifest.subject!r}, enrolled is {now!r}", hint=hint)


def _check_stores(workspace: Workspace, manifest: Manifest) -> None:
    files = stage_dir(workspace) / FILES
    if not any(item.store == "sidecar" for item in manifest.items):
        raise BackupDamaged("there is no sidecar.db in it")
    for item in manifest.items:
        if item.store in {"sidecar", "journal", "pack"}:
            _check_database(files / item.path, item)
    entries, head = journal_head(workspace, files / "conductor/journal.db")
    if (entries, head) != (manifest.journal_entries, manifest.journal_head):
        raise BackupDamaged("its journal is not the one that its manifest names")
    if entries:
        chain = asyncio.run(_chain(workspace, files / "conductor/journal.db"))
        if chain != "OK":
            raise BackupDamaged(f"its journal's chain is {chain}")


def _check_database(path: Path, item: Item) -> None:
    known = _SCHEMAS.get(item.store)
    version = stored_version(path)
    if version is not None and known is not None and version > known_version(known):
        raise BackupTooNew(f"{item.path} has version {version}, this program knows "
                           f"{known_version(known)}")  # fmt: skip
    if problem := whole(path):
        raise BackupDamaged(f"{item.path}: {problem}")
    if item.store == "sidecar" and version == known_version("sidecar"):
        for found in inspect_file(path, budget_s=60.0).problems:
            raise BackupDamaged(f"{item.path}: {found}")


async def _chain(workspace: Workspace, path: Path) -> str:
    journal = open_journal(workspace, path)
    try:
        return (await journal.verify()).chain
    finally:
        await journal.close()


def _journal_now(workspace: Workspace) -> tuple[int, str]:
    """Return size and head of the journal that is replaced; a damaged one is replaced as well."""
    try:
        return journal_head(workspace, workspace.journal_db)
    except ConductorError:
        return 0, ""


def _check_disks(workspace: Workspace, steps: list[Step]) -> None:
    """A name can be moved on one disk only, so everything must be on that of the state."""
    here = workspace.state_dir.parent.stat().st_dev
    for step in steps:
        place = workspace.root / step.target
        found = place if place.exists() else place.parent
        if found.exists() and found.stat().st_dev != here:
            hint = "move it to the disk of .lumenflow, or restore where all is on one disk"
            raise RestoreRefused(f"{step.target} is on another disk", hint=hint)


def _journal_it(workspace: Workspace, planned: Restored, aside: Path) -> None:
    manifest = planned.manifest
    facts: dict[str, object] = {
        "backup": manifest.created, "program": manifest.program,
        "entries": manifest.journal_entries, "head": manifest.journal_head,
        "replaced_entries": planned.entries_now, "replaced_head": planned.head_now,
        "epoch": manifest.epoch, "sequence": manifest.sequence, "set_aside": aside.name,
    }  # fmt: skip
    asyncio.run(_journaled(workspace, facts))


async def _journaled(workspace: Workspace, facts: dict[str, object]) -> None:
    """Write the entry into the staged journal: it is there as soon as the journal is."""
    path = stage_dir(workspace) / FILES / "conductor/journal.db"
    journal = open_journal(workspace, path)
    try:
        await journal.append(ENTRY, "operator", facts)
    finally:
        await journal.close()
    # Empty after a commit; the journal is moved without it.
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
