"""`conductor mcp`: one client on standard input and output, until it leaves or a signal comes.

Promise: the end of input, a closed output, SIGTERM and Ctrl-C all end it cleanly; calls that still
run are cancelled. Refusal: no daemon is started.
"""

from __future__ import annotations

import asyncio
import signal

from conductor_sidecar.mcp.bridge import BridgeFront
from conductor_sidecar.mcp.line import DaemonLine
from conductor_sidecar.mcp.offline import Installed
from conductor_sidecar.mcp.server import build_server
from conductor_sidecar.mcp.streams import Wire, claim, message_streams


async def serve_stdio(line: DaemonLine, installed: Installed, version: str) -> None:
    """Serve the client on standard input and output."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
    wire = Wire(*claim())
    wire.start()
    server = build_server(BridgeFront(line, installed.tools), version)
    try:
        async with message_streams(wire) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
    except* OSError:
        pass  # nobody reads standard output any more: the client's right
    except* asyncio.CancelledError:
        pass  # a signal: this is the last thing that the process does
