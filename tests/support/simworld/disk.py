"""The disk of a world: the simulated one, with its time, its deaths and its trace.

Promise: transactions, savepoints and group commit are the stores' own; work takes virtual time
before its commit, and a death right before or right after a commit keeps what the disk kept.
Refusal: no thread runs, and a dead process touches no file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from random import Random
from typing import Any, Generic, ParamSpec, TypeVar

from conductor_sdk.pack_errors import StorageClosed
from conductor_sdk.storage_worker import GROUP, Job, StorageWorker
from conductor_state.worker import Rounds, Worker
from simdisk.disk import SimDisk, SimFile
from simdisk.storage import SimStorage
from simworld.life import Life, present
from simworld.trace import Trace

P = ParamSpec("P")
R = TypeVar("R")
J = TypeVar("J")
PAGE = 4096
SLOW_SHARE = 0.02
"""Of the commits: the disk is busy."""


class TracedDisk(SimDisk):
    """A disk whose every change is in the trace."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def write(self, path: str, file: SimFile, data: bytes, offset: int) -> None:
        # SQLite puts random salts beside the pages of its logs; they decide nothing.
        bare = len(data) != PAGE and not path.endswith(".db")
        self._trace.data(f"write {_base(path)} {offset}", b"" if bare else data)
        super().write(path, file, data, offset)

    def truncate(self, path: str, file: SimFile, size: int) -> None:
        self._trace.add("truncate", f"{_base(path)} {size}")
        super().truncate(path, file, size)

    def sync(self, path: str, file: SimFile) -> None:
        self._trace.add("sync", _base(path))
        super().sync(path, file)


def _base(path: str) -> str:
    return path.rpartition("/")[2]


class WorldStorage(SimStorage):
    """The disk under the stores of all lives."""

    def __init__(self, trace: Trace, dice: Random) -> None:
        super().__init__(TracedDisk(trace))
        self._dice = dice

    def takes_s(self) -> float:
        """Throw for the time until a round is committed."""
        if self._dice.random() < SLOW_SHARE:
            return self._dice.uniform(0.05, 0.8)
        return self._dice.uniform(0.0001, 0.004)

    def own(self, life: Life) -> None:
        """Give the disk to a life; what is not synced may go with its power."""

        def die() -> None:
            if life.cut_power:
                self.disk.power_cut(self._dice.getrandbits(32))
            else:
                self.disk.crash()

        life.at_death(die)

    def worker(self, name: str, rounds: Rounds[J]) -> Worker[J]:
        return _Worker(name.rpartition(" ")[2], rounds, self)

    def executor(self, name: str) -> Executor:
        return _Executor(f"{name}.db", self)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        present().check()
        await asyncio.sleep(0)
        present().check()
        return work(*args, **kwargs)


class _Turns:
    """One file's work, in rounds: what came until the disk was ready is one round."""

    def __init__(
        self, name: str, storage: WorldStorage, limit: int, perform: Callable[[list[Any]], object]
    ) -> None:
        self.life: Life = present()
        self._name = name
        self._storage = storage
        self._limit = limit
        self._perform = perform
        self.waiting: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, job: Any) -> None:
        """Queue a job."""
        self.life.check()
        self.waiting.append(job)
        self._plan()

    def _plan(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._storage.takes_s(), self._commit)

    def finish(self) -> None:
        """Do at once what waits; for closing."""
        while self.waiting and not self.life.dead:
            jobs, self.waiting = self.waiting[: self._limit], self.waiting[self._limit :]
            self._perform(jobs)

    def _commit(self) -> None:
        self._timer = None
        if self.life.dead or not self.life.reach(f"{self._name}.before_commit"):
            return
        jobs, self.waiting = self.waiting[: self._limit], self.waiting[self._limit :]
        if jobs:
            self._perform(jobs)
        if self.life.reach(f"{self._name}.after_commit") and self.waiting:
            self._plan()


class _Worker(Generic[J]):
    """Stands for a database's thread."""

    def __init__(self, name: str, rounds: Rounds[J], storage: WorldStorage) -> None:
        self._rounds = rounds
        self._turns = _Turns(name, storage, rounds.limit, rounds.perform)

    def start(self) -> None:
        self._turns.life.check()
        self._rounds.begin()

    def put(self, job: J) -> None:
        self._turns.add(job)

    def finish(self) -> None:
        self._turns.finish()
        if not self._turns.life.dead:
            self._rounds.end()


class _Executor(Executor):
    """Stands for the journal's thread."""

    def __init__(self, name: str, storage: WorldStorage) -> None:
        self._turns = _Turns(name, storage, GROUP, self._group)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._turns.add((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing to end."""

    def _group(self, calls: list[tuple[Future[Any], Callable[[], Any]]]) -> None:
        for future, work in calls:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except Exception as error:  # noqa: BLE001  it is raised by whoever waits
                    future.set_exception(error)


def pack_worker(storage: WorldStorage) -> type[StorageWorker]:
    """Return what stands for the thread of a pack's database."""

    class PackWorker(StorageWorker):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._turns = _Turns("pack.db", storage, GROUP, self._group)

        def submit(self, job: Job) -> None:
            if self._stopped:
                raise StorageClosed("closed")
            self._turns.add(job)

        def stop(self) -> None:
            self._stopped = True

        def wait(self, timeout_s: float) -> bool:
            del timeout_s
            self._turns.finish()
            if self._connection is not None and not self._turns.life.dead:
                self._connection.close()
            self._connection = None
            return True

        def _group(self, jobs: list[Job]) -> None:
            running = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if running:
                self._perform(running)

        def _open(self) -> Any:
            if self._connection is None:
                assert self._path is not None
                connection: Any = _open_pack(storage, self._path)
                self._prepare(connection)
                self._connection = connection
            return self._connection

    return PackWorker


def _open_pack(storage: WorldStorage, path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # a storage looks whether its file is there before it asks it
    storage.make_private_shared(path)
    connection = storage.connect_shared(path)
    for pragma in ("journal_mode = TRUNCATE", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection
