"""Sidekick's storage in memory: the twin for tests and for a workspace that must keep nothing.

Promise: it passes the same contract as the adapters that keep. Refusal: nothing is written
anywhere, and two processes do not share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from conductor_packs.sidekick.records import MEMORIES, AuditEvent, R, Record, Store
from conductor_packs.sidekick.storage.audited import AuditedPort
from conductor_packs.sidekick.storage.draft import Draft, fresh_id
from conductor_packs.sidekick.storage.errors import StoreClosed
from conductor_packs.sidekick.storage.fulltext import MemoryIndex
from conductor_packs.sidekick.storage.port import Change, MemoryHit, MemoryQuery, View
from conductor_packs.sidekick.storage.work import plain
from conductor_sdk.clock import Clock, SystemClock

T = TypeVar("T")


class State:
    """A consistent state: tables that nobody changes, and the audit trail."""

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Record]],
        trail: tuple[AuditEvent, ...],
        index: MemoryIndex,
    ) -> None:
        self._tables = tables
        self._trail = trail
        self._index = index

    def table(self, store: Store[R]) -> Mapping[str, R]:
        """Return all records by id, in stored order."""
        found: Mapping[str, Any] = self._tables.get(store.name, {})
        return found

    def records(self, store: Store[R]) -> list[R]:
        """Return all records in stored order."""
        return list(self.table(store).values())

    def get(self, store: Store[R], record_id: str) -> R | None:
        """Return one record, or None."""
        return self.table(store).get(record_id)

    def search(self, query: MemoryQuery) -> list[MemoryHit]:
        """Search memories."""
        return self._index.search(query, self.table(MEMORIES))

    def new_id(self, store: Store[Any]) -> str:
        """Return an id that is not taken."""
        return fresh_id(store.prefix, self.table(store).__contains__)

    def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the trail, oldest first."""
        start = 0 if limit is None else max(0, len(self._trail) - limit)
        return list(self._trail[start:])

    def audit_count(self) -> int:
        """Return how many audit events there are."""
        return len(self._trail)

    def after(self, draft: Draft) -> State:
        """Return the state with a draft applied."""
        tables = dict(self._tables)
        for name, written in draft.written.items():
            tables[name] = applied(tables.get(name, {}), written)
        return State(tables, (*self._trail, *draft.events), self._index)


def applied(
    table: Mapping[str, Record], written: Mapping[str, Record | None]
) -> Mapping[str, Record]:
    """Return a table with puts in place or at its end, and without what was removed."""
    merged = {**table, **written}
    return {key: record for key, record in merged.items() if record is not None}


class MemoryStoragePort(AuditedPort):
    """A `StoragePort` that lives as long as its object."""

    def __init__(self, root_dir: Path | None = None, *, clock: Clock | None = None) -> None:
        """Start empty.

        Args:
            root_dir: What `root_dir` answers; nothing is there.
            clock: Gives the time of audit events.
        """
        self._root = root_dir or Path("/nonexistent/.sidekick")
        self._clock = clock or SystemClock()
        self._index = MemoryIndex()
        self._state = State({}, (), self._index)
        self._lock = threading.Lock()
        self._closed = False

    @property
    def root_dir(self) -> Path:
        """What it was made with."""
        return self._root

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on the state of now."""
        self._usable()
        return plain(work(self._state))

    async def change(self, work: Callable[[Change], T]) -> T:
        """Run `work` exclusively; kept if it returns."""
        self._usable()
        with self._lock:
            draft = Draft(self._state, self._clock)
            answer = plain(work(draft))
            draft.finish()
            self._state = self._state.after(draft)
        return answer

    async def close(self) -> None:
        """Refuse what comes later."""
        self._closed = True
        self._index.close()

    def _usable(self) -> None:
        if self._closed:
            raise StoreClosed(str(self._root))
