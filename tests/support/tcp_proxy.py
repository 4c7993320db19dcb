"""A TCP connection that goes through us, and breaks on demand.

Promise: bytes pass unchanged and in order until a test says otherwise. Refusal: it knows no
message; what it cuts, it cuts anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from virtual_time import turns

PIECE = 65_536


class Proxy:
    """All connections of one address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.connections = 0
        self.up_bytes = self.down_bytes = 0
        self.piece = PIECE
        """Bytes that are passed on at once."""
        self.cut_down_after: int | None = None
        """Bytes of a connection that go down before it is reset; asked at each connection."""
        self._open_up, self._open_down = asyncio.Event(), asyncio.Event()
        self.heal()

    def silence(self, *, up: bool = False, down: bool = False) -> None:
        """Hold what goes a way back, without telling anybody."""
        if up:
            self._open_up.clear()
        if down:
            self._open_down.clear()

    def heal(self) -> None:
        """Let everything pass again, what was held back first."""
        self._open_up.set()
        self._open_down.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def inject(self, data: bytes) -> None:
        """Put bytes of our own into the way down of the newest connection."""
        self._writers[-2].write(data)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, far_writer]
        for pump in (
            self._pump(reader, far_writer, self._open_up, None),
            self._pump(far_reader, writer, self._open_down, self.cut_down_after),
        ):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event,
        budget: int | None,
    ) -> None:  # fmt: skip
        passed = 0
        with suppress(ConnectionError):
            while data := await reader.read(self.piece):
                await gate.wait()
                if budget is not None and passed + len(data) >= budget:
                    writer.write(data[: budget - passed])
                    await writer.drain()
                    self.cut()
                    return
                passed += len(data)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def close(self) -> None:
        self.cut()
        for task in list(self._pumps):
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator[Proxy]:
    """Listen in front of a port of this machine."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await turns()
        await server.wait_closed()
