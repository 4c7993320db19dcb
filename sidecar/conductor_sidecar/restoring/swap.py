"""Putting restored files in place: all of them, or none.

First everything is staged below `.lumenflow/state/restoring`, checked and synced. Then
`intent.json` is written there in one step: that decides. Then every file of now is moved to a
directory of its own and the staged one takes its name; each step can be repeated, and whoever
opens the stores next repeats what a crash has left.

Promise: before the intent nothing of the workspace has changed, after it everything will. Refusal:
nothing is deleted: what was there stays in `.lumenflow/state/before-restore-<time>`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import msgspec

from conductor_sdk.workspace import Workspace
from conductor_sidecar.restoring import folders
from conductor_sidecar.restoring.errors import BackupDamaged
from conductor_state.errors import StateError
from conductor_state.private_file import write_private
from conductor_state.shared_file import SharedFile

STAGE = "restoring"
INTENT = "intent.json"
FILES = "files"
COMPANIONS = ("-wal", "-journal", "-shm")
"""What SQLite keeps beside a database; beside another one they would be played into it."""
LEFTOVERS = (
    "sidecar.db.suspect", "sidecar.db.salvaged", "sidecar.db.salvaged.json",
    "sidecar.db.salvaging",
)  # fmt: skip
"""Words of the present `sidecar.db` for its next start; they are not about the restored one."""
CREDENTIALS = ("enrollment.json", "enrollment.next.json", "http.token", "http-credentials.json")
"""Each belongs to the others: all come from a backup, or none."""
JOURNAL_WAIT_S = 10.0


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file or directory. All paths are relative to the workspace."""

    target: str
    aside: str
    """Where what is there now goes."""
    staged: str | None = None
    """What takes its name; None: nothing does."""


class Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided."""

    aside: str
    steps: list[Step]


def stage_dir(workspace: Workspace) -> Path:
    """Return where a restore is prepared."""
    return workspace.state_dir.parent / STAGE


def aside_dir(workspace: Workspace, stamp: str) -> Path:
    """Return a new name for what is there now."""
    place = workspace.state_dir.parent
    number, target = 0, place / f"before-restore-{stamp}"
    while target.exists():
        number += 1
        target = place / f"before-restore-{stamp}-{number}"
    return target


def plan_steps(workspace: Workspace, aside: Path, *, with_credential: bool) -> list[Step]:
    """Say what takes the place of what; the journal comes first."""
    files, state = stage_dir(workspace) / FILES, workspace.state_dir
    targets: list[tuple[Path | None, Path]] = [
        (files / "conductor/journal.db", workspace.journal_db),
        (files / "conductor/sidecar.db", workspace.sidecar_db),
        *((None, state / name) for name in LEFTOVERS),
    ]
    packs = {path.name for place in (workspace.packs_dir, files / "packs")
             for path in place.glob("*.db")}  # fmt: skip
    targets += [(files / "packs" / name, workspace.packs_dir / name) for name in sorted(packs)]
    if with_credential:
        targets += [(files / "conductor" / name, state / name) for name in CREDENTIALS]
    return [
        *(_step(workspace, staged, target, aside / target.parent.name / target.name)
          for staged, target in targets),
        *_folder_steps(workspace, files / "folders", aside / "folders"),
    ]  # fmt: skip


def _folder_steps(workspace: Workspace, staged: Path, aside: Path) -> Iterator[Step]:
    for name in folders.FOLDERS:
        now, new = workspace.root / name, staged / name
        if now.is_symlink() or not (now.exists() or new.exists()):
            continue  # a link leads to files that are somebody else's
        names = {
            entry for place in (now, new) if place.exists() for entry in folders.entries(place)
        }
        for entry in sorted(names):
            yield _step(workspace, new / entry, now / entry, aside / name / entry)


def _step(workspace: Workspace, staged: Path | None, target: Path, place: Path) -> Step:
    def relative(path: Path) -> str:
        return str(path.relative_to(workspace.root))

    # There will be a journal in any case: its last entry tells of the restore.
    is_staged = staged is not None and (staged.exists() or target == workspace.journal_db)
    return Step(
        relative(target), relative(place), relative(staged) if staged and is_staged else None
    )


def decide(workspace: Workspace, intent: Intent) -> None:
    """Write the intent, durably; from here on the restore happens.

    Raises:
        OSError: It could not be written, and nothing happens.
    """
    for directory in {path.parent for path in (stage_dir(workspace) / FILES).rglob("*")}:
        sync_directory(directory)
    write_private(stage_dir(workspace) / INTENT, msgspec.json.encode(intent))
    sync_directory(workspace.state_dir.parent)


def finish_restore(workspace: Workspace, crash_point: Callable[[str], None]) -> Path | None:
    """Do what was decided; the caller holds the workspace's lock.

    Returns:
        Where the files of before are; None: nothing was decided. What was staged without a
        decision is removed.

    Raises:
        BackupDamaged: The intent cannot be read.
        OSError: The system refused; the next call goes on.
    """
    stage = stage_dir(workspace)
    try:
        data = (stage / INTENT).read_bytes()
    except FileNotFoundError:
        if stage.is_dir() and not stage.is_symlink():
            shutil.rmtree(stage, ignore_errors=True)
        return None
    try:
        intent = msgspec.json.decode(data, type=Intent)
    except msgspec.DecodeError as error:
        raise BackupDamaged(f"{stage / INTENT}: {error}", hint=f"look at it: {stage}") from None
    _apply(workspace, intent, crash_point)
    aside = workspace.root / intent.aside
    (stage / INTENT).rename(aside / "restore.json")
    crash_point("restore.done")
    shutil.rmtree(stage, ignore_errors=True)
    sync_directory(workspace.state_dir.parent)
    return aside


def _apply(workspace: Workspace, intent: Intent, crash_point: Callable[[str], None]) -> None:
    (workspace.root / intent.aside).mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for name in folders.FOLDERS:
            if any(step.target.startswith(f"{name}/") for step in intent.steps):
                folder = workspace.root / name
                folder.mkdir(mode=0o700, exist_ok=True)
                stack.enter_context(folders.held(folder))
        for number, step in enumerate(intent.steps):
            target = workspace.root / step.target
            with _journal_held(target) if target == workspace.journal_db else _nobody():
                _do(workspace.root, step)
            crash_point(f"restore.step.{number}")


def _do(root: Path, step: Step) -> None:
    """Move one thing aside and the staged one into its place; nothing when that is done."""
    target, aside = root / step.target, root / step.aside
    staged = None if step.staged is None else root / step.staged
    if staged is not None and not staged.exists():
        return
    if staged is None and aside.exists():
        return
    aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for suffix in COMPANIONS:
        companion = target.with_name(target.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    if target.exists():
        target.rename(_free(aside))
    if staged is not None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged.rename(target)
        sync_directory(staged.parent)
    sync_directory(aside.parent)
    sync_directory(target.parent)


def _free(path: Path) -> Path:
    number, free = 0, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free


@contextlib.contextmanager
def _journal_held(path: Path) -> Generator[None]:
    """Keep other processes from appending to a journal that is being moved away."""
    if not path.exists():
        yield
        return
    file = SharedFile(path, timeout_s=JOURNAL_WAIT_S)
    try:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file.writing())
            except StateError as error:
                if error.retryable:
                    raise
                # It is damaged: nobody can append to it either.
            yield
    finally:
        file.close()


@contextlib.contextmanager
def _nobody() -> Generator[None]:
    """Hold nothing: only the owner of the lock has these files."""
    yield


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
