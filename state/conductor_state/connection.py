"""How a SQLite file of ours is opened: privately, durably, with measured settings.

Promise: a connection from `prepare` survives a power cut for everything it committed, and its file
is readable by its owner only. Refusal: what is not a healthy database is reported, never repaired.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from conductor_state.errors import StateError, StoreIOError, state_error
from conductor_state.schema import Schema, migrate


class DatabaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the file is used; the defaults are measured, see `state/README.md`."""

    cache_kib: int = 2048
    """SQLite's page cache: memory that does not grow with the file."""
    checkpoint_pages: int = 4000
    """Pages in the write-ahead log after which they are copied into the file."""
    wal_limit_bytes: int = 32 * 1024 * 1024
    """The log is cut back to this after a burst."""
    busy_timeout_ms: int = 2000
    """How long to wait for a foreign process that reads the file."""
    close_timeout_s: float = 20.0
    group_limit: int = 1024
    """Works in one transaction at most."""


DEFAULTS = DatabaseSettings()

Connect = Callable[[Path], sqlite3.Connection]


def connect_sqlite(path: Path) -> sqlite3.Connection:
    """Open the standard library's SQLite without implicit transactions."""
    return sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def prepare(
    path: Path, schema: Schema, settings: DatabaseSettings, connect: Connect
) -> sqlite3.Connection:
    """Open or create the file, mode 0600, and bring it to the schema's version.

    Raises:
        SchemaTooNew: A newer program wrote the file.
        StateError: It cannot be opened, or is not a healthy database.
    """
    connection = None
    try:
        make_private(path)
        connection = connect(path)
        _configure(connection, settings, path)
        migrate(connection, schema, path)
    except (sqlite3.Error, OSError, StateError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise state_error(error, str(path)) from error
        if isinstance(error, OSError):
            raise StoreIOError(f"{path}: {error.strerror}") from error
        raise
    return connection


def make_private(path: Path) -> None:
    """Create the file with mode 0600 and its missing directories with 0700; narrow a wider file."""
    for directory in reversed(path.parents):
        if not directory.exists():
            directory.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _configure(connection: sqlite3.Connection, settings: DatabaseSettings, path: Path) -> None:
    connection.execute(f"PRAGMA busy_timeout = {settings.busy_timeout_ms}")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreIOError(f"{path} refuses write-ahead logging ({mode})")
    for pragma in (
        "synchronous = FULL",
        "fullfsync = ON",  # macOS: without it fsync does not reach the platter
        "checkpoint_fullfsync = ON",
        f"cache_size = -{settings.cache_kib}",
        f"wal_autocheckpoint = {settings.checkpoint_pages}",
        f"journal_size_limit = {settings.wal_limit_bytes}",
        "mmap_size = 0",
        "temp_store = MEMORY",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")
