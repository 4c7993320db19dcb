"""Fill a store before it is measured, through its public methods.

`python -m benchmarks.prefill log|outbox WORKSPACE COUNT`; `sidecar.db` is then ready to be copied.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from benchmarks.peer import EPOCH
from benchmarks.workload import KIND_DOWN, KIND_UP, SUBJECT, event_bodies, event_id_of
from conductor_sdk.clock import SystemClock
from conductor_sdk.records import Arrival, Delivered, Outgoing
from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.app import Stores, open_stores
from conductor_sidecar.settings import OutboxSettings, Settings

_BATCH = 4096


async def fill(what: str, root: Path, count: int) -> None:
    """Open the stores of a workspace, fill one of them, close them."""
    settings = Settings(outbox=OutboxSettings(max_events=2 * count))
    async with open_stores(resolve_workspace(root), settings, clock=SystemClock()) as stores:
        await {"log": _fill_log, "outbox": _fill_outbox}[what](stores, count)


async def _fill_log(stores: Stores, count: int) -> None:
    """Receive, claim and settle events with random ids; the cursor stays where it was."""
    for first in range(0, count, _BATCH):
        size = min(_BATCH, count - first)
        ids = os.urandom(16 * size).hex()
        batch = [Arrival(f"evt-{ids[32 * n : 32 * n + 32]}", KIND_DOWN, b"{}") for n in range(size)]
        receipt = await stores.log.receive(EPOCH, 0, batch)
        positions = [position for position in receipt.positions if position is not None]
        await stores.log.claim(positions)
        await stores.log.settle([Delivered(position, "handled", "done") for position in positions])


async def _fill_outbox(stores: Stores, count: int) -> None:
    for first in range(0, count, _BATCH):
        bodies = event_bodies(min(_BATCH, count - first), kind=KIND_UP, subject=SUBJECT)
        await stores.outbox.put([Outgoing(event_id_of(b), KIND_UP, b) for b in bodies])


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
