"""One client process for both servers: connections that stay open.

Promise: every answer is looked at; a time is from the first byte written to the last byte read.
Refusal: it waits for an answer before it asks again on the same connection.

    python -m benchmarks.flows.load FOLDER NAME=PORT …
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from benchmarks.flows.answering import Work, answer

CONNECTIONS = (1, 16)
STREAMS = 100
EVERY_S = 0.05
_ECHO = b'{"value":"  HeLLo World  "}'
_ECHOED = b'{"value":"hello world"}'


def request(path: str, body: bytes) -> bytes:
    """Return the bytes of a request."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection; one question at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect an answer; it has a `content-length`."""
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if blank and len(body) >= _length(head) and self._answer is not None:
            self._answer.set_result(self._buffer)
            self._buffer, self._answer = b"", None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        if self._answer is not None:
            self._answer.set_exception(exc or ConnectionResetError("closed by the server"))

    async def ask(self, data: bytes) -> bytes:
        """Send a request; return its answer with head and body."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answer

    def close(self) -> None:
        """Close it."""
        self._transport.close()


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0])


async def echo(port: int, connections: int, requests: int) -> dict[str, Any]:
    """Ask that often, over that many connections."""
    loop, left = asyncio.get_running_loop(), iter(range(requests))
    made = [(await loop.create_connection(Connection, "127.0.0.1", port))[1]
            for _ in range(connections)]  # fmt: skip
    data, times = request("/echo", _ECHO), list[float]()

    async def ask(connection: Connection) -> None:
        for _ in left:
            begin = time.perf_counter()
            given = await connection.ask(data)
            times.append(time.perf_counter() - begin)
            if not (given.startswith(b"HTTP/1.1 200") and given.endswith(_ECHOED)):
                raise SystemExit(f"wrong answer: {given!r}")

    begin = time.perf_counter()
    await asyncio.gather(*map(ask, made))
    took_s = time.perf_counter() - begin
    for connection in made:
        connection.close()
    return {"rate": requests / took_s, **percentiles(times)}


def percentiles(times: list[float]) -> dict[str, float]:
    """Return the median, the 95th and the 99th percentile, in milliseconds."""
    if len(times) < 2:
        return dict.fromkeys(("p50", "p95", "p99"), times[0] * 1000)
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"p50": cuts[49] * 1000, "p95": cuts[94] * 1000, "p99": cuts[98] * 1000}


async def streams(port: int, count: int, items: int) -> dict[str, Any]:
    """Read that many streams at once; the gap is how late an item is read."""
    gaps: list[float] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_stream(port, items, gaps))
    return {"items": len(gaps), **percentiles(gaps)}


async def _stream(port: int, items: int, gaps: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("/ticks", json.dumps({"items": items, "every_s": EVERY_S}).encode()))
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head or b"text/event-stream" not in head:
        raise SystemExit(f"wrong answer: {head!r}")
    for number in range(1, items + 1):
        line = b""
        while not line.startswith(b"data:"):
            line = await reader.readline()
            if not line:
                raise SystemExit("a stream has ended early")
        gap = time.monotonic()
        tick = json.loads(line[5:])
        if tick["number"] != number:
            raise SystemExit(f"item {number} is {tick}")
        gaps.append(gap - tick["due_s"])
    writer.close()


async def main() -> None:
    """Answer."""
    modes: dict[str, Work] = {}
    for word in sys.argv[2:]:
        name, _, port = word.partition("=")
        for count in CONNECTIONS:
            modes[f"{name}_{count}"] = partial(echo, int(port), count)
        made: Callable[[int], Awaitable[Any]] = partial(streams, int(port), STREAMS)
        modes[f"{name}_streams"] = made
    await answer(modes)


if __name__ == "__main__":
    asyncio.run(main())
