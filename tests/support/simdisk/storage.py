"""A simulated disk as the `Storage` of our stores, with nothing but the event loop to run them."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast

import apsw

from conductor_state.storage import Storage
from conductor_state.worker import Rounds, Worker
from simdisk.connection import SimConnection
from simdisk.disk import SimDisk
from simdisk.vfs import SimVFS

P = ParamSpec("P")
R = TypeVar("R")
J = TypeVar("J")

_CREATE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


class SimStorage(Storage):
    """One disk for any number of stores and of lives."""

    def __init__(self, disk: SimDisk, *, latency_s: float = 0.0) -> None:
        self.disk = disk
        self.latency_s = latency_s
        """How long each round of a database takes, in seconds of the event loop."""
        self._vfs = SimVFS(disk)

    def connect(self, path: Path) -> sqlite3.Connection:
        return self._connect(str(path), _CREATE, exclusive=True)

    def connect_shared(self, path: Path) -> sqlite3.Connection:
        return self._connect(str(path), apsw.SQLITE_OPEN_READWRITE, exclusive=False)

    def connect_read_only(self, path: Path) -> sqlite3.Connection:
        """Open a copy, for a reader of a write-ahead log needs more than reading."""
        copies = SimStorage(self.disk.seen())
        return copies.connect(path)

    def make_private(self, path: Path) -> None:
        if str(path) not in self.disk.names:
            self.disk.create(str(path))
            self.disk.sync_directory(str(path.parent))

    def make_private_shared(self, path: Path) -> None:
        self.make_private(path)

    def identity(self, path: Path) -> tuple[int, int] | None:
        file = self.disk.names.get(str(path))
        return None if file is None else (0, file.number)

    def size(self, path: Path) -> int | None:
        file = self.disk.names.get(str(path))
        return None if file is None else len(file.live)

    def head(self, path: Path, size: int) -> bytes:
        file = self.disk.names.get(str(path))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self.disk.read(str(path), file, size, 0)

    def write(self, path: Path, data: bytes) -> None:
        draft = f"{path}.draft"
        file = self.disk.create(draft)
        self.disk.truncate(draft, file, 0)
        self.disk.write(draft, file, data, 0)
        self.disk.sync(draft, file)
        self.rename(Path(draft), path)

    def overwrite(self, path: Path, data: bytes) -> None:
        self.disk.write(str(path), self.disk.names[str(path)], data, 0)

    def copy(self, path: Path, target: Path) -> None:
        file = self.disk.names.get(str(path))
        if file is not None:
            self.disk.write(str(target), self.disk.create(str(target)), bytes(file.live), 0)

    def rename(self, path: Path, target: Path) -> None:
        self.disk.rename(str(path), str(target))
        self.disk.sync_directory(str(target.parent))

    def remove(self, path: Path) -> None:
        if str(path) in self.disk.names:
            self.disk.remove(str(path))

    def renew(self, path: Path) -> None:
        file = self.disk.names.get(str(path))
        if file is not None and file.live:
            self.disk.write(str(path), file, bytes(file.live), 0)
            self.disk.sync(str(path), file)

    def back_up(self, connection: sqlite3.Connection, target: Path) -> None:
        self.remove(target)
        copy = self.connect(target)
        try:
            connection.backup(copy)
        finally:
            copy.close()

    def worker(self, name: str, rounds: Rounds[J]) -> Worker[J]:
        return LoopWorker(rounds, self.latency_s)

    def executor(self, name: str) -> Executor:
        return InlineExecutor()

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return work(*args, **kwargs)

    def _connect(self, path: str, flags: int, *, exclusive: bool) -> sqlite3.Connection:
        made = SimConnection(self._vfs, path, flags, exclusive=exclusive)
        return cast("sqlite3.Connection", made)


class LoopWorker(Generic[J]):
    """Does a round as a callback of the event loop: what was put in one turn is one round."""

    def __init__(self, rounds: Rounds[J], latency_s: float) -> None:
        self._rounds = rounds
        self._latency_s = latency_s
        self._jobs: list[J] = []
        self._finishing = False
        self._scheduled = False
        self._begun = False

    def start(self) -> None:
        self._begun = self._rounds.begin()

    def put(self, job: J) -> None:
        self._jobs.append(job)
        self._schedule()

    def finish(self) -> None:
        self._finishing = True
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and self._begun:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            if self._latency_s:
                loop.call_later(self._latency_s, self._turn)
            else:
                loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        limit = self._rounds.limit
        jobs, self._jobs = self._jobs[:limit], self._jobs[limit:]
        if jobs:
            self._rounds.perform(jobs)
        if self._jobs:
            self._schedule()
        elif self._finishing:
            self._begun = False
            self._rounds.end()


class InlineExecutor(Executor):
    """Runs a call at once, where it is made."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  whoever waits for it raises it
            future.set_exception(error)
        return future
