"""The workspace's journal: hash-chained, append-only, shared by processes.

Promise: an appended entry is durable when the call returns, in one gapless order over all
processes; callers of one process that wait together share a commit. Refusal: no entry is changed
or removed, reading never creates the file, and the event loop never touches the disk.

Appending and reading run on one worker thread, so a long `verify`, which reads page by page,
neither delays an append nor keeps other processes from writing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from conductor_sdk.chain.batch import Row, Sink
from conductor_sdk.chain.entry import Draft, Entry, Head, Prepared, prepare
from conductor_sdk.chain.verify import Verdict, Walk, missing
from conductor_sdk.clock import Clock, SystemClock, wire_time
from conductor_state.errors import StateError, StoreClosed
from conductor_state.journal_errors import JournalCorrupt, JournalMissing
from conductor_state.journal_file import JournalFile, Rows
from conductor_state.journal_transaction import JournalTransaction, JournalView
from conductor_state.storage import DISK, Storage
from conductor_state.vitals import Vitals, write_the_same

T = TypeVar("T")

_PAGE = 500
_WALK_PAGE = 2000
_SEQUENCE = 1
"""Where a stored row holds its sequence."""
_COMMIT_MAX = 2000
"""Entries in one commit at most; a single call may bring more."""
_CLOSE_S = 5.0


def new_log_id() -> str:
    """Make the name of a new log."""
    return f"log-{secrets.token_hex(16)}"


def _survive(point: str) -> None:
    """Do nothing at a named crash point; fault suites pass a function that kills the process."""


class SqliteJournal:
    """The journal in `journal.db`. Opens at first use; use from one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        timeout_s: float = 10.0,
        make_log_id: Callable[[], str] = new_log_id,
        crash_point: Callable[[str], None] = _survive,
        storage: Storage = DISK,
    ) -> None:
        """Describe a journal; nothing is opened yet.

        Args:
            path: The file.
            clock: Gives the entries' times.
            timeout_s: How long a call waits for other processes, at most.
            make_log_id: Names a new log.
            crash_point: Called at `journal.begun`, `journal.inserted` and `journal.committed`.
            storage: The disk.
        """
        self.path = path
        self._clock = clock or SystemClock()
        self._file = JournalFile(
            path, timeout_s=timeout_s, make_log_id=make_log_id, crash_point=crash_point,
            storage=storage,
        )  # fmt: skip
        self.vitals = Vitals(path.name, self._prove)
        self._worker = storage.executor("journal")
        self._waiting: deque[tuple[list[Prepared], Future[list[int]]]] = deque()
        self._closed = False

    async def create(self) -> None:
        """Make the file with an empty log where there is none. Idempotent, durable."""
        await self._run(self._file.create)

    async def append(
        self,
        event_type: str,
        actor: str,
        payload: Mapping[str, Any],
        *,
        session_id: str = "",
        task_id: str = "",
    ) -> int:
        """Append one entry; returns its sequence number, from 1.

        Raises:
            EntryRefused: A name has the wrong shape.
            PayloadRefused: The payload is not JSON of the allowed kind.
            StateError: Nothing was appended: busy, full, corrupt, …
        """
        draft = Draft(event_type, actor, payload, session_id, task_id)
        return (await self.append_many([draft]))[0]

    async def append_many(self, drafts: Sequence[Draft]) -> list[int]:
        """Append entries in order, next to each other, in one commit; all or none.

        Cancelling does not take back what is already on its way.

        Raises:
            EntryRefused: As `append`; nothing was appended.
            PayloadRefused: As `append`; nothing was appended.
            StateError: As `append`.
        """
        self._refuse_closed()
        prepared = [prepare(draft) for draft in drafts]
        if not prepared:
            return []
        future: Future[list[int]] = Future()
        self._waiting.append((prepared, future))
        self._worker.submit(self._drain)
        return await asyncio.wrap_future(future)

    async def head(self) -> tuple[int, str]:
        """Return (number of entries, hash of the last; the genesis hash when empty).

        Raises:
            JournalMissing: There is no log; `create` makes one.
        """
        head = await self._run(self._file.head)
        return head.size, head.hash

    async def tail(self, after: int = 0, limit: int = 100) -> list[Entry]:
        """Return entries with a sequence beyond `after`, in order, at most `limit`.

        Raises:
            JournalMissing: There is no file.
        """
        return (await self._run(lambda: self._file.page(after, limit))).entries

    async def latest(self, limit: int = 20) -> list[Entry]:
        """Return the newest entries, in order, at most `limit`.

        Raises:
            JournalMissing: There is no file.
        """
        return (await self._run(lambda: self._file.latest(limit))).entries

    async def entries(self, after: int = 0) -> AsyncIterator[Entry]:
        """Iterate over all entries beyond `after`, page by page.

        Raises:
            JournalMissing: There is no file.
        """
        while page := await self.tail(after, _PAGE):
            for entry in page:
                yield entry
            after = page[-1].sequence

    async def verify(self, anchors: Sequence[Head] = ()) -> Verdict:
        """Walk the whole log and say what is wrong with it; a missing file is a verdict too.

        Args:
            anchors: Heads that were kept outside of this file.

        Raises:
            StateError: The disk or a lock kept us from reading; nothing is known.
        """
        return (await self.walk(anchors))[1]

    async def walk(
        self,
        anchors: Sequence[Head] = (),
        sink: Sink | None = None,
        pages: Callable[[str, Sequence[Row]], object] | None = None,
    ) -> tuple[str, Verdict]:
        """Walk the whole log as `verify` does; returns the log's id ("" without one), verdict.

        Args:
            anchors: Heads that were kept outside of this file.
            sink: Called on the journal's thread with the bytes of each sound entry, in order.
            pages: Called on the journal's thread with the log's id and the next rows, in order,
                as long as no fault was found.

        Raises:
            StateError: As `verify`.
        """
        walk = Walk("", anchors)

        def take(page: Rows) -> None:
            walk.add_rows(page.rows)
            if pages is not None and walk.sound:
                pages(page.log_id, page.rows)

        try:
            page = await self._run(partial(self._file.rows, 0, _WALK_PAGE))
            walk = _begin(page, Walk(page.log_id, anchors, locate=self._file.located, sink=sink))
            await self._run(partial(take, page))
            while len(page.rows) == _WALK_PAGE:
                after = page.rows[-1][_SEQUENCE]
                page = await self._run(partial(self._file.rows, after, _WALK_PAGE))
                await self._run(partial(take, page))
        except JournalMissing:
            return "", missing()
        except JournalCorrupt as error:
            walk.broken(error.detail)
            return "", walk.verdict()
        return page.log_id, walk.verdict(page.recorded)

    async def view(self, work: Callable[[JournalView], T]) -> T:
        """Run `work` on the journal's thread, on one state of the file; it may run again.

        Raises:
            JournalMissing: There is no file.
        """
        return await self._run(lambda: self._file.view(work))

    async def transaction(self, work: Callable[[JournalTransaction], T]) -> T:
        """Run statements and appends on the journal's thread in one commit.

        Durable when this returns; an exception of `work` rolls everything back and is raised.

        Raises:
            StateError: Nothing was written.
        """
        return await self._run(
            lambda: self._noted(lambda: self._file.transaction(work, self._time))
        )

    async def close(self) -> None:
        """Finish what is on its way and release the file. Idempotent; bounded, never raises."""
        if self._closed:
            return
        self._closed = True
        self._file.give_up()
        released = asyncio.wrap_future(self._worker.submit(self._file.close))
        self._worker.shutdown(wait=False)
        await asyncio.wait([released], timeout=_CLOSE_S)

    async def _prove(self) -> None:
        await self.transaction(lambda transaction: write_the_same(transaction.connection))

    def _noted(self, write: Callable[[], T]) -> T:
        began = self._clock.monotonic()
        try:
            result = write()
        except StateError as error:
            self.vitals.refused(error)
            raise
        self.vitals.committed(self._clock.monotonic() - began)
        return result

    def _drain(self) -> None:
        """On the worker: append everything that waits, in one commit."""
        calls: list[tuple[list[Prepared], Future[list[int]]]] = []
        total = 0
        while self._waiting and total < _COMMIT_MAX:
            prepared, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                calls.append((prepared, future))
                total += len(prepared)
        if not calls:
            return
        drafts = [draft for prepared, _ in calls for draft in prepared]
        try:
            entries = iter(self._noted(lambda: self._file.append(drafts, self._time)))
        except BaseException as error:  # noqa: BLE001  it is raised by every waiting caller
            for _, future in calls:
                future.set_exception(error)
            return
        for prepared, future in calls:
            future.set_result([next(entries).sequence for _ in prepared])

    def _time(self) -> str:
        return wire_time(self._clock.now())

    async def _run(self, work: Callable[[], T]) -> T:
        self._refuse_closed()
        return await asyncio.wrap_future(self._worker.submit(work))

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosed(str(self.path))


def _begin(page: Rows, walk: Walk) -> Walk:
    if not page.log_id and (page.rows or page.recorded is not None):
        walk.broken("the log has lost its name")
    return walk
