"""A pack's own SQLite file, with its replay keys beside its tables.

Promise: what `run` and `run_once` answer is committed (`synchronous=FULL`); `run_once` commits an
effect and its key together or not at all; closing never hangs. Refusal: no other pack, and no
other connection of the daemon, opens this file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from conductor_sdk.clock import Clock, SystemClock, epoch_ms
from conductor_sdk.storage_worker import Job, StorageWorker, detached

T = TypeVar("T")

KEYS_IN_MEMORY = 32_768
"""While there are no more keys than this, `has` answers without asking the database."""


class SqliteStorage:
    """The `StoragePort` of a pack. Created at first use, mode 0600; use from one event loop."""

    def __init__(self, path: Path | None, *, clock: Clock | None = None) -> None:
        """Open nothing yet.

        Args:
            path: The file; None keeps everything in memory, for tests.
            clock: Gives the time of a key, for `prune`.
        """
        self._path = path
        self._clock = clock or SystemClock()
        self._sql = _statements()
        self._keys = _Keys(self._sql)
        self._worker = StorageWorker(path, self._keys.load)
        # A storage that is dropped without `close` gives its thread and its file back.
        self._finalizer = weakref.finalize(self, self._worker.stop)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction off the event loop; committed when this returns.

        `work` neither begins nor ends a transaction, and fetches its rows itself: a cursor that
        it returns is closed. Calls that come together share a commit; an exception from `work`
        undoes that work alone and is raised here. Cancelling the call leaves open whether the
        work was done.

        Raises:
            StorageFailed: The database refused; nothing of the call happened.
            StorageMisused: `work` is a coroutine, or ended the transaction.
            StorageClosed: After `close`.
        """
        answer: T = await self._do(Job(work))
        return answer

    async def _do(self, job: Job) -> Any:
        self._worker.submit(job)
        return await asyncio.wrap_future(job.future)

    async def run_once(self, key: str, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run `work` and record `key` in one commit; None when the key was already there.

        Raises:
            StorageFailed: As `run`, with neither the effect nor the key stored.
        """
        at_ms = epoch_ms(self._clock.now())
        put_key = self._sql["put_key"]

        def once(connection: sqlite3.Connection) -> tuple[T] | None:
            if connection.execute(put_key, (key, at_ms)).rowcount == 0:
                return None
            answer = detached(work(connection))
            if asyncio.iscoroutine(answer):
                return answer  # type: ignore[return-value]  # the worker refuses and undoes it
            return (answer,)

        # The key is remembered by the worker: a cancelled call may still commit.
        done: tuple[T] | None = await self._do(Job(once, lambda: self._keys.added(key)))
        return None if done is None else done[0]

    async def has(self, key: str) -> bool:
        """Tell whether `run_once` has committed `key`. Creates no file."""
        return bool(await self.known([key]))

    async def known(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that are committed: one hop for all of them, mostly none."""
        asked = set(keys)
        if not self._keys.loaded and self._path is not None and not self._path.exists():
            return set()
        remembered = self._keys.remembered(asked)
        if remembered is not None:
            return remembered
        has_key = self._sql["has_key"]
        return await self.run(
            lambda connection: {
                key for key in asked if connection.execute(has_key, (key,)).fetchone() is not None
            }
        )

    async def prune(self, older_than_ms: int, limit: int = 1000) -> int:
        """Forget up to `limit` keys put before then; returns how many. Call again until 0."""
        if not self._keys.loaded and self._path is not None and not self._path.exists():
            return 0

        def drop(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(self._sql["old_keys"], (older_than_ms, limit)).fetchall()
            connection.executemany(self._sql["drop_key"], rows)
            return [row[0] for row in rows]

        dropped = await self.run(drop)
        self._keys.dropped(dropped)
        return len(dropped)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Finish what was taken, then give up thread and file. Idempotent, never raises.

        Work that does not end within `timeout_s` is interrupted, and what waits behind it fails
        with StorageClosed.
        """
        self._finalizer.detach()
        self._worker.stop()
        if not await asyncio.to_thread(self._worker.wait, timeout_s):
            self._worker.abandon()


class _Keys:
    """The keys in memory, as long as they are few; filled by the worker when it opens."""

    def __init__(self, sql: dict[str, str]) -> None:
        self._sql = sql
        self._all: set[str] | None = None
        self.loaded = False

    def load(self, connection: sqlite3.Connection) -> None:
        connection.execute(self._sql["create_keys"])
        rows = connection.execute(self._sql["some_keys"], (KEYS_IN_MEMORY + 1,)).fetchall()
        self._all = {row[0] for row in rows} if len(rows) <= KEYS_IN_MEMORY else None
        self.loaded = True

    def remembered(self, asked: set[str]) -> set[str] | None:
        return asked & self._all if self.loaded and self._all is not None else None

    def added(self, key: str) -> None:
        if self._all is not None:
            self._all.add(key)
            if len(self._all) > KEYS_IN_MEMORY:
                self._all = None

    def dropped(self, keys: list[str]) -> None:
        if self._all is not None:
            self._all.difference_update(keys)


def _statements() -> dict[str, str]:
    text = Path(__file__).with_name("storage.sql").read_text(encoding="utf-8")
    named = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {name.strip(): statement.strip() for name, statement in named}
