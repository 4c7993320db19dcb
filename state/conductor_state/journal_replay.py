"""Replaying the journal into a fresh database, to compare the derived tables or to rebuild them.

Promise: tables and entries are compared as of one state of the file, and the first row that
differs is named. Refusal: no table is written here but in `rebuild`, and there in one commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import zip_longest
from typing import Any

import msgspec

from conductor_sdk.chain.batch import Row, as_entry
from conductor_sdk.chain.entry import Entry, Head
from conductor_sdk.chain.verdict import Verdict
from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.projection import Projection
from conductor_state.journal_port import AuditedJournal
from conductor_state.journal_transaction import JournalTransaction, JournalView

_PAGE = 2000
_SHOWN = 200


class ReplayFailed(ConductorError):
    """The derived tables could not be rebuilt; they are as they were."""

    code = "JOURNAL_REPLAY_FAILED"
    default_hint = "run: conductor log verify; then update the pack that owns the tables"
    exit_code = Exit.INTEGRITY


class Drift(msgspec.Struct, frozen=True):
    """Where derived tables differ from a replay."""

    projection: str
    table: str
    """"" where the replay itself failed."""
    detail: str


class Replay:
    """Projections in a database in memory, fed with the journal's entries in order."""

    def __init__(self, projections: Sequence[Projection]) -> None:
        self._projections = list(projections)
        self._failed: dict[str, str] = {}
        self.after = 0
        """The last sequence that was applied."""
        self._memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for projection in self._projections:
            self._guarded(projection.name, partial(self._create, projection))
        self._memory.execute("BEGIN")

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply the next entries."""
        for projection in self._projections:
            self._guarded(projection.name, partial(projection.replay, self._memory, entries))
        if entries:
            self.after = entries[-1].sequence

    def take(self, log_id: str, rows: Sequence[Row]) -> None:
        """Apply the next entries as they are stored."""
        self.apply([as_entry(row, log_id) for row in rows])

    def catch_up(self, view: JournalView, until: int | None = None) -> None:
        """Apply what is in the file beyond `after`, at most up to a sequence."""
        while entries := view.entries(self.after, _PAGE):
            wanted = [entry for entry in entries if until is None or entry.sequence <= until]
            self.apply(wanted)
            if len(wanted) < len(entries):
                return

    def present(self, connection: sqlite3.Connection) -> bool:
        """Tell whether the file holds any derived table."""
        known = _tables(connection)
        return any(known.intersection(each.tables) for each in self._projections)

    def drift(self, connection: sqlite3.Connection) -> Drift | None:
        """Return the first difference between the file's tables and the replay's.

        Tables that are all missing differ where the replay filled them. A replay that failed says
        nothing about tables that are missing: its entries may be another program's.
        """
        known = _tables(connection)
        for projection in self._projections:
            there = bool(known.intersection(projection.tables))
            if projection.name in self._failed:
                if there:
                    return Drift(projection.name, "", self._failed[projection.name])
                continue
            for table in projection.tables:
                if table in known:
                    found = _difference(_rows(connection, table), _rows(self._memory, table))
                else:
                    found = "there is no such table" if there or self._filled(table) else None
                if found is not None:
                    return Drift(projection.name, table, found)
        return None

    def rebuild(self, connection: sqlite3.Connection) -> int:
        """Replace the file's derived tables by the replay's; returns the rows written.

        The caller holds the write transaction of `connection`.

        Raises:
            ReplayFailed: The replay went wrong; the caller's transaction must not be committed.
            sqlite3.Error: A table refused; as above.
        """
        connection.execute("PRAGMA defer_foreign_keys = ON")
        written = 0
        for projection in self._projections:
            if projection.name in self._failed:
                raise ReplayFailed(f"{projection.name}: {self._failed[projection.name]}")
            if not _tables(connection).intersection(projection.tables):
                projection.create(connection)
            for table in reversed(projection.tables):
                connection.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608  a quoted name
            for table in projection.tables:
                written += self._copy(connection, table)
        return written

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Return every table of the replay, as rows of column to value."""
        content: dict[str, list[dict[str, Any]]] = {}
        for projection in self._projections:
            for table in projection.tables:
                names, rows = _rows(self._memory, table)
                content[table] = [dict(zip(names, row, strict=True)) for row in rows]
        return content

    def _create(self, projection: Projection) -> None:
        projection.create(self._memory)
        unmade = sorted(set(projection.tables) - _tables(self._memory))
        if unmade:
            raise ReplayFailed(f"it names tables that it does not make: {unmade}")

    def _filled(self, table: str) -> bool:
        query = f"SELECT 1 FROM {_quoted(table)} LIMIT 1"  # noqa: S608  a quoted name
        return self._memory.execute(query).fetchone() is not None

    def _copy(self, connection: sqlite3.Connection, table: str) -> int:
        names, rows = _rows(self._memory, table)
        columns = ", ".join(map(_quoted, names))
        marks = ", ".join("?" * len(names))
        query = f"INSERT INTO {_quoted(table)} ({columns}) VALUES ({marks})"  # noqa: S608  quoted names
        return connection.executemany(query, rows).rowcount

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        if name in self._failed:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001  foreign code; its failure is the finding
            self._failed[name] = f"the replay failed: {error}"[:_SHOWN]


