"""Serving the HTTP surface on sockets that somebody else has bound.

Promise: a socket's mode stays as it was bound (the server's own binding would open it to
everybody); stopping waits for running requests, but not for live tails. Refusal: no TCP here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.applications import Starlette

STOP_S = 2.0


class _Server(uvicorn.Server):
    """A server that leaves signals alone and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the runtime."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self.listening.set()


class SocketServer:
    """One HTTP server as a task of the daemon."""

    def __init__(self, app: Starlette) -> None:
        self._server = _Server(uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=1, timeout_keep_alive=30,
            h11_max_incomplete_event_size=65536,
        ))  # fmt: skip
        self._task: asyncio.Task[None] | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket; returns when requests are accepted."""
        serve = self._server.serve(sockets=[listener])
        self._task = asyncio.create_task(serve, name="http.server")
        listening = asyncio.create_task(self._server.listening.wait(), name="http.listening")
        await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Stop accepting, give running requests a moment, then close."""
        if self._task is None:
            return
        self._server.should_exit = True
        _, pending = await asyncio.wait({self._task}, timeout=STOP_S)
        for task in pending:
            self._server.force_exit = True
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
