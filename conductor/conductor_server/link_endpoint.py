"""The WebSocket end of a link: who may open one, and frames in and out of it.

Promise: whoever may not connect is told so by an HTTP status before the upgrade. Refusal: no
credential is read from a URL, and no frame is looked into.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from conductor_protocol.messages import PROTOCOL
from conductor_sdk.errors import ConductorError
from conductor_server.errors import BadRequest, LinkEnded, NotWebSocket
from conductor_server.http_wire import bearer, refusal
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import TokenRecord

_LINGER_S = 1.0


class WebSocketLink:
    """A link over an accepted WebSocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for the next frame; the server underneath gives one at a time."""
        del limit
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._closed = True
            raise LinkEnded(message.get("reason") or "", close_code=message.get("code", 1006))
        text = message.get("text")
        return [message["bytes"] if text is None else text.encode()]

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write the frames in order; waits while the peer does not read."""
        for frame in frames:
            await self._out({"type": "websocket.send", "text": frame.decode()})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake; again is harmless."""
        if not self._closed:
            self._closed = True
            try:
                await self._out({"type": "websocket.close", "code": code, "reason": reason})
            except LinkEnded:
                return  # The peer was faster.

    async def _out(self, message: Message) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError) as error:
            # OSError: the peer is gone; RuntimeError: a close is already on its way.
            self._closed = True
            raise LinkEnded(str(error)) from None


class LinkEndpoint:
    """The ASGI application behind `/link`."""

    def __init__(self, conductor: EmbeddedConductor) -> None:
        self._conductor = conductor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "websocket":
            await refusal(NotWebSocket())(scope, receive, send)
            return
        socket = WebSocket(scope, receive, send)
        await receive()  # websocket.connect: nothing but the request itself
        try:
            credential = await self._admitted(socket)
        except ConductorError as error:
            self._conductor.feed.tell("refused", detail=error.message)
            await _deny(refusal(error), receive, send)
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL, "headers": []})
        await self._conductor.attach(WebSocketLink(receive, send), credential.workspace, credential)

    async def _admitted(self, socket: WebSocket) -> TokenRecord:
        self._conductor.admit()
        if PROTOCOL not in socket.scope["subprotocols"]:
            raise BadRequest(f"the link speaks the subprotocol {PROTOCOL}")
        return await self._conductor.rotations.authenticate(bearer(socket))


async def _deny(response: Response, receive: Receive, send: Send) -> None:
    await send(
        {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})
    # The server complains of an application that returns before the connection is gone: the
    # first `receive` is the refusal itself, the second the end of the connection.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            await receive()
            await receive()
