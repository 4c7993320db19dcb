"""Folders that a pack keeps in the workspace under a lock of its own.

Promise: while a folder is held nobody who respects its lock changes it, so a copy is of one moment.
Refusal: no link is followed, and what the files mean is the pack's business.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from conductor_sdk.workspace import Workspace
from conductor_sidecar.restoring.errors import BackupFailed, FolderBusy

LOCK = ".lock"
FOLDERS = (".sidekick",)
"""Below the workspace; each has its lock in `.lock`."""
WAIT_S = 10.0
PAUSE_S = 0.02


def folders_of(workspace: Workspace) -> list[Path]:
    """Return the folders that are there; a link to another place is not one."""
    found = [workspace.root / name for name in FOLDERS]
    return [path for path in found if path.is_dir() and not path.is_symlink()]


@contextlib.contextmanager
def held(folder: Path, wait_s: float = WAIT_S) -> Generator[None]:
    """Hold a folder's lock for the length of a block.

    Raises:
        FolderBusy: Somebody else still had it after `wait_s`.
        BackupFailed: The lock cannot be opened.
    """
    end = time.monotonic() + wait_s
    while True:
        opened = _open(folder / LOCK)
        try:
            if _taken(opened) and _same(folder / LOCK, opened):
                yield
                return
        finally:
            os.close(opened)
        if time.monotonic() >= end:
            raise FolderBusy(str(folder))
        time.sleep(PAUSE_S)


def entries(folder: Path) -> list[str]:
    """Return the names directly in a folder, without its lock; sorted."""
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def copy_held(folder: Path, target: Path) -> None:
    """Copy a folder whose lock is held: plain files and directories, nothing else."""
    for path in _files(folder):
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(path, copy, follow_symlinks=False)
        copy.chmod(0o600)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        # SQLite makes its shared memory anew from the log beside it.
        plain = stat.S_ISREG(path.lstat().st_mode) and not path.name.endswith("-shm")
        if plain and path != folder / LOCK:
            yield path


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise BackupFailed(f"{path}: {error.strerror}") from None


def _taken(opened: int) -> bool:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(path: Path, opened: int) -> bool:
    """Whoever removes a lock file must not make two holders."""
    try:
        named, mine = path.lstat(), os.fstat(opened)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)
