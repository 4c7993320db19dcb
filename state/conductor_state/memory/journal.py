"""The in-memory twin of the journal: the same chain, nothing survives the process.

Promise: every method answers as `SqliteJournal` does after `create`. Refusal: no file, no thread,
no lock; it passes the same contract suite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from conductor_sdk.chain.entry import Draft, Entry, Head, Prepared, extend, genesis, prepare
from conductor_sdk.chain.verify import Verdict, verify
from conductor_sdk.clock import Clock, SystemClock, wire_time
from conductor_state.errors import StoreClosed

T = TypeVar("T")


class MemoryView:
    """One state of the tables beside a `MemoryJournal`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        """For tables that stand beside the journal."""


class MemoryCommit(MemoryView):
    """Statements and entries of one transaction of a `MemoryJournal`."""

    def __init__(self, connection: sqlite3.Connection, extend_by: Callable[[Draft], Entry]) -> None:
        super().__init__(connection)
        self._extend_by = extend_by

    def append(self, draft: Draft) -> Entry:
        """Append one entry; it holds once the transaction is through."""
        return self._extend_by(draft)


class MemoryJournal:
    """A journal in a list. Use from one event loop."""

    def __init__(self, *, clock: Clock | None = None, log_id: str = "log-memory") -> None:
        self._clock = clock or SystemClock()
        self._log_id = log_id
        self._entries: list[Entry] = []
        self._closed = False
        self._beside: sqlite3.Connection | None = None

    async def create(self) -> None:
        """Do nothing: an in-memory log exists from the start."""
        self._refuse_closed()

    async def append(
        self,
        event_type: str,
        actor: str,
        payload: Mapping[str, Any],
        *,
        session_id: str = "",
        task_id: str = "",
    ) -> int:
        """Append one entry; returns its sequence number, from 1."""
        draft = Draft(event_type, actor, payload, session_id, task_id)
        return (await self.append_many([draft]))[0]

    async def append_many(self, drafts: Sequence[Draft]) -> list[int]:
        """Append entries in order, next to each other; all or none."""
        self._refuse_closed()
        prepared = [prepare(draft) for draft in drafts]
        return [entry.sequence for entry in self._extend(prepared)]

    async def head(self) -> tuple[int, str]:
        """Return (number of entries, hash of the last; the genesis hash when empty)."""
        self._refuse_closed()
        head = self._head()
        return head.size, head.hash

    async def tail(self, after: int = 0, limit: int = 100) -> list[Entry]:
        """Return entries with a sequence beyond `after`, in order, at most `limit`."""
        self._refuse_closed()
        return self._entries[max(0, after) :][:limit]

    async def latest(self, limit: int = 20) -> list[Entry]:
        """Return the newest entries, in order, at most `limit`."""
        self._refuse_closed()
        return self._entries[-limit:]

    async def entries(self, after: int = 0) -> AsyncIterator[Entry]:
        """Iterate over all entries beyond `after`."""
        self._refuse_closed()
        for entry in self._entries[max(0, after) :]:
            yield entry

    async def verify(self, anchors: Sequence[Head] = ()) -> Verdict:
        """Walk the whole log and say what is wrong with it."""
        self._refuse_closed()
        return verify(self._entries, self._log_id, anchors=anchors, recorded=self._head())

    async def view(self, work: Callable[[MemoryView], T]) -> T:
        """Run `work` on the tables in memory as they are now; what it writes is taken back."""
        tables = self._tables()
        tables.execute("BEGIN")
        try:
            return work(MemoryView(tables))
        finally:
            tables.execute("ROLLBACK")

    async def transaction(self, work: Callable[[MemoryCommit], T]) -> T:
        """Run statements, on tables in memory, and appends; an exception undoes all of it."""
        tables = self._tables()
        size = len(self._entries)
        tables.execute("BEGIN")
        try:
            result = work(MemoryCommit(tables, lambda draft: self._extend([prepare(draft)])[0]))
            tables.execute("COMMIT")
        except BaseException:
            del self._entries[size:]
            tables.execute("ROLLBACK")
            raise
        return result

    async def close(self) -> None:
        """Refuse everything from now on. Idempotent."""
        self._closed = True
        if self._beside is not None:
            self._beside.close()

    def _tables(self) -> sqlite3.Connection:
        self._refuse_closed()
        if self._beside is None:
            self._beside = sqlite3.connect(":memory:", isolation_level=None)
        return self._beside

    def _extend(self, prepared: Sequence[Prepared]) -> list[Entry]:
        entries = extend(self._log_id, self._head(), prepared, wire_time(self._clock.now()))
        self._entries += entries
        return entries

    def _head(self) -> Head:
        if not self._entries:
            return Head(0, genesis(self._log_id))
        return Head(len(self._entries), self._entries[-1].hash)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosed("the in-memory journal")
