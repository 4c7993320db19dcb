"""How a SQLite file of ours is opened: privately, durably, with measured settings.

Promise: a connection from `prepare` survives a power cut for everything it committed, and its file
is readable by its owner only. Refusal: what is not a healthy database is reported, never repaired.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec

from conductor_state.errors import StateError, StoreCorrupt, StoreIOError, state_error
from conductor_state.schema import Schema, migrate
from conductor_state.storage import DISK, Storage


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
    return DISK.connect(path)


def prepare(
    path: Path,
    schema: Schema,
    settings: DatabaseSettings,
    connect: Connect | None = None,
    storage: Storage = DISK,
) -> sqlite3.Connection:
    """Open or create the file, mode 0600, and bring it to the schema's version.

    A write-ahead log that another process left behind is handed to the disk again before anything
    is built on it: that process may have died of a sync that failed.

    Raises:
        SchemaTooNew: A newer program wrote the file.
        StateError: It cannot be opened, or is not a healthy database.
    """
    connection = None
    try:
        storage.make_private(path)
        storage.renew(path.with_name(f"{path.name}-wal"))
        connection = (connect or storage.connect)(path)
        _configure(connection, settings, path)
        migrate(connection, schema, path, storage)
    except (sqlite3.Error, *UNREADABLE, OSError, StateError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error | UnicodeError):
            raise damage_or_error(error, str(path)) from error
        if isinstance(error, OSError):
            raise StoreIOError(f"{path}: {error.strerror}") from error
        raise
    return connection


def damage_or_error(error: Exception, where: str) -> StateError:
    """Translate what one of our statements failed with.

    Statements are fixed and rows are ours, so what SQLite cannot make sense of is damage.
    """
    if not isinstance(error, sqlite3.Error):
        return StoreCorrupt(f"{where}: {type(error).__name__}: {error}")
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF in _DAMAGE:
        return StoreCorrupt(f"{where}: {error}")
    return state_error(error, where)


UNREADABLE = (msgspec.MsgspecError, struct.error, UnicodeDecodeError)
"""What unpacking a row raises when it is not what was stored; or SQLite's own words about it."""
_DAMAGE = frozenset({
    sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_MISMATCH,
})  # fmt: skip


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
