"""Opening `sidekick.db`.

Promise: the file is private (0600) from its first moment, writes are synced (`synchronous=FULL`),
and its tables are those of the newest version. Refusal: a reader makes no database and no table; a
database of a newer version is left alone.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from conductor_packs.sidekick.storage.errors import StorageError, StoreUnsafe
from conductor_packs.sidekick.storage.statements import statements

VERSION = 1
_BUSY_S = 10.0
"""For the moments in which SQLite itself locks out a reader, as while it recovers a log."""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file to write; made and migrated where needed. The lock must be held.

    Raises:
        StoreUnsafe: It is a symbolic link.
        StorageError: It is of a newer version.
        sqlite3.Error: It cannot be opened.
    """
    _create(path)
    connection = _connect(path, "rw")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> tuple[sqlite3.Connection | None, bool]:
    """Open the file to read; None where it has no tables yet. Also tells whether to keep it open.

    SQLite makes its own `-shm` file beside the database. Where it cannot, as in a directory that
    may not be written, a file whose log is empty is read as it stands; such a connection would not
    see later changes, so it is for one read.

    Raises:
        StorageError: It is of a newer version.
        sqlite3.Error: It cannot be opened.
    """
    lasting = True
    connection = _connect(path, "ro")
    try:
        version = _version(connection)
    except sqlite3.OperationalError:
        connection.close()
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size > 0:
            raise
        connection, lasting = _connect(path, "ro", "&immutable=1"), False
        version = _version(connection)
    except BaseException:
        connection.close()
        raise
    if version == 0 or version > VERSION:
        connection.close()
        _known(version, path)
        return None, False
    return connection, lasting


def _create(path: Path) -> None:
    """Make an empty file by hand, so that it never exists with a wider mode, and is no link."""
    try:
        # Only a file that is not there: closing a descriptor of one that SQLite has open would
        # give up the locks of this whole process on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise StoreUnsafe(f"{path.name} is no regular file") from None
    except OSError as error:
        raise StorageError(f"{path.name}: {error.strerror}") from error


def _connect(path: Path, mode: str, more: str = "") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}{more}", uri=True, timeout=_BUSY_S,
        isolation_level=None, check_same_thread=False,
    )  # fmt: skip


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute(statements("sqlite")["version"]).fetchone()[0])


def _known(version: int, path: Path) -> None:
    if version > VERSION:
        raise StorageError(
            f"{path.name} is of version {version}, this program knows {VERSION}",
            hint="use the program that made it, or a newer one",
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    _known(version, path)
    if version == 0:
        sql = statements("sqlite")
        connection.execute("BEGIN IMMEDIATE")
        for name in ("create_records", "create_audit", "create_generations"):
            connection.execute(sql[name])
        connection.execute(statements("fulltext")["create_text"])
        connection.execute(sql["set_version_1"])
        connection.execute("COMMIT")
