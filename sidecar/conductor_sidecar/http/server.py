"""Serving an application on sockets that somebody else has bound.

Promise: a socket's mode stays as it was bound (the server's own binding would open it to
everybody); stopping waits for running requests, but not for live tails; an error that nobody
thought of is answered without its text. Refusal: no address is chosen here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from conductor_sidecar.logs import get_logger

GRACE_S = 1
STOP_S = 1.0
"""Seconds beyond the grace until a server that does not end is ended."""


class LastResort:
    """Answers what nobody thought of; without it the server would print a traceback."""

    def __init__(self, app: ASGIApp, body: bytes) -> None:
        """Stand before an application.

        Args:
            app: What may fail.
            body: JSON; the answer to a failure. The text of an unexpected error may hold anything.
        """
        self._app = app
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001  the last place before the server's own
            get_logger(part="http").error("request_failed", error=type(error).__name__)
            if not begun:
                answer = Response(self._body, 500, media_type="application/json")
                await answer(scope, receive, send)


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

    def __init__(self, app: ASGIApp, protocol: type[asyncio.Protocol] | None = None) -> None:
        """Prepare; nothing is served yet.

        Args:
            app: The ASGI application; lifespan messages are not sent to it.
            protocol: What makes a connection; the library's own for callers that are trusted.
        """
        self._server = _Server(uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none",
            http=protocol or "h11", proxy_headers=False, server_header=False,
            timeout_graceful_shutdown=GRACE_S, timeout_keep_alive=30,
            h11_max_incomplete_event_size=65536,
        ))  # fmt: skip
        self._task: asyncio.Task[None] | None = None
        self.grace_s = GRACE_S
        """Seconds that running requests have when it stops."""

    async def start(self, listener: socket.socket) -> None:
        """Serve on a bound socket; returns when requests are accepted."""
        serve = self._server.serve(sockets=[listener])
        self._task = asyncio.create_task(serve, name="http.server")
        listening = asyncio.create_task(self._server.listening.wait(), name="http.listening")
        try:
            await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Stop accepting, give running requests a moment, then close."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = self.grace_s
        self._server.should_exit = True
        try:
            await asyncio.wait({self._task}, timeout=self.grace_s + STOP_S)
        finally:
            if not self._task.done():
                self._server.force_exit = True
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
