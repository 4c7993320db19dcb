"""The thread that owns a pack's database: one connection, many jobs in one commit.

Promise: jobs run in the order in which they came; each is all or nothing; what is answered is
durable. A job that fails undoes itself alone. Refusal: no job ends the transaction, and nothing
here waits for an event loop.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from inspect import isawaitable
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, TypeVar

from conductor_sdk.pack_errors import StorageClosed, StorageFailed, StorageMisused

T = TypeVar("T")

GROUP = 256
"""Jobs that share one commit at most."""
BUSY_S = 5.0
"""Seconds to wait for another process that has the file locked."""


class PackConnection(sqlite3.Connection):
    """A connection whose transaction belongs to the worker."""

    def commit(self) -> NoReturn:
        """Refuse: the worker commits when the work returns."""
        raise StorageMisused("commit() inside the work")

    def rollback(self) -> NoReturn:
        """Refuse: the worker rolls back when the work raises."""
        raise StorageMisused("rollback() inside the work; raise instead")

    def executescript(self, _script: str, /) -> NoReturn:
        """Refuse: the driver commits before a script."""
        raise StorageMisused("executescript() commits; use one execute() for each statement")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> Literal[False]:
        return False


class Awaited:
    """What a thread will have to say about a piece of work, and the future that says it."""

    __slots__ = ("answer", "error", "future")

    def __init__(self) -> None:
        self.future: Future[Any] = Future()
        self.answer: Any = None
        self.error: BaseException | None = None

    def settle(self, failure: BaseException | None = None) -> None:
        """Tell whoever waits: the work's own error, else `failure`, else the answer."""
        error = self.error or failure
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.answer)


class Job(Awaited):
    """One piece of work on the database and the future that answers for it."""

    __slots__ = ("committed", "work")

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], Any],
        committed: Callable[[], None] | None = None,
    ) -> None:
        """Hold the work.

        Args:
            work: Runs in the worker's thread, inside of the transaction.
            committed: Runs there too, once the work is durable, even if nobody waits any more.
        """
        super().__init__()
        self.work = work
        self.committed = committed


class StorageWorker:
    """Opens the database on its first job; ends at `stop` or when its owner is gone."""

    def __init__(self, path: Path | None, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._prepare = prepare
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._connection: PackConnection | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def submit(self, job: Job) -> None:
        """Take a job; its future answers. The thread starts with the first one.

        Raises:
            StorageClosed: After `stop`.
        """
        with self._lock:
            if self._stopped:
                raise StorageClosed(str(self._path or "memory"))
            self._jobs.put(job)
            if self._thread is None:
                name = f"pack-storage-{self._path.stem if self._path else 'memory'}"
                # A daemon thread: work that never returns must not hold the process.
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Take no more jobs; those already taken are done first. Idempotent, does not wait."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._jobs.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; a statement that is still running then is interrupted."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        if thread.is_alive() and self._connection is not None:
            self._connection.interrupt()
            thread.join(0.2)
        return not thread.is_alive()

    def abandon(self) -> None:
        """Fail the jobs that a stuck thread will never reach."""
        try:
            while (job := self._jobs.get_nowait()) is not None:
                if job.future.set_running_or_notify_cancel():
                    job.settle(StorageClosed("its worker is stuck"))
        except queue.Empty:
            pass
        self._jobs.put(None)

    def _run(self) -> None:
        try:
            ending = False
            while not ending:
                jobs, ending = self._gather()
                jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
                if jobs:
                    self._perform(jobs)
                del jobs
        finally:
            if self._connection is not None:
                self._connection.close()

    def _gather(self) -> tuple[list[Job], bool]:
        jobs: list[Job] = []
        item = self._jobs.get()
        while item is not None:
            jobs.append(item)
            if len(jobs) == GROUP:
                return jobs, False
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _perform(self, jobs: list[Job]) -> None:
        failure: BaseException | None = None
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                _run_job(connection, job)
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError, UnicodeDecodeError, StorageFailed) as error:
            failure = StorageFailed(f"{self._path or 'memory'}: {error}")
            self._give_up()
        for job in jobs:
            if failure is None and job.error is None and job.committed is not None:
                job.committed()
            job.settle(failure)

    def _give_up(self) -> None:
        connection = self._connection
        if connection is not None and connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._connection = None
                connection.close()

    def _open(self) -> PackConnection:
        if self._connection is None:
            connection = _connect(self._path)
            try:
                self._prepare(connection)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _connect(path: Path | None) -> PackConnection:
    if path is None:
        return sqlite3.connect(":memory:", isolation_level=None, factory=PackConnection)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Created by hand so that the file never exists with a wider mode, and is no symbolic link.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, factory=PackConnection)
    try:
        # A rollback journal: authors open this file with other programs while the daemon runs,
        # and a WAL file with two connections is corrupted by the SQLite of common Pythons.
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _run_job(connection: PackConnection, job: Job) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.answer = detached(job.work(connection))
        if isawaitable(job.answer):
            _close(job.answer)
            raise StorageMisused("the work is a coroutine; give a plain function")  # noqa: TRY301  # undone like any failure
    except BaseException as error:  # noqa: BLE001  # foreign code: whatever it raises is its answer
        job.error = error
        if connection.in_transaction:
            connection.execute("ROLLBACK TO job")
    if not connection.in_transaction:
        # Either a disk error or the work itself: what came before in this commit is in doubt.
        if job.error is None:
            job.error = StorageMisused("the work ended the transaction")
        raise StorageFailed("a transaction ended early")
    connection.execute("RELEASE job")


def detached(answer: T) -> T:
    """Close an answer that is a cursor: its rows belong to the worker's thread."""
    if isinstance(answer, sqlite3.Cursor):
        answer.close()
    return answer


def _close(awaitable: Any) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()
