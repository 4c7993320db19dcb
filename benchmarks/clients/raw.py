"""Raw receive: the asyncio client of `websockets` in a `recv()` loop, nothing else.

`python -m benchmarks.clients.raw PORT FRAMES`
"""

from __future__ import annotations

import asyncio
import sys
import time

from websockets.asyncio.client import connect

from benchmarks.peer import say


async def receive(port: int, frames: int) -> None:
    """Receive so many frames; prints when the last one came."""
    async with connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None) as link:
        for _ in range(frames):
            await link.recv()
        say(ended=time.monotonic())


if __name__ == "__main__":
    asyncio.run(receive(int(sys.argv[1]), int(sys.argv[2])))
