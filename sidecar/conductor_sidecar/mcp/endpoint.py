"""`/mcp` as an ASGI application that costs nothing until somebody uses it.

Promise: the SDK is imported in a thread at the first request, never at the daemon's start and never
on the event loop; a body is read within its limit and decoded strictly before the SDK sees it;
sessions are bounded in number and idle time, and `close` ends them all. Refusal: whoever mounts it
has authenticated the caller and checked Host and Origin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec
from anyio import CancelScope
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from conductor_handlers.toolhost.records import Caller, Listing
from conductor_sidecar.http.answers import DENIAL, HEADERS
from conductor_sidecar.http.bodies import decode_json, read_body
from conductor_sidecar.http.errors import Refusal

if TYPE_CHECKING:
    from conductor_sidecar.http.access import Tools
    from conductor_sidecar.mcp.sessions import Sessions

PATH = "/mcp"
BODY_MAX_BYTES = 4 * 1024 * 1024
SESSIONS_MAX = 256
IDLE_S = 1800.0
_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600


class McpEndpoint:
    """The tools of a host over streamable HTTP, at one path."""

    def __init__(
        self, tools: Tools, caller: Callable[[Scope], Caller], *,
        patterns: Sequence[str] | None = None, known: Sequence[Listing] | None = None,
        body_max_bytes: int = BODY_MAX_BYTES, sessions_max: int = SESSIONS_MAX,
        idle_s: float = IDLE_S,
    ) -> None:  # fmt: skip
        """Describe the endpoint; nothing is imported or started.

        Args:
            tools: The tool host.
            caller: Who sent a request, as the guard before this has found out.
            patterns: What the workspace offers to MCP; None: everything.
            known: Every tool that is not internal, those too that the policy never allows; None:
                what the host lists.
            body_max_bytes: Longest body.
            sessions_max: Sessions at a time; one more is answered 503.
            idle_s: A session without a request for so long ends.
        """
        self._tools = tools
        self._caller = caller
        self._patterns = patterns
        self._known = known
        self._body_max_bytes = body_max_bytes
        self._sessions_max = sessions_max
        self._idle_s = idle_s
        self._opening: asyncio.Task[Sessions] | None = None
        self._running: set[CancelScope] = set()
        self._closed = False

    @property
    def route(self) -> Route:
        """`/mcp` for every method; a `Mount` would redirect to `/mcp/`."""
        return Route(PATH, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if self._closed:
            await _Answer(send).cut_short(scope, receive)
            return
        if scope["method"] == "POST":
            try:
                receive = await self._checked(receive)
            except Refusal as error:
                scope[DENIAL] = error.code
                code = _PARSE_ERROR if error.status == 400 else _INVALID_REQUEST  # noqa: PLR2004  HTTP
                await _error(error.status, code, error.message)(scope, receive, send)
                return
        if self._closed:  # while the body came; nobody would end what is opened now
            await _Answer(send).cut_short(scope, receive)
            return
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="mcp.open")
        # Shielded: the first client may hang up while a second one waits for the same import.
        sessions = await asyncio.shield(self._opening)
        answer = _Answer(send)
        if self._closed:  # while it was opened
            await answer.cut_short(scope, receive)
            return
        with CancelScope() as running:
            self._running.add(running)
            try:
                await sessions.handle(scope, receive, answer.send, self._caller(scope).actor)
            finally:
                self._running.discard(running)
        if running.cancelled_caught:
            await answer.cut_short(scope, receive)

    async def close(self) -> None:
        """End every session and request, and refuse what comes later. Idempotent."""
        self._closed = True
        for running in self._running:
            running.cancel()
        if self._opening is not None:
            await asyncio.wait({self._opening})
            # What kept them from opening was told to those who asked.
            if not self._opening.cancelled() and self._opening.exception() is None:
                await self._opening.result().close()

    async def _open(self) -> Sessions:
        await asyncio.to_thread(import_module, "conductor_sidecar.mcp.sessions")
        sessions: Sessions = import_module("conductor_sidecar.mcp.sessions").over_host(
            self._tools, self._caller, self._patterns, self._known,
            body_max_bytes=self._body_max_bytes, sessions_max=self._sessions_max,
            idle_s=self._idle_s,
        )  # fmt: skip
        await sessions.open()
        return sessions

    async def _checked(self, receive: Receive) -> Receive:
        """Read and check a body; returns what gives it again, then whatever comes after it."""
        body = await read_body(_chunks(receive), self._body_max_bytes)
        decode_json(body)
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        return again


class _Answer:
    """An answer on its way, which can be ended where it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._whole = False

    async def send(self, message: Message) -> None:
        """Pass a part on."""
        self._begun = True
        self._whole = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def cut_short(self, scope: Scope, receive: Receive) -> None:
        """End it: the sidecar is stopping, or serves other tools from now on."""
        if not self._begun:
            over = _error(503, _INVALID_REQUEST, "The sidecar stops or was reloaded: begin anew.")
            await over(scope, receive, self._send)
        elif not self._whole:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _chunks(receive: Receive) -> AsyncGenerator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _error(status: int, code: int, message: str) -> Response:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return Response(
        msgspec.json.encode(body), status, media_type="application/json", headers=HEADERS
    )
