"""Sidekick's storage in one SQLite file, for many records and for full-text recall at any size.

Promise: a change and its audit events are one synced commit; reads never wait for a writer.
Refusal: no two writers of ours run at once, not even in two processes: SQLite's own locks would do
for that, but a checkpoint beside another process's commit can damage the log in many of the SQLite
versions in use, so writers and checkpoints take `.lock` as the file adapter does. Other programs
that write to `sidekick.db` do not know that lock: let them only read.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple, TypeVar

from conductor_packs.sidekick.storage.directory import made_root, opened_root, status_of
from conductor_packs.sidekick.storage.errors import StorageError, StoreBusy
from conductor_packs.sidekick.storage.lockfile import LOCK_WAIT_S, Held, held_lock
from conductor_packs.sidekick.storage.port import View
from conductor_packs.sidekick.storage.sqlite_file import open_reader, open_writer
from conductor_packs.sidekick.storage.sqlite_view import (
    DatabaseView,
    DatabaseWorking,
    ParsedTables,
    sqlite_errors,
)
from conductor_packs.sidekick.storage.threaded import ThreadedStoragePort, absolute
from conductor_packs.sidekick.storage.work import plain, run_job
from conductor_packs.sidekick.storage.worker import Job, Step, no_step
from conductor_sdk.clock import Clock, SystemClock

T = TypeVar("T")

DATABASE = "sidekick.db"
STEPS = ("begun", "written", "committed")
"""Up to `written` nothing happened; at `committed` everything did."""
_READERS_KEPT = 4
_CLOSE_LOCK_S = 1.0


class SqliteStoragePort(ThreadedStoragePort):
    """A `StoragePort` on `sidekick.db` in a directory. Several processes may use one."""

    def __init__(
        self,
        root_dir: Path,
        *,
        workspace: Path | None = None,
        clock: Clock | None = None,
        lock_wait_s: float = LOCK_WAIT_S,
        step: Step = no_step,
    ) -> None:
        """Touch nothing yet.

        Args:
            root_dir: Where the file is; made by the first change.
            workspace: What the directory must lie in, links followed; its parent by default.
            clock: Gives the time of audit events.
            lock_wait_s: How long a change waits for another process before `StoreBusy`.
            step: Told of `STEPS`, in the thread that writes.
        """
        root = absolute(root_dir)
        database = _Database(root, workspace or root.parent, clock or SystemClock(), step)
        super().__init__(root, database, name="sidekick-sqlite", lock_wait_s=lock_wait_s)


class _Database:
    """What happens in threads: one connection that writes, a few that read."""

    def __init__(self, root: Path, workspace: Path, clock: Clock, step: Step) -> None:
        self._root = root
        self._workspace = workspace
        self._clock = clock
        self._step = step
        self._path = root / DATABASE
        self._shown = f"{root.name}/{DATABASE}"
        self._lock = threading.Lock()
        self._file = _File(None)
        self._writing: _Writing | None = None
        self._held: Held | None = None

    def read(self, work: Callable[[View], T]) -> T:
        """Run a read in its own transaction."""
        with opened_root(self._root, self._workspace) as root:
            file = self._follow(root)
        with self._reader(file) as connection:
            if connection is not None:
                with sqlite_errors(self._shown):
                    connection.execute("BEGIN")
            try:
                return plain(work(DatabaseView(connection, file.parsed, self._shown)))
            finally:
                if connection is not None and connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def hold(self, wait_s: float) -> Generator[None]:
        """Hold the directory against every other writer."""
        with made_root(self._root, self._workspace) as root, held_lock(root, wait_s) as held:
            writing = self._writing
            if writing is not None and self._follow(root) is not writing.file:
                self._writing = None
                writing.connection.close()
            if self._writing is None:
                with sqlite_errors(self._shown):
                    connection = open_writer(self._path)
                self._writing = _Writing(self._follow(root), connection)
            self._held = held
            try:
                yield
            finally:
                self._held = None

    def perform(self, jobs: list[Job]) -> None:
        """Run the jobs one on another, in one transaction."""
        writing, held = self._writing, self._held
        if writing is None or held is None:
            raise StorageError("not held")
        connection, parsed = writing.connection, writing.file.parsed
        try:
            with sqlite_errors(self._shown):
                connection.execute("BEGIN IMMEDIATE")
            self._step("begun")
            working = DatabaseWorking(connection, parsed, self._shown)
            for job in jobs:
                draft = run_job(job, working, self._clock)
                if draft is not None:
                    working.apply(draft)
            kept = working.raised()
            self._step("written")
            if not held.still_ours():
                raise StoreBusy("the lock file was removed while it was held")  # noqa: TRY301  # undone like any failure
            with sqlite_errors(self._shown):
                connection.execute("COMMIT")
            self._step("committed")
        except BaseException:
            self._writing = None
            # Closing undoes what was begun; the next group opens the file anew.
            connection.close()
            raise
        for name, table in kept.items():
            parsed.keep(name, table)

    def close(self) -> None:
        """Close everything.

        The last connection moves the log into the file, so it needs the lock.
        """
        with self._lock:
            file, self._file = self._file, _File(None)
            file.drop()
        writing, self._writing = self._writing, None
        if writing is not None:
            with contextlib.ExitStack() as stack:
                # Without the lock it is closed all the same; SQLite moves the log only where it
                # is alone with the file.
                with contextlib.suppress(StorageError):
                    root = stack.enter_context(made_root(self._root, self._workspace))
                    stack.enter_context(held_lock(root, _CLOSE_LOCK_S))
                writing.connection.close()

    @contextlib.contextmanager
    def _reader(self, file: _File) -> Generator[sqlite3.Connection | None]:
        with self._lock:
            connection = file.readers.pop() if file.readers else None
        lasting = connection is not None
        if connection is None and file.inode is not None:
            with sqlite_errors(self._shown):
                connection, lasting = open_reader(self._path)
        try:
            yield connection
        finally:
            if connection is not None:
                with self._lock:
                    kept = lasting and file is self._file and len(file.readers) < _READERS_KEPT
                    if kept:
                        file.readers.append(connection)
                if not kept:
                    connection.close()

    def _follow(self, root: int | None) -> _File:
        """Return what is known of the file; nothing is where it is another one, or none."""
        found = status_of(root, DATABASE) if root is not None else None
        inode = found.inode if found is not None else None
        with self._lock:
            if inode != self._file.inode:
                self._file.drop()
                self._file = _File(inode)
            return self._file


class _File:
    """One file at the database's name, as long as it is that one."""

    def __init__(self, inode: int | None) -> None:
        self.inode = inode
        self.parsed = ParsedTables()
        self.readers: list[sqlite3.Connection] = []

    def drop(self) -> None:
        """Close the connections that nobody uses."""
        while self.readers:
            self.readers.pop().close()


class _Writing(NamedTuple):
    file: _File
    connection: sqlite3.Connection
