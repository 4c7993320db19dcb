"""One process, one application, one uvicorn: the same settings for both sides.

Promise: the port is said when the server answers. Refusal: no access log, no reload, no second
worker.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import uvicorn


async def serve(application: Any) -> None:
    """Serve until standard input ends."""
    # Made by hand: asyncio sets TCP_NODELAY only where the protocol is named.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    settings = uvicorn.Config(
        application, loop="asyncio", http="h11", ws="none", log_level="error", access_log=False,
        timeout_keep_alive=60,
    )  # fmt: skip
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn has no event
        await asyncio.sleep(0.01)
    sys.stdout.write(json.dumps({"port": listening.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving
