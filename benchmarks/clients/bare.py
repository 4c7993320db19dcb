"""A bare Starlette handler: the HTTP stack of the sidecar with nothing behind it.

`python -m benchmarks.clients.bare` prints its port and serves until it is ended.
"""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.peer import say


async def echo(request: Request) -> JSONResponse:
    """Decode the body and answer in the envelope of a tool."""
    body = await request.json()
    return JSONResponse({"success": True, "data": {"echo": body["input"]["text"]}})


def main() -> None:
    """Serve on a free port."""
    # Named as TCP, or asyncio leaves Nagle's delay on: 40 ms for each answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    say(port=listener.getsockname()[1])
    app = Starlette(routes=[Route("/tools/{name}", echo, methods=["POST"])])
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
