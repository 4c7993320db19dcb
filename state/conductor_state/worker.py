"""What runs a database's rounds: a thread, where a fault suite does not put something else.

Promise: jobs are done in the order in which they came, those that wait together in one round.
Refusal: it knows no database; what a round does is its owner's.

The thread is a daemon: a process that forgets to close exits all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

import msgspec

J = TypeVar("J")
J_contra = TypeVar("J_contra", contravariant=True)


class Rounds(msgspec.Struct, Generic[J], frozen=True):
    """What a worker calls, each on its own thread."""

    begin: Callable[[], bool]
    """Once, first; False: it failed, and nothing else is called."""
    perform: Callable[[list[J]], None]
    """For each round; never raises."""
    end: Callable[[], None]
    """Once, last."""
    limit: int
    """Jobs of one round at most."""


class Worker(Protocol[J_contra]):
    """Does jobs in order."""

    def start(self) -> None:
        """Begin."""
        ...

    def put(self, job: J_contra) -> None:
        """Add a job to the next round; from the event loop."""
        ...

    def finish(self) -> None:
        """End after the jobs that were put."""
        ...


class ThreadWorker(Generic[J]):
    """A thread that sleeps while there is nothing to do."""

    def __init__(self, name: str, rounds: Rounds[J]) -> None:
        self._rounds = rounds
        self._queue: SimpleQueue[J | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, job: J) -> None:
        """Add a job to the next round."""
        self._queue.put(job)

    def finish(self) -> None:
        """End after the jobs that were put."""
        self._queue.put(None)

    def _run(self) -> None:
        if not self._rounds.begin():
            return
        going_on = True
        while going_on:
            jobs, going_on = self._next()
            if jobs:
                self._rounds.perform(jobs)
        self._rounds.end()

    def _next(self) -> tuple[list[J], bool]:
        jobs: list[J] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == self._rounds.limit:
                return jobs, True
            try:
                job = self._queue.get_nowait()
            except Empty:
                return jobs, True
        return jobs, False
