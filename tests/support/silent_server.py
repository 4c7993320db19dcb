"""A server that takes connections and says nothing, for tests of what is waited for.

Promise: it listens on a free port of the loopback, and every connection is gone when it is over.
Refusal: nothing is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from virtual_time import turns


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Accept connections and never answer; gives the port."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await turns()  # a connection that was accepted a moment ago is handed over first
        for writer in writers:
            writer.transport.abort()
        await turns()
        await server.wait_closed()
