"""The settler: everything that has come together goes into one commit.

Promise: outcomes are written in the order in which they were decided, and tried again until they
are stored. Refusal: it decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from conductor_handlers.ports import ClaimStore, DispatchObserver
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Settled

HIGH_WATER = 8192
"""Outcomes that may wait; above it workers pause, so that memory stays bounded."""
BATCH = 4096
RETRY_S = 1.0


class OutcomeWriter:
    """Collects outcomes from workers; `run` writes them."""

    def __init__(self, store: ClaimStore, observer: DispatchObserver | None) -> None:
        self._store = store
        self._observer = observer
        self._outcomes: list[Settled] = []
        self._keys: list[tuple[str, str]] = []
        self._release: list[int] = []
        self._writing = 0
        self._added = self._written = 0
        self._progress = asyncio.Event()
        self._dirty = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._closing = False
        self._closed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Outcomes that are decided and not yet durable."""
        return len(self._outcomes) + self._writing

    def add(self, outcome: Settled) -> int:
        """Queue one outcome; returns its number, for `reached`."""
        self._outcomes.append(outcome)
        self._added += 1
        waiting = len(self._outcomes)
        if waiting == 1:  # whoever writes goes on until there are none
            self._dirty.set()
        elif waiting >= HIGH_WATER:
            self._roomy.clear()
        return self._added

    def add_all(self, outcomes: Sequence[Settled]) -> None:
        """Queue outcomes."""
        for outcome in outcomes:
            self.add(outcome)

    def add_keys(self, keys: Sequence[tuple[str, str]]) -> None:
        """Queue replay keys that belong to no single outcome."""
        self._keys.extend(keys)
        self._dirty.set()

    async def room(self) -> None:
        """Wait while too many outcomes are on their way to the disk."""
        if not self._roomy.is_set():
            await self._roomy.wait()

    async def reached(self, number: int) -> None:
        """Wait until the outcome with this number, and all before it, are durable.

        On a slow disk the next attempt may be due before the last one's outcome is written, which
        gives its claim back: a claim before that would be given back with it, uncounted.
        """
        while self._written < number:
            self._progress.clear()
            await self._progress.wait()

    async def close(self, *, release: Sequence[int]) -> None:
        """Write what is left, give `release` back without an attempt, and end `run`."""
        self._release.extend(release)
        self._closing = True
        self._dirty.set()
        await self._closed.wait()

    async def run(self) -> None:
        """Write until closed."""
        try:
            while not (self._closing and not self._outcomes and not self._keys):
                await self._dirty.wait()
                self._dirty.clear()
                await self._write_all()
            if self._release:
                await self._store.release(self._release)
        finally:
            self._closed.set()

    async def _write_all(self) -> None:
        while self._outcomes or self._keys:
            keys, self._keys = self._keys, []
            batch = self._outcomes[:BATCH]
            del self._outcomes[:BATCH]
            self._writing = len(batch)
            await self._write(batch, keys)
            self._writing = 0
            self._written += len(batch)
            self._progress.set()
            self._roomy.set()

    async def _write(self, batch: list[Settled], keys: list[tuple[str, str]]) -> None:
        while True:
            try:
                if keys:
                    await self._store.put_keys(keys)
                    keys = []
                if batch:
                    await self._store.settle(batch)
            except ConductorError as error:
                if self._observer is not None:
                    self._observer.trouble(error)
                if self._closing:
                    return  # unsettled events stay stored and come back at the next start
                if not error.retryable:
                    raise  # a broken store must end the daemon, not look healthy
                await asyncio.sleep(RETRY_S)
            else:
                if self._observer is not None and batch:
                    self._observer.settled(batch)
                return
