"""apsw's connection with the face of `sqlite3.Connection`, as far as stores use it.

Errors are those of `sqlite3`, with `sqlite_errorcode` and `sqlite_errorname`. Text that is damaged
raises what the standard library raises for its default `text_factory`; another one is not asked.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import apsw

from simdisk.vfs import SimVFS

_PRIMARY = 0xFF
_OPERATIONAL = frozenset({
    apsw.SQLITE_ERROR, apsw.SQLITE_PERM, apsw.SQLITE_ABORT, apsw.SQLITE_BUSY, apsw.SQLITE_LOCKED,
    apsw.SQLITE_READONLY, apsw.SQLITE_INTERRUPT, apsw.SQLITE_IOERR, apsw.SQLITE_FULL,
    apsw.SQLITE_CANTOPEN, apsw.SQLITE_PROTOCOL, apsw.SQLITE_EMPTY, apsw.SQLITE_SCHEMA,
})  # fmt: skip
_INTEGRITY = frozenset({apsw.SQLITE_CONSTRAINT, apsw.SQLITE_MISMATCH})
_CHECKPOINT = "pragma wal_autocheckpoint ="


def translated(error: apsw.Error) -> sqlite3.Error:
    """Build the standard library's error for one of apsw."""
    code = getattr(error, "extendedresult", 0) or getattr(error, "result", 0)
    primary = code & _PRIMARY
    kind: type[sqlite3.Error]
    if primary in _OPERATIONAL:
        kind = sqlite3.OperationalError
    elif primary in _INTEGRITY:
        kind = sqlite3.IntegrityError
    else:
        kind = sqlite3.DatabaseError
    made = kind(str(error))
    if code:
        made.sqlite_errorcode = code
        made.sqlite_errorname = cast("str", apsw.mapping_result_codes.get(primary, "SQLITE"))
    return made


def _quiet(unraisable: object) -> None:
    """Pass over what SQLite passes over: apsw would print it."""


class _SpeakingSqlite3:
    """Around each call: errors are those of `sqlite3`."""

    def __enter__(self) -> None:
        self._hook, sys.unraisablehook = sys.unraisablehook, _quiet

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        sys.unraisablehook = self._hook
        if isinstance(error, apsw.Error):
            raise translated(error) from None
        if isinstance(error, UnicodeDecodeError):
            raise sqlite3.OperationalError(f"Could not decode to UTF-8: {error}") from None


class SimCursor:
    """What a statement found."""

    def __init__(self, cursor: apsw.Cursor, rowcount: int, lastrowid: int) -> None:
        self._cursor = cursor
        self.rowcount = rowcount
        self.lastrowid = lastrowid

    def __del__(self) -> None:
        # A statement that was not read to its end may fail as it is let go; nobody is told.
        with contextlib.suppress(sqlite3.Error), _SpeakingSqlite3():
            self._cursor.close(force=True)

    def fetchone(self) -> tuple[Any, ...] | None:
        with _SpeakingSqlite3():
            return self._cursor.fetchone()

    def fetchall(self) -> list[tuple[Any, ...]]:
        with _SpeakingSqlite3():
            return self._cursor.fetchall()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        with _SpeakingSqlite3():
            return next(self._cursor)


class SimConnection:
    """Made by `SimStorage`; dead when its process is."""

    def __init__(self, vfs: SimVFS, path: str, flags: int, *, exclusive: bool) -> None:
        self.text_factory: Callable[[bytes], object] = str
        self._vfs, self._life = vfs, vfs.disk.life
        self._checkpoint_pages = 1000
        with _SpeakingSqlite3():
            self._inner = apsw.Connection(path, flags=flags, vfs=vfs.name)
        vfs.disk.at_death(self._bury)
        if exclusive:
            self._inner.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._inner.set_wal_hook(self._written)

    @property
    def in_transaction(self) -> bool:
        return self._alive().in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> SimCursor:
        if sql.lower().startswith(_CHECKPOINT):
            self._checkpoint_pages = int(sql.rpartition("=")[2])
            sql = "SELECT 1"  # SQLite's own hook would take the place of ours
        return self._run(lambda inner: inner.execute(sql, parameters or None))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> SimCursor:
        return self._run(lambda inner: inner.executemany(sql, rows))

    def executescript(self, script: str) -> SimCursor:
        return self._run(lambda inner: inner.execute(script))

    def create_function(
        self, name: str, arguments: int, function: Callable[..., Any], *, deterministic: bool
    ) -> None:
        self._alive().create_scalar_function(name, function, arguments, deterministic=deterministic)

    def interrupt(self) -> None:
        self._alive().interrupt()

    def backup(self, target: SimConnection) -> None:
        with _SpeakingSqlite3(), target._alive().backup("main", self._alive(), "main") as copying:
            copying.step()

    def close(self) -> None:
        """Close; SQLite keeps quiet about a last copy of the log that failed."""
        if not self._dead:
            self._bury()

    @property
    def _dead(self) -> bool:
        return self._vfs.disk.life != self._life

    def _alive(self) -> apsw.Connection:
        if self._dead:
            raise sqlite3.OperationalError("the process is dead")
        return self._inner

    def _run(self, work: Callable[[apsw.Connection], apsw.Cursor]) -> SimCursor:
        inner = self._alive()
        with _SpeakingSqlite3():
            before = inner.total_changes()
            cursor = work(inner)
            return SimCursor(cursor, inner.total_changes() - before, inner.last_insert_rowid())

    def _written(self, inner: apsw.Connection, name: str, pages: int) -> int:
        """Copy the log into the file when it is long, as SQLite's own hook does: it may fail.

        apsw would raise that failure from the COMMIT that was successful.
        """
        if pages >= self._checkpoint_pages:
            with contextlib.suppress(apsw.Error):
                inner.wal_checkpoint(name, apsw.SQLITE_CHECKPOINT_PASSIVE)
        return int(apsw.SQLITE_OK)

    def _bury(self) -> None:
        with contextlib.suppress(sqlite3.Error), _SpeakingSqlite3():
            self._inner.close()  # by force, apsw prints what it passes over
