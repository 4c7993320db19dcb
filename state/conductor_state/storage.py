"""The disk that stores stand on, and the threads that wait for it, behind one door.

Promise: `DISK` is the real one: what `write` and `rename` have done when they return, a power cut
cannot take back. Refusal: nothing here knows a table; fault suites put a disk of their own in its
place, under the same stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from conductor_state.errors import StoreIOError
from conductor_state.worker import Rounds, ThreadWorker, Worker

P = ParamSpec("P")
R = TypeVar("R")
J = TypeVar("J")

_PIECE = 1 << 20
_MAGIC = b"SQLite format 3\0"
_HEAD = 20
_FORMATS = {1, 2}
"""For SQLite, any other is a file of the future, to be read only."""


class Storage:
    """The real disk; derive from it to put another in its place."""

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open or create a database that one connection owns, without implicit transactions."""
        return sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    def connect_shared(self, path: Path) -> sqlite3.Connection:
        """Open an existing database that several processes use."""
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )

    def connect_read_only(self, path: Path) -> sqlite3.Connection:
        """Open without changing a byte of the file."""
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)

    def make_private(self, path: Path) -> None:
        """Create the file with mode 0600 and missing directories with 0700; narrow a wider file."""
        self._create(path, 0)

    def make_private_shared(self, path: Path) -> None:
        """As `make_private`, but never opens a file that exists, and follows no symbolic link.

        Closing it would drop the locks of this process's other connections, for POSIX locks
        belong to the process.
        """
        if path.is_symlink():
            raise StoreIOError(f"{path} is a symbolic link", hint=f"look at it: ls -l {path}")
        with contextlib.suppress(FileExistsError):
            self._create(path, os.O_EXCL)
        _narrow(path)

    def identity(self, path: Path) -> tuple[int, int] | None:
        """Return what tells this file from one that replaces it; None where there is none."""
        try:
            facts = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_dev, facts.st_ino

    def size(self, path: Path) -> int | None:
        """Return the length in bytes; None where there is no file."""
        return path.stat().st_size if path.exists() else None

    def head(self, path: Path, size: int) -> bytes:
        """Read the first bytes of a file."""
        with path.open("rb") as file:
            return file.read(size)

    def write(self, path: Path, data: bytes) -> None:
        """Replace a small file, mode 0600, in one step; durable."""
        draft = path.with_name(f"{path.name}.draft")
        opened = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(opened)
        draft.replace(path)
        _sync_directory(path.parent)

    def overwrite(self, path: Path, data: bytes) -> None:
        """Write over the beginning of a file; not synced."""
        with path.open("r+b") as file:
            file.write(data)

    def copy(self, path: Path, target: Path) -> None:
        """Copy a file, mode 0600; does nothing where there is none. Not synced."""
        if self.size(path) is not None:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            shutil.copyfile(path, target)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file another name in its directory, in place of what has it; durable."""
        path.rename(target)
        _sync_directory(target.parent)

    def remove(self, path: Path) -> None:
        """Remove a file. Idempotent."""
        path.unlink(missing_ok=True)

    def renew(self, path: Path) -> None:
        """Write a file's bytes over themselves and sync it; does nothing where there is none.

        After a failed sync the system may hold pages that it calls clean and that are not on the
        disk. Whoever builds on them must hand them to the disk anew.
        """
        if not self.size(path):
            return
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            place = 0
            while piece := os.pread(opened, _PIECE, place):
                place += os.pwrite(opened, piece, place)
            os.fsync(opened)
        finally:
            os.close(opened)

    def back_up(self, connection: sqlite3.Connection, target: Path) -> None:
        """Copy an open database into a new file, mode 0600."""
        self.remove(target)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        copy = sqlite3.connect(target)
        try:
            connection.backup(copy)
        finally:
            copy.close()

    def worker(self, name: str, rounds: Rounds[J]) -> Worker[J]:
        """Return what runs a database's rounds beside the event loop."""
        return ThreadWorker(name, rounds)

    def executor(self, name: str) -> Executor:
        """Return what runs one call after another beside the event loop."""
        return ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run something slow beside the event loop."""
        return await asyncio.to_thread(work, *args, **kwargs)

    def _create(self, path: Path, flags: int) -> None:
        new = not path.exists()
        for directory in reversed([folder for folder in path.parents if not folder.exists()]):
            directory.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, flags | os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        _narrow(path)
        if new:
            # Once in a file's life. The directories may be as new as the file, and no sync of
            # the file itself keeps their names.
            for directory in path.parents[:_DEPTH]:
                with contextlib.suppress(PermissionError):  # not ours, so not new either
                    _sync_directory(directory)


_DEPTH = 4
"""Levels between a workspace and its stores."""


def _narrow(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _sync_directory(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def wrong_header(path: Path, storage: Storage) -> bool:
    """Tell whether a file does not begin as a database that programs of ours may write."""
    if not storage.size(path):
        return False
    head = storage.head(path, _HEAD)
    return not head.startswith(_MAGIC) or len(head) < _HEAD or not set(head[18:20]) <= _FORMATS


DISK = Storage()
"""The disk of this machine."""
