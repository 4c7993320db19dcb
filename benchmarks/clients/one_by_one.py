"""One by one: read the oldest queued event, send it, wait for its confirmation, delete it, commit.

`python -m benchmarks.clients.one_by_one PORT EVENTS DATABASE`
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from websockets.asyncio.client import connect

from benchmarks.clients.worker import Worker
from benchmarks.peer import say
from benchmarks.workload import KIND_UP, event_bodies, event_id_of

_CREATE = """
CREATE TABLE queue (position INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, body BLOB NOT NULL)
"""
_PUT = "INSERT INTO queue (event_id, body) VALUES (?, ?)"
_OLDEST = "SELECT position, body FROM queue ORDER BY position LIMIT 1"
_DELETE = "DELETE FROM queue WHERE position = ?"


async def drain(port: int, events: int, path: Path) -> None:
    """Queue so many events, then drain them; prints when it began and ended."""
    store = Worker(path)
    await store.execute(_CREATE)
    rows = [(event_id_of(body), body) for body in event_bodies(events, kind=KIND_UP)]
    await store.call(lambda connection: connection.executemany(_PUT, rows))
    await store.commit()
    async with connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None) as link:
        await link.send('{"type":"hello"}')
        await link.recv()
        began = time.monotonic()
        while oldest := await store.execute(_OLDEST):
            position, body = oldest[0]
            await link.send(f'{{"type":"push","events":[{body.decode()}]}}')
            await link.recv()
            await store.execute(_DELETE, position)
            await store.commit()
        say(began=began, ended=time.monotonic())


if __name__ == "__main__":
    asyncio.run(drain(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
