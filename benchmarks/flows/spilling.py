"""Items that leave memory while they wait, and files alone.

Promise: every item is over the edge's threshold, so all of them go out and come back; the store is
a blob store of a host, bound as its user binds it. Refusal: a wrong sum ends the benchmark.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

from conductor_flows import Flow, node, trigger
from conductor_flows.capabilities.bindings.spec import parse
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.runner import Invocation, Runner
from conductor_flows.execute.spilling import SpillStore
from conductor_flows.host.services import serving

ITEM_BYTES = 4096
EDGE_ITEMS = 8


@trigger(summary="Say how many")
async def count(value: dict[str, int]) -> dict[str, int]:
    """Hand on."""
    return value


@node(summary="Make the items")
async def fan(value: dict[str, int]) -> list[dict[str, str]]:
    """Return that many."""
    return [{"text": f"{number:08}".ljust(ITEM_BYTES)} for number in range(value["items"])]


@node(summary="Hand an item on")
async def give(item: dict[str, str]) -> dict[str, str]:
    """Hand on."""
    return item


@node(effects="read_only", uses=["resource::blob::read"], summary="Take an item")
async def take(item: dict[str, str]) -> int:
    """Return what the item says that it is."""
    return int(item["text"])


@node(summary="Add up")
async def total(numbers: list[int]) -> int:
    """Return the sum."""
    return sum(numbers)


def spilling_flow(*, spills: bool) -> Flow:
    """Return a fan whose items wait on one edge."""
    flow = Flow("spilling", "1.0.0")
    start, source, entry = flow.add(count), flow.add(fan), flow.add(give)
    leave, end = flow.add(take), flow.add(total)
    flow.connect(start, source)
    flow.connect(entry, leave)
    flow.for_each(source, entry, last=leave, collect=end)
    flow.buffer(entry, leave, max_items=EDGE_ITEMS)
    if spills:
        flow.spill(entry, leave, tier="disk", threshold_bytes=ITEM_BYTES // 2)
    return flow


class Counted:
    """A store that counts what is put."""

    def __init__(self, store: SpillStore) -> None:
        self.get, self.delete = store.get, store.delete
        self._put = store.put
        self.items = 0

    async def put(self, key: str, data: bytes) -> None:
        """See `SpillStore.put`."""
        self.items += 1
        await self._put(key, data)


class Spilling:
    """What `durable` asks for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def spill_files(self, items: int) -> dict[str, float]:
        """Send items over an edge that spills into files."""
        return await self._spill(items, f"blob=filesystem:{self._folder / 'blobs'}")

    async def spill_sqlite(self, items: int) -> dict[str, float]:
        """Send items over an edge that spills into SQLite."""
        return await self._spill(items, f"blob=sqlite:{self._folder / 'blobs.db'}")

    async def memory(self, items: int) -> dict[str, float]:
        """Send the same items over the same edge, in memory."""
        return await self._spill(items, "blob=memory", spills=False)

    async def _spill(self, items: int, bound: str, *, spills: bool = True) -> dict[str, float]:
        program = spilling_flow(spills=spills).program()
        async with serving(bindings=[parse(bound)]) as services:
            counted = Counted(services.spill["disk"])
            runner = Runner(program, replace(services, spill={"disk": counted}))
            begin = time.perf_counter()
            await _run(runner, items)
            took_s = time.perf_counter() - begin
        return {"spilled": counted.items, "took_s": took_s}

    async def files(self, items: int) -> None:
        """Write, read and remove as many files, one after the other."""
        await asyncio.to_thread(self._files, items, synced=False)

    async def synced_files(self, items: int) -> None:
        """Do the same, each file and its folder on disk before it is renamed into its place."""
        await asyncio.to_thread(self._files, items, synced=True)

    def _files(self, items: int, *, synced: bool) -> None:
        data = b"x" * ITEM_BYTES
        for number in range(items):
            path = self._folder / f"item-{number}"
            new = path.with_suffix(".new")
            with new.open("wb") as file:
                file.write(data)
                if synced:
                    file.flush()
                    os.fsync(file.fileno())
            new.replace(path)
            if synced:
                _synchronise(self._folder)
            assert data == path.read_bytes()
            path.unlink()
            if synced:
                _synchronise(self._folder)


def _synchronise(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


async def _run(runner: Runner, items: int) -> None:
    outcome = await runner.run(Invocation({"items": items}))
    assert Value(sum(range(items))) == outcome
