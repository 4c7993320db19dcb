"""A SQLite file that several processes write: opening it, waiting for it, its transactions.

Promise: a write transaction holds the lock before it reads, its COMMIT is durable, and a waiting
process gets its turn. Refusal: reading never creates the file, a lock is not waited for beyond
the bound, and the write-ahead log is not used: common SQLite versions can corrupt it when
processes share a file.

Not shared between threads.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from conductor_state.errors import StoreIOError
from conductor_state.journal_errors import (
    JournalBusy,
    JournalCorrupt,
    JournalMissing,
    is_busy,
    journal_error,
)
from conductor_state.storage import DISK, Storage

T = TypeVar("T")

_PAUSE_FIRST_S = 0.012
_PAUSE_LAST_S = 0.001
_NOT_TEXT = "Could not decode to UTF-8"
"""How Python says, without a code, that bytes in a column are no text."""
_PRAGMAS = (
    "busy_timeout = 0",  # `_patiently` waits instead, fairly
    "synchronous = FULL",  # with TRUNCATE the end of the rollback journal is synced as well
    "fullfsync = ON",  # macOS: without it fsync does not reach the platter
    "cache_size = -1024",
    "mmap_size = 0",
    "temp_store = MEMORY",
    "trusted_schema = OFF",
    "foreign_keys = ON",
)


class SharedFile:
    """Opens at first use, and again when the file was replaced or removed meanwhile."""

    def __init__(self, path: Path, *, timeout_s: float, storage: Storage = DISK) -> None:
        self.path = path
        self._storage = storage
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._giving_up = threading.Event()

    def give_up(self) -> None:
        """Stop waiting for locks, from any thread: the owner is closing."""
        self._giving_up.set()

    def close(self) -> None:
        """Release the file. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextlib.contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Hold the write lock of the file that is at the path now; commit at the end.

        Creates the file, mode 0600, where it is missing.

        Raises:
            JournalBusy: No turn within the bound.
            StateError: Nothing was written.
        """
        with self._translated():
            connection = self._locked()
            try:
                yield connection
                # Whoever is in the way now can only be reading, and no new reader gets in.
                self._patiently(partial(connection.execute, "COMMIT"), _PAUSE_LAST_S)
            except BaseException:
                _undo(connection)
                raise

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one state of the file; more than once if a writer was in the way.

        Raises:
            JournalMissing: There is no file.
            JournalBusy: No turn within the bound.
        """

        def attempt() -> T:
            connection = self._opened(create=False)
            try:
                connection.execute("BEGIN")
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                _undo(connection)
                raise
            return result

        with self._translated():
            return self._patiently(attempt)

    def _locked(self) -> sqlite3.Connection:
        while True:
            connection = self._opened(create=True)
            self._patiently(partial(connection.execute, "BEGIN IMMEDIATE"))
            if self._inode == self._storage.identity(self.path):
                return connection
            _undo(connection)  # the file was replaced while we waited: look again

    def _opened(self, *, create: bool) -> sqlite3.Connection:
        if self._connection is not None and self._inode == self._storage.identity(self.path):
            return self._connection
        self.close()
        if create:
            self._storage.make_private_shared(self.path)
        inode = self._storage.identity(self.path)
        if inode is None:
            raise JournalMissing(str(self.path))
        connection = self._storage.connect_shared(self.path)
        try:
            connection.text_factory = _decode
            self._patiently(partial(_configure, connection))
        except BaseException:
            connection.close()
            raise
        self._connection, self._inode = connection, inode
        return connection

    def _patiently(self, work: Callable[[], T], pause_s: float = _PAUSE_FIRST_S) -> T:
        """Ask until the file is free, at most `timeout_s` of waiting in all.

        Who has waited longer asks more often, so newcomers cannot overtake for ever.
        """
        waited_s = 0.0
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            if waited_s >= self._timeout_s or self._giving_up.is_set():
                raise JournalBusy(f"{self.path}, after {waited_s:.1f} s")
            span_s = pause_s * random.uniform(0.5, 1.5)  # noqa: S311  spreads callers, no secret
            self._giving_up.wait(span_s)
            waited_s += span_s
            pause_s = max(_PAUSE_LAST_S, pause_s * 0.9)

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise journal_error(error, str(self.path)) from error
        except UnicodeDecodeError:  # in a message that names a part of the schema
            raise JournalCorrupt(f"{self.path}: the schema is not text") from None
        except OSError as error:
            raise StoreIOError(f"{self.path}: {error.strerror}") from error


def _configure(connection: sqlite3.Connection) -> None:
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    mode = connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()[0]
    if mode != "truncate":
        raise JournalCorrupt(f"it keeps its journal mode {mode}")


def fetch_rows(
    connection: sqlite3.Connection, query: str, values: Sequence[object]
) -> list[tuple[Any, ...]]:
    """Run a query; text that is sound is decoded at the speed of C, damaged text comes escaped."""
    connection.text_factory = str
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if not str(error).startswith(_NOT_TEXT):
            raise
    finally:
        connection.text_factory = _decode
    return connection.execute(query, values).fetchall()


def _undo(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _decode(data: bytes) -> str:
    """Read text that may be damaged: it must reach whoever judges it, not stop the reading."""
    return data.decode("utf-8", "surrogateescape")
