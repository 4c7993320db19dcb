"""Copies of open databases: one state of each, in a file of its own that needs no other.

Promise: a copy holds exactly what was committed at one moment, is synced and mode 0600 when the
call returns, and a failed call leaves no file. Refusal: no second connection to `sidecar.db`: its
copy is made by the connection that owns it.

While pages are copied, works of that database wait: 0.4 to 0.6 s for 136 MB on a busy machine.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from conductor_state.database import Database
from conductor_state.errors import StateError, StoreCorrupt, StoreIOError, state_error
from conductor_state.inspection import BUDGET_S, Inspection, inspect, whole
from conductor_state.shared_file import SharedFile


class SnapshotFailed(StateError):
    """A copy of a database could not be written."""

    code = "SNAPSHOT_FAILED"
    retryable = True
    default_hint = "make room, then run it again: df -h"


class SqliteVault:
    """Looks into the open `sidecar.db`, and copies it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def inspect(self, budget_s: float = BUDGET_S) -> Inspection:
        """Look whether the file is whole and the counters are right; nothing is changed."""
        return await self._database.read(lambda connection: inspect(connection, budget_s))

    async def copy(self, target: Path) -> None:
        """Copy everything that is committed into a new file.

        Works wait while pages are copied, not while the copy is looked through and synced.

        Raises:
            SnapshotFailed: There is no room, or no way; no file is left.
            StoreCorrupt: What was copied is not whole.
        """
        await self._database.read(
            lambda connection: _made(target, lambda: _copy(connection, target))
        )
        await asyncio.to_thread(_made, target, lambda: _prove(target))


def copy_owned(path: Path, target: Path) -> None:
    """Copy a `sidecar.db` that nobody has open; the caller holds the workspace's lock.

    Raises:
        SnapshotFailed: As `SqliteVault.copy`.
        StoreCorrupt: As `SqliteVault.copy`.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            copy_open(connection, target)
    except sqlite3.Error as error:
        raise state_error(error, str(path)) from error


def copy_shared(path: Path, target: Path, *, timeout_s: float = 10.0) -> None:
    """Copy a database that several processes share; writers wait meanwhile.

    Raises:
        JournalBusy: No turn within the time.
        SnapshotFailed: As `SqliteVault.copy`.
        StoreCorrupt: As `SqliteVault.copy`.
    """
    file = SharedFile(path, timeout_s=timeout_s)
    try:
        file.read(lambda connection: _copy_locked(connection, target))
    finally:
        file.close()


def _copy_locked(connection: sqlite3.Connection, target: Path) -> None:
    # Here a busy file is waited for with a bound; the copying itself would wait for ever.
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    copy_open(connection, target)


def copy_open(source: sqlite3.Connection, target: Path) -> None:
    """Copy through an open connection that is inside of no write; raises as `SqliteVault.copy`."""
    _made(target, lambda: _copy(source, target))
    _made(target, lambda: _prove(target))


def _made(target: Path, step: Callable[[], None]) -> None:
    """Do a step of a copy; where it fails no file is left."""
    try:
        step()
    except FileExistsError as error:
        raise SnapshotFailed(f"{target} is there already") from error
    except BaseException as error:
        for suffix in ("", "-journal", "-wal", "-shm"):
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        match error:
            case sqlite3.Error():
                raise SnapshotFailed(f"{target}: {error}") from error
            case OSError():
                raise SnapshotFailed(f"{target}: {error.strerror}") from error
            case _:
                raise


def _copy(source: sqlite3.Connection, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("PRAGMA synchronous = OFF")  # synced as a whole afterwards
        source.backup(copy)
        # The copy says that it keeps a log beside it; alone it is complete.
        mode = copy.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        if mode != "delete":
            raise StoreIOError(f"{target} keeps its journal mode {mode}")


def _prove(target: Path) -> None:
    if problem := whole(target):
        raise StoreCorrupt(f"the copy in {target}: {problem}")
    _sync(target)


def _sync(path: Path) -> None:
    for place, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        opened = os.open(place, flags | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
