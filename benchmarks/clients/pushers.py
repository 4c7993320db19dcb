"""Pushers on the outbox itself: tasks that put one event at a time and wait until it is durable.

`python -m benchmarks.clients.pushers WORKSPACE ALONE PUSHERS EACH`
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from benchmarks.peer import say
from benchmarks.workload import KIND_UP, SUBJECT, event_bodies, event_id_of
from conductor_sdk.clock import SystemClock
from conductor_sdk.records import Outgoing
from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.app import open_stores
from conductor_sidecar.ports import Outbox
from conductor_sidecar.settings import Settings


async def push(root: Path, alone: int, pushers: int, each: int) -> None:
    """Put events from one task, then from many; prints the seconds of both."""
    bodies = event_bodies(alone + pushers * each, kind=KIND_UP, subject=SUBJECT)
    events = [Outgoing(event_id_of(body), KIND_UP, body) for body in bodies]
    async with open_stores(resolve_workspace(root), Settings(), clock=SystemClock()) as stores:
        began = time.monotonic()
        await _put_all(stores.outbox, events[:alone])
        middle = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for first in range(alone, len(events), each):
                group.create_task(_put_all(stores.outbox, events[first : first + each]))
        say(alone_s=middle - began, together_s=time.monotonic() - middle)


async def _put_all(outbox: Outbox, events: list[Outgoing]) -> None:
    for event in events:
        await outbox.put([event])


if __name__ == "__main__":
    alone_, pushers_, each_ = map(int, sys.argv[2:])
    asyncio.run(push(Path(sys.argv[1]), alone_, pushers_, each_))
