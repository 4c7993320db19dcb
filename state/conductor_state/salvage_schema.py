"""Reading a damaged database whose header or schema is damaged.

Promise: the header and the schema of a copy are made what this program writes, so that the rows,
which do not depend on them, can be read; the file itself is not changed. Refusal: no page but the
first is written by hand, and where a table stands is never guessed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

from conductor_state.storage import Storage

PAGE = 4096
"""Bytes of a page of ours: the default of SQLite since 2016."""
_BEGINNING = b"SQLite format 3\0" + PAGE.to_bytes(2, "big") + bytes((2, 2, 0, 64, 32, 32))
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError)


def schema_of(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the statement of each table, in order of creation."""
    return dict(
        connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
    )


def readable(
    path: Path, tables: Mapping[str, str], version: int, storage: Storage
) -> sqlite3.Connection:
    """Open a damaged file for reading; where its header or schema is damaged, a mended copy of it.

    The copy stands beside it as `<name>.reading` until `forget`.

    Args:
        path: The file, with its write-ahead log beside it.
        tables: The statement of each table that it should have.
        version: The version of the schema that these statements are.
        storage: The disk.
    """
    connection = storage.connect_read_only(path)
    if _speaks(connection, tables, version):
        return connection
    connection.close()
    copy = _copy_name(path)
    forget(path, storage)
    for suffix in ("", "-wal"):
        storage.copy(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
    storage.overwrite(copy, _mended(storage.head(copy, 100), storage.size(copy) or 0))
    with suppress(*_UNREADABLE), closing(storage.connect(copy)) as mending:
        _mend_schema(mending, tables)
    return storage.connect_read_only(copy)


def forget(path: Path, storage: Storage) -> None:
    """Remove the mended copy of a file, if there is one."""
    copy = _copy_name(path)
    for suffix in ("", "-wal", "-shm"):
        storage.remove(copy.with_name(copy.name + suffix))


def _copy_name(path: Path) -> Path:
    return path.with_name(f"{path.name}.reading")


def _speaks(connection: sqlite3.Connection, tables: Mapping[str, str], version: int) -> bool:
    """Tell whether the schema is what it should be, or an older one that can be read."""
    try:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return schema_of(connection) == dict(tables) or 0 < found < version
    except _UNREADABLE:
        return False


def _mended(header: bytes, size: int) -> bytes:
    """Return the header of a file of ours that is `size` bytes long."""
    mended = bytearray(header.ljust(100, b"\0"))
    mended[: len(_BEGINNING)] = _BEGINNING
    mended[28:32] = (size // PAGE).to_bytes(4, "big")
    mended[32:40] = bytes(8)  # free pages: nobody writes to this copy
    mended[44:48] = (4).to_bytes(4, "big")
    mended[52:56] = bytes(4)
    mended[56:60] = (1).to_bytes(4, "big")
    mended[64:92] = bytes(28)
    mended[92:96] = mended[24:28]
    return bytes(mended)


def _mend_schema(connection: sqlite3.Connection, tables: Mapping[str, str]) -> None:
    """Give each table its own statement back, wherever its name or its statement can be read."""
    connection.execute("PRAGMA writable_schema = ON")  # what cannot be parsed is passed over
    for name, statement in tables.items():
        connection.execute(
            "UPDATE sqlite_master SET type = 'table', name = ?1, tbl_name = ?1, sql = ?2 "
            "WHERE rootpage > 0 AND sql IS NOT ?2 AND name = ?1 "
            "OR sql = ?2 AND (name IS NOT ?1 OR tbl_name IS NOT ?1 OR type IS NOT 'table')",
            (name, statement),
        )
    # Rows are read in the order of their tables; an index that is damaged is in nobody's way.
    connection.execute("DELETE FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