async def find_drift(
    journal: AuditedJournal, projections: Sequence[Projection]
) -> tuple[bool, Drift | None]:
    """Tell whether the file holds derived tables, and where they differ from a full replay.

    The long part of the replay holds no lock; the last entries and the tables are read together.

    Raises:
        StateError: The file cannot be read.
    """
    replay = Replay(projections)
    try:
        while projections and (entries := await journal.tail(replay.after, _PAGE)):
            await asyncio.to_thread(replay.apply, entries)
        return await _compared(journal, replay)
    finally:
        replay.close()


async def audit(
    journal: AuditedJournal, projections: Sequence[Projection], anchors: Sequence[Head] = ()
) -> Verdict:
    """Walk the log and replay it in the same pass; the verdict has an answer for the state too.

    Where the chain has a fault the state is not judged: a replay of what is not the log would
    prove nothing.

    Raises:
        StateError: The file cannot be read.
    """
    replay = Replay(projections)
    try:
        _, verdict = await journal.walk(anchors, pages=replay.take if projections else None)
        if verdict.source == "MISSING" or verdict.chain != "OK":
            return verdict
        present, drift = await _compared(journal, replay)
    finally:
        replay.close()
    if drift is None:
        return msgspec.structs.replace(verdict, state="OK" if present else "ABSENT")
    where = f"table {drift.table}: " if drift.table else ""
    detail = verdict.detail or f"{drift.projection}: {where}{drift.detail}"
    reason = verdict.reason or "STATE_DRIFT"
    return msgspec.structs.replace(verdict, state="DRIFT", reason=reason, detail=detail)


async def _compared(journal: AuditedJournal, replay: Replay) -> tuple[bool, Drift | None]:
    """Bring a replay up to date and compare, on one state of the file."""

    def compare(view: JournalView) -> tuple[bool, Drift | None]:
        replay.catch_up(view)
        return replay.present(view.connection), replay.drift(view.connection)

    return await journal.view(compare)


async def rebuild(journal: AuditedJournal, projections: Sequence[Projection]) -> int:
    """Replace the derived tables by a full replay, in one commit; returns the rows written.

    Raises:
        ReplayFailed: Nothing was written.
        StateError: Nothing was written.
    """
    replay = Replay(projections)

    def write(transaction: JournalTransaction) -> int:
        replay.catch_up(transaction)
        return replay.rebuild(transaction.connection)

    try:
        while entries := await journal.tail(replay.after, _PAGE):
            await asyncio.to_thread(replay.apply, entries)
        return await journal.transaction(write)
    except sqlite3.Error as error:
        raise ReplayFailed(str(error)) from error
    finally:
        replay.close()


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {row[0] for row in rows}


def _rows(
    connection: sqlite3.Connection, table: str
) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Return a table's columns in the order of their names, and its rows in one order."""
    described = connection.execute(f"SELECT * FROM {_quoted(table)} LIMIT 0").description  # noqa: S608  a quoted name
    names = sorted(column[0] for column in described)
    columns = ", ".join(map(_quoted, names))
    order = ", ".join(str(at + 1) for at in range(len(names)))
    query = f"SELECT {columns} FROM {_quoted(table)} ORDER BY {order}"  # noqa: S608  quoted names
    return names, _fetched(connection, query)


def _fetched(connection: sqlite3.Connection, query: str) -> Generator[tuple[Any, ...]]:
    with closing(connection.execute(query)) as cursor:
        while rows := cursor.fetchmany(_PAGE):
            yield from rows


def _difference(
    stored: tuple[list[str], Iterator[tuple[Any, ...]]],
    replayed: tuple[list[str], Iterator[tuple[Any, ...]]],
) -> str | None:
    if stored[0] != replayed[0]:
        return f"columns {stored[0]}, replayed {replayed[0]}"[:_SHOWN]
    for have, want in zip_longest(stored[1], replayed[1]):
        if have == want and [*map(type, have or ())] == [*map(type, want or ())]:
            continue
        return f"stored {_row(stored[0], have)}, replayed {_row(stored[0], want)}"
    return None


def _row(names: Sequence[str], row: tuple[Any, ...] | None) -> str:
    return "no row" if row is None else str(dict(zip(names, row, strict=True)))[:_SHOWN]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
