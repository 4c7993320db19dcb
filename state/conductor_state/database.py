"""One SQLite file, one connection, one writer thread, one commit for everything that waits.

Promise: `write` returns after the COMMIT that holds its work, and callers that wait together share
one; `read` sees committed state only. Refusal: no second connection, no statement outside of the
thread, no retry: a failed call left nothing behind and says so.

A process that forgets to close exits all the same, and loses nothing that a caller was told.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from conductor_sdk.clock import Clock
from conductor_state.connection import (
    DEFAULTS,
    UNREADABLE,
    Connect,
    DatabaseSettings,
    damage_or_error,
    prepare,
)
from conductor_state.crash_points import AFTER_COMMIT, BEFORE_COMMIT
from conductor_state.errors import StateError, StoreClosed, StoreLocked, state_error
from conductor_state.schema import Schema
from conductor_state.storage import DISK, Storage
from conductor_state.vitals import FAULTS, Vitals, write_the_same
from conductor_state.worker import Rounds

T = TypeVar("T")

Work: TypeAlias = Callable[[sqlite3.Connection], T]
"""Runs on the writer thread, once. It may be undone afterwards, and is then reported as failed."""


def no_crash(point: str) -> None:
    """Do nothing at a named crash point; fault suites pass a function that kills the process."""


class _Job:
    """One queued call: what to do, and the future that waits for it."""

    __slots__ = ("error", "future", "loop", "result", "work", "writes")

    def __init__(self, work: Work[Any], *, writes: bool) -> None:
        self.work = work
        self.writes = writes
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


class Database:
    """The only door to one SQLite file. Use from one event loop; `open` makes it."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        settings: DatabaseSettings,
        crash_point: Callable[[str], None],
        prepare: Callable[[], sqlite3.Connection],
        storage: Storage = DISK,
    ) -> None:
        self.path = path
        self.clock = clock
        self.crash_point = crash_point
        """Called at named points, where a fault suite may kill the process."""
        self.vitals = Vitals(path.name, lambda: self.write(write_the_same))
        self._settings = settings
        self._prepare = prepare
        self._hooks: list[Callable[[], None]] = []
        self._connection: sqlite3.Connection | None = None
        self._opening: _Job | None = None
        self._closing: _Job | None = None
        rounds = Rounds[_Job](self._begin, self._round, self._end, settings.group_limit)
        self._worker = storage.worker(f"database {path.name}", rounds)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        schema: Schema,
        clock: Clock,
        settings: DatabaseSettings = DEFAULTS,
        connect: Connect | None = None,
        crash_point: Callable[[str], None] = no_crash,
        storage: Storage = DISK,
    ) -> Database:
        """Open or create the file (mode 0600, new directories 0700) and migrate it.

        Args:
            path: The file; its log stands beside it.
            schema: See `load_schema`.
            clock: For the stores on it.
            settings: Cache, checkpoints and timeouts.
            connect: For fault suites, instead of `storage.connect`.
            crash_point: For fault suites; see `no_crash`.
            storage: The disk.

        Raises:
            SchemaTooNew: A newer program wrote the file.
            StoreCorrupt: It is not a healthy database; see `quarantine.open_or_quarantine`.
            StateError: It cannot be opened.
        """
        database = cls(
            path,
            clock=clock,
            settings=settings,
            crash_point=crash_point,
            prepare=lambda: prepare(path, schema, settings, connect, storage),
            storage=storage,
        )
        await database._start()
        return database

    async def write(self, work: Work[T]) -> T:
        """Run `work` in the next transaction; its statements are durable when this returns.

        Everything that is queued runs in call order in one transaction, each in a savepoint: an
        exception undoes that work alone and is raised here. Cancelling does not undo the work.
        Work that changes memory must do so after its last statement.

        Raises:
            StoreFull: And the like, when a statement or the commit failed; nothing happened.
        """
        return await self._submit(work, writes=True)

    async def read(self, work: Work[T]) -> T:
        """Run `work` between transactions; it sees what is committed and must not write."""
        return await self._submit(work, writes=False)

    def on_rollback(self, hook: Callable[[], None]) -> None:
        """Call `hook` on the writer thread after a transaction failed as a whole.

        Works of that transaction had already returned, so what they put into memory is wrong:
        the hook marks it, and the store reads it again at its next work.
        """
        self._hooks.append(hook)

    async def close(self) -> None:
        """Finish what is queued, fold the log into the file and close. Idempotent.

        Raises:
            StoreLocked: The disk did not answer in `close_timeout_s`; the thread is left behind.
        """
        if self._closing is None:
            self._closing = _Job(lambda _: None, writes=False)
            self._worker.finish()
        try:
            async with asyncio.timeout(self._settings.close_timeout_s):
                await asyncio.shield(self._closing.future)
        except TimeoutError:
            if self._connection is not None:
                self._connection.interrupt()
            raise StoreLocked(f"{self.path} did not close in time") from None

    async def _start(self) -> None:
        opening = self._opening = _Job(lambda _: None, writes=False)
        self._worker.start()
        try:
            await opening.future
        except BaseException:
            self._worker.finish()
            raise

    async def _submit(self, work: Work[T], *, writes: bool) -> T:
        if self._closing is not None:
            raise StoreClosed(str(self.path))
        job = _Job(work, writes=writes)
        self._worker.put(job)
        result: T = await job.future
        return result

    def _begin(self) -> bool:
        opening = self._opening
        assert opening is not None  # noqa: S101  `_start` made it before it started the worker
        try:
            self._connection = self._prepare()
        except BaseException as error:  # noqa: BLE001  whatever it is, `open` raises it
            opening.error = error
        _deliver([opening])
        return opening.error is None

    def _round(self, jobs: list[_Job]) -> None:
        assert self._connection is not None  # noqa: S101  `_begin` has opened it
        self._perform(self._connection, jobs)
        _deliver(jobs)

    def _end(self) -> None:
        assert self._connection is not None  # noqa: S101  `_begin` has opened it
        with suppress(sqlite3.Error):  # what was promised is committed; the next open reads it
            self._connection.close()
        if self._closing is not None:
            _deliver([self._closing])

    def _perform(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        # Reads go first: no transaction is open, so they cannot see what is not committed.
        for job in jobs:
            if not job.writes:
                self._attempt(connection, job)
        writes = [job for job in jobs if job.writes]
        if not writes:
            return
        began = self.clock.monotonic()
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in writes:
                self._in_savepoint(connection, job)
            self.crash_point(BEFORE_COMMIT)
            connection.execute("COMMIT")
            self.crash_point(AFTER_COMMIT)
        except sqlite3.Error as error:
            self._undo(connection, writes, state_error(error, str(self.path)))
        else:
            self.vitals.committed(self.clock.monotonic() - began)

    def _in_savepoint(self, connection: sqlite3.Connection, job: _Job) -> None:
        connection.execute("SAVEPOINT work")
        self._attempt(connection, job)
        if job.error is not None:
            self.vitals.refused(job.error)
            # A full disk may have ended the whole transaction; then this raises, rightly.
            connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")

    def _attempt(self, connection: sqlite3.Connection, job: _Job) -> None:
        try:
            job.result = job.work(connection)
        except (sqlite3.Error, *UNREADABLE) as error:
            job.error = damage_or_error(error, str(self.path))
        except BaseException as error:  # noqa: BLE001  a work is its caller's code: raised there
            job.error = error

    def _undo(self, connection: sqlite3.Connection, writes: list[_Job], error: StateError) -> None:
        cause = next((job.error for job in writes if isinstance(job.error, FAULTS)), error)
        if cause is error:  # otherwise it is noted already
            self.vitals.refused(cause)
        for job in writes:
            job.result = None
            # What a work itself refused, it may have refused because of a work that is undone.
            if not isinstance(job.error, FAULTS):
                job.error = type(cause)(cause.detail)
        with suppress(sqlite3.Error):  # if this fails too, the next BEGIN reports it
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        for hook in self._hooks:
            hook()


def _deliver(jobs: list[_Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, mine in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, mine)
        except RuntimeError:
            continue  # that loop is closed: nobody waits any more


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
