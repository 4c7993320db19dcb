"""A WebSocket server that controls every byte, for the tests of the adapter and of the link.

Promise: what is written is what the adapter reads. Refusal: no library speaks here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from conductor_adapters.transport import LinkOptions, Transport
from conductor_adapters.websocket import SUBPROTOCOL, adapter
from conductor_sdk.secret import Secret
from virtual_time import turns

TOKEN = Secret("toy-token-0123456789")
TEXT, BINARY, CONT, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
FIN = 0x80
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    head = bytes([opcode | (FIN if fin else 0)])
    size = len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    if size < 65_536:
        return head + b"\x7e" + struct.pack("!H", size) + payload
    return head + b"\x7f" + struct.pack("!Q", size) + payload


def goodbye(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


class RawServer:
    """One accepted connection: what the client said, and bytes to answer with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.request = b""

    async def answer(
        self, *, protocol: str | None = SUBPROTOCOL, extension: str = "", then: bytes = b""
    ) -> None:
        self.request = await self.reader.readuntil(b"\r\n\r\n")
        key = self.header("Sec-WebSocket-Key").encode()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
        ]
        if protocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        if extension:
            lines.append(f"Sec-WebSocket-Extensions: {extension}")
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + then)

    def header(self, name: str) -> str:
        for line in self.request.decode().split("\r\n"):
            key, _, value = line.partition(": ")
            if key.lower() == name.lower():
                return value
        raise KeyError(name)

    async def read(self) -> tuple[int, bytes]:
        """Read one masked frame: (opcode, payload)."""
        head, size = await self.reader.readexactly(2)
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size)
        key = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
        return head & 0xF, plain.to_bytes(size, "big")

    async def read_close_code(self) -> int:
        """Read until the close frame; return its code."""
        while True:
            opcode, payload = await self.read()
            if opcode == CLOSE:
                return int(struct.unpack("!H", payload[:2])[0])


@asynccontextmanager
async def listening(
    receive: Callable[[RawServer], Awaitable[None]],
) -> AsyncIterator[str]:
    connections: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(asyncio.CancelledError):  # a stream server logs a cancelled handler
            await receive(RawServer(reader, writer))
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/link?workspace=w"
    finally:
        server.close()
        await turns()  # a connection that was accepted a moment ago is handed over first
        for connection in connections:
            connection.cancel()
        if connections:
            await asyncio.wait(connections)
        await server.wait_closed()


@asynccontextmanager
async def linked(
    options: LinkOptions | None = None, then: bytes = b""
) -> AsyncIterator[tuple[Transport, RawServer]]:
    """Open a link to a raw server; `then` arrives together with the handshake's answer."""
    arrived: asyncio.Future[RawServer] = asyncio.get_running_loop().create_future()

    async def receive(server: RawServer) -> None:
        await server.answer(then=then)
        arrived.set_result(server)
        await asyncio.Event().wait()

    async with listening(receive) as address:
        link = await adapter.connect(address, TOKEN, options or LinkOptions(close_timeout_s=0.3))
        try:
            yield link, await arrived
        finally:
            await link.close(1006)
