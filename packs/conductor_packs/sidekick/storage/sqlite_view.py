"""A state of `sidekick.db`, within one transaction of one connection.

Promise: a store that nobody changed is parsed once, however often it is read; recall is ranked by
the database's own text index. Refusal: no transaction begins or ends here.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from conductor_packs.sidekick.records import MEMORIES, STORES, AuditEvent, R, Record, Store
from conductor_packs.sidekick.storage.codec import (
    WrongShape,
    decode_lines,
    decode_record,
    encode_line,
)
from conductor_packs.sidekick.storage.draft import Draft, fresh_id
from conductor_packs.sidekick.storage.errors import StorageError, StoreBusy, StoreCorrupt
from conductor_packs.sidekick.storage.fulltext import search
from conductor_packs.sidekick.storage.port import MemoryHit, MemoryQuery
from conductor_packs.sidekick.storage.statements import statements

_STORES: Mapping[str, Store[Any]] = {store.name: store for store in STORES}


class Parsed(NamedTuple):
    """A store's table, and the generation that it is of."""

    generation: int
    table: Mapping[str, Any]


class ParsedTables:
    """The last generation of each store that was parsed. Replaced whole, so threads may share."""

    def __init__(self) -> None:
        self._parsed: dict[str, Parsed] = {}

    def get(self, store: str) -> Parsed | None:
        """Return what was parsed last."""
        return self._parsed.get(store)

    def keep(self, store: str, parsed: Parsed) -> None:
        """Keep a newer one; its table is never changed afterwards."""
        known = self._parsed.get(store)
        if known is None or known.generation < parsed.generation:
            self._parsed[store] = parsed


class DatabaseView:
    """A `View` of a connection's transaction."""

    def __init__(
        self, connection: sqlite3.Connection | None, parsed: ParsedTables, shown: str
    ) -> None:
        """Read nothing yet.

        Args:
            connection: Inside a transaction; None: there is no database, and nothing in it.
            parsed: What was parsed before.
            shown: How errors call the file.
        """
        self._connection = connection
        self._parsed = parsed
        self._shown = shown
        self._sql = statements("sqlite")
        self._tables: dict[str, Mapping[str, Any]] = {}

    def table(self, store: Store[R]) -> Mapping[str, R]:
        """Return all records by id, in stored order."""
        table: Mapping[str, R] | None = self._loaded(store)
        if table is None:
            rows = self._rows("all_records", store.name)
            records = [self._decode(row[0], store) for row in rows]
            table = {record.id: record for record in records}
            self._tables[store.name] = table
            self._parsed.keep(store.name, Parsed(self._generation(store), table))
        return table

    def records(self, store: Store[R]) -> list[R]:
        """Return all records in stored order."""
        return list(self.table(store).values())

    def get(self, store: Store[R], record_id: str) -> R | None:
        """Return one record, or None."""
        table = self._loaded(store)
        if table is not None:
            return table.get(record_id)
        rows = self._rows("get_record", store.name, record_id)
        return self._decode(rows[0][0], store) if rows else None

    def search(self, query: MemoryQuery) -> list[MemoryHit]:
        """Search memories."""
        with sqlite_errors(self._shown):
            return search(
                self._connection,
                query,
                lambda: self.table(MEMORIES).values(),
                lambda record_id: self.get(MEMORIES, record_id),
            )

    def new_id(self, store: Store[Any]) -> str:
        """Return an id that is not taken."""
        return fresh_id(store.prefix, lambda made: self.get(store, made) is not None)

    def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the trail, oldest first."""
        rows = self._rows("all_audit") if limit is None else self._rows("last_audit", limit)[::-1]
        return decode_lines(b"".join(row[0] for row in rows))

    def audit_count(self) -> int:
        """Return how many audit events there are."""
        rows = self._rows("count_audit")
        return int(rows[0][0]) if rows else 0

    def _loaded(self, store: Store[R]) -> Mapping[str, R] | None:
        table: Mapping[str, R] | None = self._tables.get(store.name)
        if table is None:
            parsed = self._parsed.get(store.name)
            if parsed is not None and parsed.generation == self._generation(store):
                table = self._tables[store.name] = parsed.table
        return table

    def _generation(self, store: Store[Any]) -> int:
        rows = self._rows("generation", store.name)
        return int(rows[0][0]) if rows else 0

    def _rows(self, name: str, *values: object) -> list[Any]:
        if self._connection is None:
            return []
        with sqlite_errors(self._shown):
            return self._connection.execute(self._sql[name], values).fetchall()

    def _decode(self, body: bytes, store: Store[R]) -> R:
        try:
            return decode_record(body, store.record)
        except WrongShape as error:
            raise StoreCorrupt(
                f"{self._shown}, a record of {store.name}: {error}",
                data={"file": self._shown, "store": store.name},
            ) from None


class DatabaseWorking(DatabaseView):
    """A state that grows by drafts, within a transaction that writes."""

    def __init__(self, connection: sqlite3.Connection, parsed: ParsedTables, shown: str) -> None:
        super().__init__(connection, parsed, shown)
        self._writing = connection
        self._changed: dict[str, dict[str, Any] | None] = {}
        """By the store's name: its table as it grows; None where it was never loaded."""

    def apply(self, draft: Draft) -> None:
        """Write what a draft wrote.

        Raises:
            StorageError: The database refused.
        """
        with sqlite_errors(self._shown):
            for name, written in draft.written.items():
                table = self._growing(_STORES[name])
                for key, record in written.items():
                    self._write(name, key, record)
                    if table is not None and record is not None:
                        table[key] = record
                    elif table is not None:
                        table.pop(key, None)
            lines = ((encode_line(event),) for event in draft.events)
            self._writing.executemany(self._sql["append_audit"], lines)

    def raised(self) -> dict[str, Parsed]:
        """Raise the generations of what was changed; returns what to keep after the commit."""
        kept: dict[str, Parsed] = {}
        with sqlite_errors(self._shown):
            for name, table in self._changed.items():
                found = self._writing.execute(self._sql["raise_generation"], (name,)).fetchall()
                if table is not None:
                    kept[name] = Parsed(int(found[0][0]), table)
        return kept

    def _growing(self, store: Store[Any]) -> dict[str, Any] | None:
        if store.name not in self._changed:
            loaded = self._loaded(store)
            grown = dict(loaded) if loaded is not None else None
            self._changed[store.name] = grown
            if grown is not None:
                self._tables[store.name] = grown
        return self._changed[store.name]

    def _write(self, store: str, key: str, record: Record | None) -> None:
        sql, text = self._sql, statements("fulltext")
        if record is None:
            rows = self._writing.execute(sql["drop_record"], (store, key)).fetchall()
        else:
            body = encode_line(record)
            rows = self._writing.execute(sql["put_record"], (store, key, body)).fetchall()
        if store == MEMORIES.name and rows:
            self._writing.execute(text["drop_text"], rows[0])
            content = getattr(record, "content", None)
            if content is not None:
                self._writing.execute(text["put_text"], (rows[0][0], content, key))


@contextlib.contextmanager
def sqlite_errors(shown: str) -> Generator[None]:
    """Raise what the database says as an error of the storage that names the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            hint = f"look: sqlite3 {shown} 'PRAGMA integrity_check'; then move it away"
            raise StoreCorrupt(f"{shown}: {error}", hint=hint, data={"file": shown}) from error
        if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreBusy(f"{shown}: {error}") from error
        raise StorageError(f"{shown}: {error}") from error
