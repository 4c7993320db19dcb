"""What a survey saw, as a view: files are read when they are asked for, and parsed once.

Promise: a read of a store that nobody changed parses nothing; a damaged store is an error of that
store alone. Refusal: no file is read that is not asked for.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from conductor_packs.sidekick.records import MEMORIES, AuditEvent, R, Record, Store
from conductor_packs.sidekick.storage import directory as files
from conductor_packs.sidekick.storage.codec import WrongShape, decode_table
from conductor_packs.sidekick.storage.directory import Signature, opened_child
from conductor_packs.sidekick.storage.draft import Draft, fresh_id
from conductor_packs.sidekick.storage.errors import StoreBusy, StoreCorrupt
from conductor_packs.sidekick.storage.fulltext import MemoryIndex
from conductor_packs.sidekick.storage.layout import PLACES
from conductor_packs.sidekick.storage.port import MemoryHit, MemoryQuery
from conductor_packs.sidekick.storage.survey import Located, Moved, Survey
from conductor_packs.sidekick.storage.trail import AuditCounts, read_events


class _Parsed(NamedTuple):
    version: Signature
    table: Mapping[str, Any]


class ParsedStores:
    """The last version of each store that was parsed, its text index and the audit counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parsed: dict[str, _Parsed] = {}
        self.index = MemoryIndex()
        self.audit = AuditCounts()

    def known(self, store: str, version: Signature) -> Mapping[str, Any] | None:
        """Return the parsed store, if it is this version."""
        parsed = self._parsed.get(store)
        return parsed.table if parsed is not None and parsed.version == version else None

    def keep(self, store: str, version: Signature, table: Mapping[str, Record]) -> None:
        """Keep a version; the table is never changed afterwards."""
        self._parsed[store] = _Parsed(version, table)

    def load(self, root: int, store: Store[R], located: Located) -> Mapping[str, R]:
        """Return the store's table; parses it unless this version is known.

        Raises:
            Moved: The file is another version by now.
            StoreCorrupt: It is not what the store holds.
        """
        with self._lock:
            known = self.known(store.name, located.version)
            if known is None:
                known = _parse(root, store, located)
                self.keep(store.name, located.version, known)
            return known


def _parse(root: int, store: Store[R], located: Located) -> Mapping[str, R]:
    place = PLACES[store.name]
    name = (place.legacy or place.name) if located.legacy else place.name
    names = [name] if located.temporary is None else [located.temporary, name]
    with opened_child(root, place.directory) as directory:
        for candidate in names:
            found = None if directory is None else files.read_file(directory, candidate)
            if found is not None and found[1] == located.version:
                try:
                    return decode_table(found[0], store.record)
                except WrongShape as error:
                    path = f".sidekick/{place.directory}/{candidate}"
                    raise StoreCorrupt(
                        f"{path}: {error}",
                        hint=f"look: python3 -m json.tool {path}; then repair it or move it away",
                        data={"file": path, "store": store.name},
                    ) from None
    raise Moved


class Snapshot:
    """A consistent state; valid while the root stays open."""

    def __init__(self, root: int | None, survey: Survey, parsed: ParsedStores) -> None:
        """Read nothing yet.

        Args:
            root: The directory; None: there is none, and nothing in it.
            survey: What is in force.
            parsed: What was parsed before.
        """
        self._root = root
        self.survey = survey
        self._parsed = parsed
        self._tables: dict[str, Mapping[str, Any]] = {}

    def table(self, store: Store[R]) -> Mapping[str, R]:
        """Return all records by id, in stored order."""
        table: Mapping[str, R] | None = self._tables.get(store.name)
        if table is None:
            located = self.survey.stores.get(store.name)
            if located is None or self._root is None:
                table = {}
            else:
                table = self._parsed.load(self._root, store, located)
            self._tables[store.name] = table
        return table

    def records(self, store: Store[R]) -> list[R]:
        """Return all records in stored order."""
        return list(self.table(store).values())

    def get(self, store: Store[R], record_id: str) -> R | None:
        """Return one record, or None."""
        return self.table(store).get(record_id)

    def search(self, query: MemoryQuery) -> list[MemoryHit]:
        """Search memories."""
        return self._parsed.index.search(query, self.table(MEMORIES))

    def new_id(self, store: Store[Any]) -> str:
        """Return an id that is not taken."""
        return fresh_id(store.prefix, self.table(store).__contains__)

    def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the trail, oldest first."""
        return read_events(self._root, self.survey, limit) if self._root is not None else []

    def audit_count(self) -> int:
        """Return how many audit events there are."""
        return self._parsed.audit.count(self._root, self.survey) if self._root is not None else 0


class Working(Snapshot):
    """A state that grows by drafts, under the lock, until it is committed."""

    def __init__(self, root: int, survey: Survey, parsed: ParsedStores) -> None:
        super().__init__(root, survey, parsed)
        self.changed: dict[str, Growth] = {}
        """By the store's name."""
        self.events: list[AuditEvent] = []

    def table(self, store: Store[R]) -> Mapping[str, R]:
        """Return all records by id, in stored order."""
        with _settled():
            return super().table(store)

    def apply(self, draft: Draft) -> None:
        """Take over what a draft wrote; it has read the tables that it wrote to."""
        for name, written in draft.written.items():
            growth = self.changed.get(name)
            if growth is None:
                before = self._tables[name]
                growth = self.changed[name] = Growth(before, dict(before), [])
                self._tables[name] = growth.table
            for key, record in written.items():
                growth.writes.append((key, record))
                if record is None:
                    growth.table.pop(key, None)
                else:
                    growth.table[key] = record
        self.events.extend(draft.events)

    def search(self, query: MemoryQuery) -> list[MemoryHit]:
        """Search memories, those of earlier drafts included."""
        # A copy: the index tells versions apart by their identity, and this table still grows.
        table = self.table(MEMORIES)
        stable = dict(table) if MEMORIES.name in self.changed else table
        return self._parsed.index.search(query, stable)

    def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the trail with the events of earlier drafts."""
        with _settled():
            events = [*super().audit_events(limit), *self.events]
        return events if limit is None else events[max(0, len(events) - limit) :]

    def audit_count(self) -> int:
        """Return how many audit events there are, those of earlier drafts included."""
        with _settled():
            return super().audit_count() + len(self.events)


class Growth(NamedTuple):
    """What became of a store's table since the lock was taken."""

    before: Mapping[str, Any]
    table: dict[str, Any]
    writes: list[tuple[str, Record | None]]
    """In order; None: removed."""


@contextlib.contextmanager
def _settled() -> Generator[None]:
    """Under the lock nothing of ours moves a file: whoever does, is not of ours."""
    try:
        yield
    except Moved:
        raise StoreBusy("a file was changed by another program meanwhile") from None
