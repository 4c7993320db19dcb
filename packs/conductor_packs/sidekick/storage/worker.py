"""The thread in which changes run: one at a time, many in one commit.

Promise: changes run in the order in which they came; those that wait share one lock and one
commit; each is answered exactly once, after it is durable. Refusal: nothing here knows a file, and
no thread outlives its work for long.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from conductor_packs.sidekick.storage.errors import StorageError, StoreBusy, StoreClosed
from conductor_packs.sidekick.storage.port import Change
from conductor_sdk.storage_worker import Awaited

GROUP = 512
"""Changes that share one commit at most."""
_IDLE_S = 0.5
_GIVE_WAY_S = 0.001


Step = Callable[[str], None]
"""Called with the name of each step that was just done: where a test stops the process."""


def no_step(_name: str) -> None:
    """Tell nobody."""


class Job(Awaited):
    """One change, and the future that answers for it."""

    __slots__ = ("since", "work")

    def __init__(self, work: Callable[[Change], Any]) -> None:
        super().__init__()
        self.work = work
        self.since = time.monotonic()


class Groups(Protocol):
    """What an adapter does with the changes that wait."""

    def hold(self, wait_s: float) -> AbstractContextManager[None]:
        """Exclude every other writer; StoreBusy after about `wait_s`."""
        ...

    def perform(self, jobs: list[Job]) -> None:
        """Run each job's work, noting its answer or error, and commit what succeeded.

        Raises:
            StorageError: Nothing of any job was stored.
        """
        ...


class Worker:
    """Takes changes from any thread. Its own thread comes with work and goes without."""

    def __init__(self, name: str, groups: Groups, wait_s: float) -> None:
        """Start nothing yet.

        Args:
            name: The thread's.
            groups: The adapter.
            wait_s: How long a change waits for another process before it fails.
        """
        self._name = name
        self._groups = groups
        self._wait_s = wait_s
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Job) -> None:
        """Take a change.

        Raises:
            StoreClosed: After `close`.
        """
        with self._lock:
            if self._closed:
                raise StoreClosed(self._name)
            self._jobs.put(job)
            if self._thread is None:
                # A daemon thread: a holder elsewhere that never ends must not hold this process.
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Take no more; wait for what was taken. False: it is still at it."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
            return not thread.is_alive()
        return True

    def _run(self) -> None:
        pending: list[Job] = []
        while pending or (pending := self._first()):
            pending = self._serve(pending)
            if pending or not self._jobs.empty():
                # Whoever else polls for the lock gets a chance between two groups.
                time.sleep(_GIVE_WAY_S)
                pending.extend(self._waiting())

    def _first(self) -> list[Job]:
        """Wait for a job; none: the thread is no longer this worker's, and ends."""
        while True:
            job: Job | None = None
            with contextlib.suppress(queue.Empty):
                # `_waiting` may have met the end of the queue already.
                job = self._jobs.get(timeout=0 if self._closed else _IDLE_S)
            if job is not None:
                return [job]
            with self._lock:
                if self._jobs.empty():
                    self._thread = None
                    return []

    def _serve(self, pending: list[Job]) -> list[Job]:
        """Serve the jobs, and those that come until the lock is there; returns what is left."""
        wait_s = max(0.0, pending[0].since + self._wait_s - time.monotonic())
        number, jobs = 0, list[Job]()
        failure: StorageError | None = None
        try:
            with self._groups.hold(wait_s):
                pending.extend(self._waiting())
                number, jobs = GROUP, _wanted(pending[:GROUP])
                failure = self._perform(jobs)
        except StoreBusy as error:
            late = time.monotonic() - self._wait_s
            number = max(1, sum(job.since <= late for job in pending))
            jobs, failure = _wanted(pending[:number]), error
        except Exception as error:  # noqa: BLE001  # whoever waits must be answered, whatever broke
            # After `_perform` what it said stands: giving the lock back changes nothing.
            if not number:
                number, jobs, failure = GROUP, _wanted(pending[:GROUP]), _translate(error)
        # Answered once the lock is free again, so that an answer means that nothing is held.
        for job in jobs:
            job.settle(failure)
        return pending[number:]

    def _perform(self, jobs: list[Job]) -> StorageError | None:
        try:
            if jobs:
                self._groups.perform(jobs)
        except Exception as error:  # noqa: BLE001  # as above
            return _translate(error)
        return None

    def _waiting(self) -> list[Job]:
        jobs: list[Job] = []
        with contextlib.suppress(queue.Empty):
            while len(jobs) < GROUP:
                job = self._jobs.get_nowait()
                if job is not None:  # the end, which `_first` notices by itself
                    jobs.append(job)
        return jobs


def _wanted(jobs: list[Job]) -> list[Job]:
    """Return those that nobody cancelled; from here on nobody can."""
    return [job for job in jobs if job.future.set_running_or_notify_cancel()]


def _translate(error: Exception) -> StorageError:
    return error if isinstance(error, StorageError) else StorageError(repr(error))
