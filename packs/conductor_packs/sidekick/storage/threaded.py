"""The port of a storage whose work is done in threads: what its adapters have in common.

Promise: reads run beside each other and beside a change; changes go through one worker; closing
finishes the changes that were taken before it gives anything back. Refusal: nothing here knows
what is on the disk, that is the engine's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from conductor_packs.sidekick.storage.audited import AuditedPort
from conductor_packs.sidekick.storage.errors import StoreClosed
from conductor_packs.sidekick.storage.port import Change, View
from conductor_packs.sidekick.storage.worker import Groups, Job, Worker

T = TypeVar("T")

_CLOSE_S = 20.0


class Engine(Groups, Protocol):
    """What happens in threads: reading, and committing groups of changes."""

    def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on one consistent state, in the thread of the caller.

        Raises:
            StorageError: The state cannot be read.
        """
        ...

    def close(self) -> None:
        """Give everything back; no change is under way."""
        ...


def absolute(root_dir: Path) -> Path:
    """Return the directory's whole path, links left as they are."""
    return Path(os.path.abspath(root_dir))  # noqa: PTH100  # resolve() would follow links


class ThreadedStoragePort(AuditedPort):
    """A `StoragePort` on an engine. Derive from it, and give it one."""

    def __init__(self, root: Path, engine: Engine, *, name: str, lock_wait_s: float) -> None:
        """Touch nothing yet.

        Args:
            root: The directory, absolute.
            engine: Reads it and changes it.
            name: The thread's.
            lock_wait_s: How long a change waits for another process before `StoreBusy`.
        """
        self._root = root
        self._engine = engine
        self._worker = Worker(name, engine, lock_wait_s)
        self._closed = False

    @property
    def root_dir(self) -> Path:
        """The directory; it need not exist."""
        return self._root

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on one consistent state, without the lock of the writers."""
        if self._closed:
            raise StoreClosed(str(self._root))
        return await asyncio.to_thread(self._engine.read, work)

    async def change(self, work: Callable[[Change], T]) -> T:
        """Run `work` exclusively, across processes; stored when this returns."""
        job = Job(work)
        self._worker.submit(job)
        answer: T = await asyncio.wrap_future(job.future)
        return answer

    async def close(self) -> None:
        """Finish the changes that were taken, give everything back; refuse what comes later."""
        self._closed = True
        if await asyncio.to_thread(self._worker.close, _CLOSE_S):
            await asyncio.to_thread(self._engine.close)
