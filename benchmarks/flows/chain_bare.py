"""The chain on bare asyncio: what is compared with does no more than it must.

Promise: `stream` is a task for each node and a bounded queue between two, once for all items;
`run` makes the same tasks and queues for each item; `calls` is a loop that awaits ten functions.
Refusal: no error is handled, nothing is validated, retried, timed or written down.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

from benchmarks.flows.answering import answer
from benchmarks.flows.work import CAPACITY, NODES, must_be_through, stepped

Item = dict[str, int] | None


async def step(value: dict[str, int]) -> dict[str, int]:
    """Do the work of one node."""
    return stepped(value)


async def stream(items: int) -> None:
    """Send all items through one pipeline."""
    queues = _queues()
    tasks = _tasks(queues)

    async def send() -> None:
        for _ in range(items):
            await queues[0].put({"n": 0})
        await queues[0].put(None)

    sending = asyncio.create_task(send())
    while (value := await queues[-1].get()) is not None:
        must_be_through(value)
    await asyncio.gather(sending, *tasks)


async def run(items: int) -> None:
    """Make a pipeline for each item."""
    for _ in range(items):
        queues = _queues()
        tasks = _tasks(queues)
        await queues[0].put({"n": 0})
        await queues[0].put(None)
        value = await queues[-1].get()
        await asyncio.gather(*tasks)
        assert value is not None
        must_be_through(value)


async def calls(items: int) -> None:
    """Await ten functions for each item."""
    for _ in range(items):
        value = {"n": 0}
        for _ in range(NODES):
            value = await step(value)
        must_be_through(value)


def _queues() -> list[asyncio.Queue[Item]]:
    return [asyncio.Queue(CAPACITY) for _ in range(NODES + 1)]


def _tasks(queues: list[asyncio.Queue[Item]]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(_node(before, after)) for before, after in pairwise(queues)]


async def _node(before: asyncio.Queue[Item], after: asyncio.Queue[Item]) -> None:
    while (value := await before.get()) is not None:
        await after.put(await step(value))
    await after.put(None)


if __name__ == "__main__":
    asyncio.run(answer({"stream": stream, "run": run, "calls": calls}, warm=50))
