"""What S1 and a stream of events cost on bare Starlette: handlers that do the same work by hand.

Promise: the body is decoded and checked against the type, trimmed, lower-cased and encoded; events
are written when they are due. Refusal: no deadline, no limit, no run, no labels, no keep-alive
comments, no answer for a client that is wrong but an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.flows.ticking import Asked, ticks
from benchmarks.flows.web_serving import serve


class EchoRequest(msgspec.Struct, frozen=True):
    """What is asked."""

    value: str


class EchoReply(msgspec.Struct, frozen=True):
    """What is answered."""

    value: str


async def echo(request: Request) -> Response:
    """Answer with the value, trimmed and in lower case."""
    asked = msgspec.json.decode(await request.body(), type=EchoRequest)
    reply = EchoReply(asked.value.strip().lower())
    return Response(msgspec.json.encode(reply), media_type="application/json")


async def stream(request: Request) -> Response:
    """Write events when they are due."""
    asked = msgspec.json.decode(await request.body(), type=Asked)

    async def events() -> AsyncIterator[bytes]:
        number = 0
        async for tick in ticks(asked):
            number += 1
            yield b"id: %d\ndata: %s\n\n" % (number, msgspec.json.encode(tick))

    return StreamingResponse(events(), media_type="text/event-stream")


if __name__ == "__main__":
    routes = [Route("/echo", echo, methods=["POST"]), Route("/ticks", stream, methods=["POST"])]
    asyncio.run(serve(Starlette(routes=routes)))
