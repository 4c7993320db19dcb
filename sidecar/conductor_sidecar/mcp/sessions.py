"""The SDK's session manager as one owned task.

Promise: closing ends every session, its tasks and its open streams; a session is found again only
by the actor who opened it. Refusal: authentication is the HTTP surface's, done before this.

Sessions keep state because the protocol versions with a handshake cancel a call by a message of
its own, which a server without sessions could not match with the call. The version without a
handshake has no sessions: there, hanging up cancels.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, cast

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.requests import Request as HttpRequest
from starlette.types import Receive, Scope, Send

from conductor_handlers.toolhost.records import Caller, Listing
from conductor_sidecar import __version__
from conductor_sidecar.http.access import Tools
from conductor_sidecar.mcp.front import Client, Context, HostFront
from conductor_sidecar.mcp.server import build_server

_WATCHER = "_shutdown_watcher"
"""A task that sse-starlette starts once for each event loop and never ends."""


class Sessions:
    """Streamable HTTP for one server; `open`, then `handle`, then `close`."""

    def __init__(
        self, server: Server[Any], *, body_max_bytes: int, sessions_max: int, idle_s: float
    ) -> None:
        self._manager = StreamableHTTPSessionManager(
            server, max_request_body_size=body_max_bytes, max_sessions=sessions_max,
            session_idle_timeout=idle_s,
        )  # fmt: skip
        self._stop = asyncio.Event()
        self._open = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the task that owns all sessions."""
        self._task = asyncio.create_task(self._run(), name="mcp.sessions")
        opened = asyncio.create_task(self._open.wait(), name="mcp.opened")
        await asyncio.wait({self._task, opened}, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if self._task.done():
            self._task.result()

    async def handle(self, scope: Scope, receive: Receive, send: Send, actor: str) -> None:
        """Serve one request of an authenticated actor."""
        user = AuthenticatedUser(AccessToken(token="", client_id=actor, scopes=[]))
        await self._manager.handle_request({**scope, "user": user}, receive, send)

    async def close(self) -> None:
        """End every session. Idempotent."""
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async with self._manager.run():
            self._open.set()
            await self._stop.wait()
        await _end_watcher()


def over_host(
    tools: Tools, caller: Callable[[Scope], Caller], patterns: Sequence[str] | None,
    known: Sequence[Listing] | None, *, body_max_bytes: int, sessions_max: int, idle_s: float,
) -> Sessions:  # fmt: skip
    """Return the sessions of a tool host's server, not yet open; as `McpEndpoint` describes."""

    def client(ctx: Context) -> Client:
        http = cast("HttpRequest", ctx.request)  # the manager's transports always carry it
        return Client(caller(http.scope), tuple(http.query_params.getlist("tools")))

    return Sessions(
        build_server(HostFront(tools, client, patterns, known), __version__),
        body_max_bytes=body_max_bytes, sessions_max=sessions_max, idle_s=idle_s,
    )  # fmt: skip


async def _end_watcher() -> None:
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__name__", "") == _WATCHER:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
