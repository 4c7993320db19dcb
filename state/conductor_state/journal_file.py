"""The journal's tables in `journal.db`: append, head and pages, one thread, one connection.

Promise: an append reads the head and writes the next entries under one write lock, and returns
when a power cut could not take them back. Refusal: nothing is appended to a log whose own record
contradicts its last entry; that is for `conductor log verify` and a person to look at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, cast

import msgspec

from conductor_sdk.chain.batch import Row, as_entry
from conductor_sdk.chain.entry import Entry, Head, Prepared, genesis
from conductor_state.errors import SchemaTooNew, state_error
from conductor_state.journal_errors import JournalCorrupt, JournalMissing
from conductor_state.journal_transaction import JournalTransaction, JournalView
from conductor_state.queries import load_queries
from conductor_state.schema import VERSION_MAX, load_schema
from conductor_state.shared_file import SharedFile, fetch_rows
from conductor_state.storage import DISK, Storage
from conductor_state.vitals import FAULTS

T = TypeVar("T")


class Page(msgspec.Struct, frozen=True):
    """Entries and what the log says of itself, from one state of the file."""

    entries: list[Entry]
    log_id: str
    """"" when the file holds no log at all, or the log has lost its name."""
    recorded: Head | None
    """None when the log does not say."""


class Rows(msgspec.Struct, frozen=True):
    """As `Page`, with the rows as they are stored."""

    rows: list[Row]
    log_id: str
    recorded: Head | None


class _OfTheCaller(Exception):
    """Carries an SQL error of the caller's statements past the ones that are the journal's."""


class JournalFile:
    """What the worker thread of a journal does."""

    def __init__(
        self,
        path: Path,
        *,
        timeout_s: float,
        make_log_id: Callable[[], str],
        crash_point: Callable[[str], None],
        storage: Storage = DISK,
    ) -> None:
        self._path = path
        self._file = SharedFile(path, timeout_s=timeout_s, storage=storage)
        self._make_log_id = make_log_id
        self._crash_point = crash_point
        self._queries = load_queries("journal")
        self._schema = load_schema("journal")

    def give_up(self) -> None:
        """Stop waiting for locks, from any thread: the owner is closing."""
        self._file.give_up()

    def close(self) -> None:
        """Release the file. Idempotent."""
        self._file.close()

    def create(self) -> None:
        """Make the file and its log where they are missing; durable when this returns."""
        with self._file.writing() as connection:
            self._migrate(connection)

    def append(self, drafts: Sequence[Prepared], now: Callable[[], str]) -> list[Entry]:
        """Append in one commit; creates the file where it is missing.

        Args:
            drafts: What to append, in order; at least one.
            now: Asked under the lock, so that times grow with sequences on a steady clock.

        Raises:
            JournalCorrupt: The log's record of itself is not where its last entry is.
            JournalBusy: No turn within the bound.
            StateError: Nothing was appended.
        """

        def work(transaction: JournalTransaction) -> list[Entry]:
            self._crash_point("journal.begun")
            entries = transaction.append_prepared(drafts)
            self._crash_point("journal.inserted")
            return entries

        return self.transaction(work, now)

    def transaction(self, work: Callable[[JournalTransaction], T], now: Callable[[], str]) -> T:
        """Run statements and appends in one commit; durable when this returns.

        An exception of `work` rolls everything back and is raised as it is, one of its own SQL
        statements included. Creates the file where it is missing.

        Raises:
            JournalCorrupt: As `append`.
            JournalBusy: As `append`.
            StateError: Nothing was written.
        """
        try:
            with self._file.writing() as connection:
                self._migrate(connection)
                log_id, head = self._head(connection)
                transaction = JournalTransaction(
                    connection, log_id, head, self._queries, now, str(self._path)
                )
                try:
                    result = work(transaction)
                except sqlite3.Error as error:
                    if isinstance(state_error(error, ""), FAULTS):
                        raise  # the disk's or the file's, whoever's statement met it
                    raise _OfTheCaller from error
        except _OfTheCaller as carrier:
            raise cast("sqlite3.Error", carrier.__cause__) from None
        self._crash_point("journal.committed")
        return result

    def view(self, work: Callable[[JournalView], T]) -> T:
        """Run `work` on one state of the file; more than once if a writer was in the way.

        Raises:
            JournalMissing: There is no file.
            JournalCorrupt: It cannot be read.
        """

        def read(connection: sqlite3.Connection) -> T:
            found = self._log(connection) if self._version(connection) else None
            log_id = found[0] if found is not None and _is_text(found[0]) else ""
            return work(JournalView(connection, log_id, self._queries))

        return self._file.read(read)

    def head(self) -> Head:
        """Return the last entry's place and hash.

        Raises:
            JournalMissing: There is no file, or no log in it.
            JournalCorrupt: The log's record of itself is not where its last entry is.
        """
        return self._file.read(self._read_head)

    def page(self, after: int, limit: int) -> Page:
        """Read entries after a sequence; an empty file gives an empty page without a log id.

        Raises:
            JournalMissing: There is no file.
            JournalCorrupt: It cannot be read.
        """
        return self._file.read(lambda connection: self._select(connection, "page", after, limit))

    def rows(self, after: int, limit: int) -> Rows:
        """Read entries after a sequence as rows: for walks over all of them.

        Raises:
            JournalMissing: There is no file.
            JournalCorrupt: It cannot be read.
        """
        return self._file.read(lambda connection: self._rows(connection, "page", after, limit))

    def located(self, digest: str, below: int) -> int | None:
        """Return the last sequence below one whose entry has this hash; None where there is none.

        Raises:
            StateError: It cannot be read.
        """

        def find(connection: sqlite3.Connection) -> int | None:
            found = connection.execute(self._queries["located"], (digest, below)).fetchone()
            return cast("int | None", found[0])

        return self._file.read(find) if digest.isascii() else None

    def latest(self, limit: int) -> Page:
        """Read the newest entries, in order, without judging the log.

        Raises:
            JournalMissing: There is no file.
            JournalCorrupt: It cannot be read.
        """
        page = self._file.read(lambda connection: self._select(connection, "latest", limit))
        return Page(page.entries[::-1], page.log_id, page.recorded)

    def _select(self, connection: sqlite3.Connection, query: str, *values: int) -> Page:
        found = self._rows(connection, query, *values)
        return Page(
            [as_entry(row, found.log_id) for row in found.rows], found.log_id, found.recorded
        )

    def _rows(self, connection: sqlite3.Connection, query: str, *values: int) -> Rows:
        if self._version(connection) == 0:
            return Rows([], "", None)
        name, size, head = self._log(connection) or (None, None, None)
        log_id = name if _is_text(name) else ""
        recorded = Head(size, head) if isinstance(size, int) and isinstance(head, str) else None
        rows = fetch_rows(connection, self._queries[query], values)
        return Rows(rows, log_id, recorded)

    def _read_head(self, connection: sqlite3.Connection) -> Head:
        if self._version(connection) == 0:
            raise JournalMissing(f"{self._path} is empty")
        return self._head(connection)[1]

    def _head(self, connection: sqlite3.Connection) -> tuple[str, Head]:
        log_id, size, digest = self._log(connection) or ("", 0, "")
        if not _is_text(log_id):
            raise JournalCorrupt(f"{self._path} has lost its name")
        last = connection.execute(self._queries["last"]).fetchone()
        head = Head(0, genesis(log_id)) if last is None else Head(*last)
        if head != Head(size, digest):
            detail = f"{self._path} records {size} entries, its last one is {head.size}"
            raise JournalCorrupt(detail)
        return log_id, head

    def _log(self, connection: sqlite3.Connection) -> tuple[Any, Any, Any] | None:
        found = connection.execute(self._queries["log"]).fetchone()
        return cast("tuple[Any, Any, Any] | None", found)

    def _version(self, connection: sqlite3.Connection) -> int:
        found: int = connection.execute(self._queries["version"]).fetchone()[0]
        if not 0 <= found < VERSION_MAX:
            raise JournalCorrupt(f"{self._path}: {found} is no version")
        if found > self._schema.version:
            known = self._schema.version
            raise SchemaTooNew(f"{self._path} has version {found}, this program knows {known}")
        return found

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the file to this program's version, under the write lock that is held."""
        found = self._version(connection)
        for number, script in enumerate(self._schema.migrations[found:], start=found + 1):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        if found == 0:
            log_id = self._make_log_id()
            connection.execute(self._queries["create_log"], (log_id, genesis(log_id)))


def _is_text(value: object) -> TypeGuard[str]:
    """Tell whether a value is text without a damaged byte, and not empty."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def _statements(script: str) -> Generator[str]:
    """Split a script at the ends of its statements, triggers whole.

    `executescript` would commit the transaction that holds the lock.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
