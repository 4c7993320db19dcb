"""Traffic while a sidecar is reloaded, restarted or moved, and what the process holds of it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from conductor_server.hub import EmbeddedConductor, ToSend
from conductor_sidecar.runtime import Daemon
from delivery_world import SUBJECT
from reload_pack import ASKED, STEADY
from reload_world import ReloadWorld

PAGE = os.sysconf("SC_PAGE_SIZE")
_MMAP_THRESHOLD, _LARGE = -3, 1 << 20


class Held(NamedTuple):
    """What this process holds."""

    rss: int
    """Bytes, after free memory of the C allocator was given back."""
    blocks: int
    """Living blocks of the Python allocator."""
    daemons: int
    """Daemons that are alive, running or not."""
    files: int
    tasks: Counter[str]


def held() -> Held:
    gc.collect()
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:  # glibc has it
        trim(0)
    daemons = sum(type(one) is Daemon for one in gc.get_objects())
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    names = (task.get_name() for task in asyncio.all_tasks())
    kept = Counter(name for name in names if not name.startswith("Task-"))
    files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return Held(pages * PAGE, sys.getallocatedblocks(), daemons, files, kept)


def give_back_large_blocks() -> None:
    """Have the C allocator return a block of a megabyte or more as soon as it is freed.

    glibc puts later blocks of the size of one that was freed into its heap. The filters of known
    ids are such blocks, 4 MiB each, and sixty restarts left 16 MiB of holes there.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:  # glibc has it
        mallopt(_MMAP_THRESHOLD, _LARGE)


def tell(result: str) -> None:
    """Say what was measured; shown with `-s`."""
    sys.stdout.write(f"\n{result}\n")


class Traffic:
    """Sends events at a rate, in batches, until told to stop."""

    def __init__(self, world: ReloadWorld, *, per_batch: int = 5, every_s: float = 0.01) -> None:
        self._world = world
        self._per_batch = per_batch
        self._every_s = every_s
        self.sent = 0
        self.also: list[EmbeddedConductor] = []
        """Conductors that serve the same history."""

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[Traffic]:
        stop = asyncio.Event()
        task = asyncio.create_task(self._send(stop), name="traffic")
        try:
            yield self
        finally:
            stop.set()
            await task

    async def flood(self, count: int) -> None:
        """Send so many events as fast as they are handled."""
        end = self.sent + count
        while self.sent < end:
            await self._send_some(min(50, end - self.sent))
            await self.caught_up(500)
        await self.caught_up(0)

    async def _send_some(self, count: int) -> None:
        numbers = range(self.sent, self.sent + count)
        self.sent += count
        events = [
            ToSend(ASKED, {"n": n, "lane": n % 8, "do": "push" if n % 10 == 0 else ""}, str(n))
            for n in numbers
        ]
        sent = await self._world.conductor.send_many(SUBJECT, events)
        for conductor in self.also:
            (await conductor.workspace(SUBJECT)).grow(max(one.sequence for one in sent))

    async def _send(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            await self._send_some(self._per_batch)
            due = max(due + self._every_s, loop.time() - 1.0)
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def caught_up(self, behind: int) -> None:
        """Wait until no more than so many events are still to be handled, as long as some are."""
        handled = self._world.pack(STEADY).handled
        await self._world.until(
            "it catches up", lambda: len(handled) >= self.sent - behind,
            progress=lambda: len(handled),
        )  # fmt: skip

    async def arrived(self) -> None:
        """Wait until everything was handled; nothing was handled twice."""
        world = self._world
        await world.until(
            "everything is handled", lambda: len(world.pack(STEADY).handled) >= self.sent,
            progress=lambda: len(world.pack(STEADY).handled),
        )  # fmt: skip
        calls = world.pack(STEADY).calls
        assert {} == {number: count for number, count in calls.items() if count != 1}
        assert list(range(self.sent)) == sorted(world.pack(STEADY).handled)
        await world.settled()
        pushed = await world.pushed_numbers(f"{STEADY}:thing_queued")
        assert [n for n in range(self.sent) if n % 10 == 0] == sorted(pushed)
