"""The journal that the harness gives: entries in a list, a pack's tables in SQLite beside them.

Promise: an entry is refused as the daemon's journal refuses it, is chained, and stands in a
transaction with the tables or not at all. Refusal: the entries are in memory only, and the
daemon's own entries are not among them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from conductor_sdk.chain.entry import Draft, Entry, Head, extend, genesis, prepare
from conductor_sdk.clock import Clock, ManualClock, wire_time
from conductor_sdk.context import JournalReceipt, JournalTransaction
from conductor_sdk.reading import read_nothing, read_only
from conductor_sdk.storage_worker import Job, StorageWorker

T = TypeVar("T")
LOG_ID = "log-harness"


class JournalEntry(msgspec.Struct, frozen=True):
    """One appended entry."""

    event_type: str
    payload: Mapping[str, Any]
    actor: str = "pack"
    session_id: str | None = None
    task_id: str | None = None


class _Work:
    """The `JournalTransaction` of one piece of work."""

    def __init__(self, journal: RecordingJournal, connection: sqlite3.Connection) -> None:
        self._journal = journal
        self.connection = connection
        self.added: list[tuple[JournalEntry, Entry]] = []

    def append(
        self, event_type: str, payload: Mapping[str, Any], *,
        actor: str | None = None, session_id: str | None = None, task_id: str | None = None,
    ) -> JournalReceipt:  # fmt: skip
        said = JournalEntry(
            event_type, dict(payload), actor or self._journal.actor, session_id, task_id
        )
        last = self.added[-1][1] if self.added else self._journal.last
        entry = self._journal.chained(said, last)
        self.added.append((said, entry))
        return JournalReceipt(entry.sequence, entry.hash)


class RecordingJournal:
    """A `JournalPort` that keeps its entries in a list. Use from one event loop."""

    def __init__(
        self, *, actor: str = "pack", clock: Clock | None = None, path: Path | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            actor: Whose entries these are where a transaction names nobody else.
            clock: Gives the time of an entry.
            path: The SQLite file of the transactions' tables; None keeps them in memory.
        """
        self.actor = actor
        self.entries: list[JournalEntry] = []
        self.last: Entry | None = None
        """The chain's last entry."""
        self._path = path
        self._clock = clock or ManualClock()
        self._lock = asyncio.Lock()
        self._worker = StorageWorker(path, lambda _connection: None)
        self._running: set[asyncio.Future[Any]] = set()

    async def append(self, event_type: str, payload: Mapping[str, Any]) -> int:
        """Append one entry; returns its sequence number, from 1.

        Raises:
            EntryRefused: The event type is no plain name.
            PayloadRefused: The payload holds a float, or something that is not JSON.
        """
        async with self._lock:
            said = JournalEntry(event_type, dict(payload), self.actor)
            self._take([(said, self.chained(said, self.last))])
            return len(self.entries)

    async def transaction(self, work: Callable[[JournalTransaction], T]) -> T:
        """Run `work` in one commit with the entries that it appends, in another thread.

        Raises:
            StorageMisused: `work` is a coroutine, or ended the transaction.
        """
        # A task of its own: a call that is cancelled leaves nothing half done behind.
        running = asyncio.ensure_future(self._commit(work))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return await asyncio.shield(running)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the tables as they are, in another thread; it can change nothing."""
        if self._path is not None:
            return await asyncio.to_thread(_read_file, self._path, work)

        def run(connection: sqlite3.Connection) -> T:
            with read_only(connection):
                return work(connection)

        job = Job(run)
        self._worker.submit(job)
        answer: T = await asyncio.wrap_future(job.future)
        return answer

    async def _commit(self, work: Callable[[JournalTransaction], T]) -> T:
        async with self._lock:
            used: list[_Work] = []

            def run(connection: sqlite3.Connection) -> T:
                used.append(_Work(self, connection))
                return work(used[0])

            job = Job(run)
            self._worker.submit(job)
            answer: T = await asyncio.wrap_future(job.future)
            self._take(used[0].added)
            return answer

    def chained(self, said: JournalEntry, last: Entry | None) -> Entry:
        """Return the entry that comes after `last`."""
        head = Head(0, genesis(LOG_ID)) if last is None else Head(last.sequence, last.hash)
        draft = Draft(
            said.event_type, said.actor, said.payload, said.session_id or "", said.task_id or ""
        )
        return extend(LOG_ID, head, [prepare(draft)], wire_time(self._clock.now()))[0]

    def _take(self, added: list[tuple[JournalEntry, Entry]]) -> None:
        for said, entry in added:
            self.entries.append(said)
            self.last = entry

    async def close(self) -> None:
        """Give the tables back."""
        self._worker.stop()
        await asyncio.to_thread(self._worker.wait, 5.0)


def _read_file(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    if not path.exists():
        return read_nothing(work)
    # A connection of its own: the worker's takes the write lock with every job.
    place = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(place, uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        with read_only(connection):
            return work(connection)
