"""The naive design: everything for one event, then everything for the next.

`python -m benchmarks.clients.naive PORT EVENTS DATABASE COMMITS`

It gives what the sidecar gives (dedupe, stored before acknowledged, settled once) with an await and
a statement for each step: `websockets` → pydantic → SELECT → INSERT → commit → acknowledge →
handler → UPDATE → commit. With COMMITS = 1 it leaves the first commit out, and acknowledges after
the handler: one commit an event is the least that any per-event design can do.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from websockets.asyncio.client import connect

from benchmarks.clients.worker import Worker
from benchmarks.peer import say

_CREATE = """
CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB, status TEXT NOT NULL
)"""
_SEEN = "SELECT status FROM events WHERE event_id = ?"
_STORE = "INSERT INTO events (event_id, kind, body, status) VALUES (?, ?, ?, 'received')"
_SETTLE = "UPDATE events SET status = ?, body = NULL WHERE event_id = ?"


class Event(BaseModel):
    """An event, checked."""

    schema_version: int
    kind: str
    event_id: str
    timestamp: str
    payload: dict[str, Any]


async def handler(_event: Event) -> str:
    """Answer at once, as the sidecar's handler does."""
    return "done"


async def receive(port: int, events: int, path: Path, commits: int) -> None:
    """Receive, store, handle and settle so many events; prints when the last was settled."""
    store = Worker(path)
    await store.execute(_CREATE)
    await store.commit()
    async with connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None) as link:
        for _ in range(events):
            body = await link.recv(decode=False)
            event = Event.model_validate_json(body)
            if not await store.execute(_SEEN, event.event_id):
                await store.execute(_STORE, event.event_id, event.kind, body)
            if commits > 1:
                await store.commit()
                await link.send(f'{{"type":"ack","event_id":"{event.event_id}"}}')
            await store.execute(_SETTLE, await handler(event), event.event_id)
            await store.commit()
            if commits == 1:
                await link.send(f'{{"type":"ack","event_id":"{event.event_id}"}}')
        say(ended=time.monotonic())


if __name__ == "__main__":
    port_, events_, path_, commits_ = sys.argv[1:]
    asyncio.run(receive(int(port_), int(events_), Path(path_), int(commits_)))
