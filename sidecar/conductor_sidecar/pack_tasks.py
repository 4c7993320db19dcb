"""The background tasks of packs.

Promise: one task for each pack that wants one; it is started again when it fails, later each time,
and never beside one of the same pack that has not ended. Refusal: what it does is the pack's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from conductor_handlers.errors import describe
from conductor_handlers.registry import LoadedPack
from conductor_sdk.clock import Clock
from conductor_sidecar.feed import Feed
from conductor_sidecar.logs import get_logger

RESTART_FIRST_S = 1.0
RESTART_CAP_S = 60.0
END_S = 2.0
"""Seconds that a task which is cancelled has to end before others go on."""


class Bound(Protocol):
    """A pack and its context."""

    @property
    def pack(self) -> LoadedPack:
        """The pack."""
        ...

    @property
    def context(self) -> Any:
        """What its background task is given."""
        ...


class PackTasks:
    """One for the daemon's life."""

    def __init__(self, clock: Clock, feed: Feed) -> None:
        self._clock = clock
        self._feed = feed
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        """Tasks that were cancelled and have not ended yet."""

    async def run(self, packs: Iterable[Bound]) -> None:
        """Run the tasks of these packs, and of those that come later, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                self.begin(packs)
                await asyncio.Event().wait()
            finally:
                self._group = None

    def begin(self, packs: Iterable[Bound]) -> None:
        """Start the tasks of packs that have none running."""
        for one in packs:
            slug = one.pack.slug
            wanted = one.pack.pack.background is not None and slug not in self._tasks
            if wanted and self._group is not None:
                running = self._background(one, self._ending.pop(slug, None))
                self._tasks[slug] = self._group.create_task(running, name=f"pack.{slug}")

    async def end(self, slugs: Collection[str]) -> None:
        """Cancel the tasks of packs; waits a moment for them."""
        tasks = {slug: self._tasks.pop(slug) for slug in slugs if slug in self._tasks}
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks.values(), timeout=END_S)
        for slug, task in tasks.items():
            if not task.done():
                get_logger(pack=slug).error("background_stuck")
                self._ending[slug] = task

    async def _background(self, one: Bound, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        pack, pause_s = one.pack, RESTART_FIRST_S
        while pack.pack.background is not None:
            began = self._clock.monotonic()
            try:
                await pack.pack.background(one.context)
            except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: the daemon goes on
                text = describe(error)
                get_logger(pack=pack.slug).error("background_failed", error=text)
                self._feed.note("background_failed", detail=f"{pack.slug}: {text}")
            else:
                return
            if self._clock.monotonic() - began > RESTART_CAP_S:
                pause_s = RESTART_FIRST_S
            await asyncio.sleep(pause_s)
            pause_s = min(RESTART_CAP_S, pause_s * 2)
