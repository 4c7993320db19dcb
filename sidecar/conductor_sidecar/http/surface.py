"""The HTTP surface: requests to `Control`, answers as JSON.

Promise: every error is `{"error": {code, message, hint, retryable}}` with a fitting status; a body
over the limit is 413 before it is read whole. Refusal: no decision about delivery is made here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from conductor_sdk.errors import ConductorError, Exit
from conductor_sidecar.control import Control, Selection
from conductor_sidecar.dead_letter_json import letter_json
from conductor_sidecar.errors import RequestInvalid
from conductor_sidecar.http.server import LastResort
from conductor_sidecar.http.tools import BODY_MAX, ToolSurface, http_refused
from conductor_sidecar.tools import local_caller

NUMBER_DIGITS = 15
ENVELOPED = ("/tools", "/openapi.json")
"""Beginnings of paths whose errors have the envelope of tools."""
STATUS = {
    Exit.NOT_FOUND: 404, Exit.USAGE: 400, Exit.BUSY: 503, Exit.UNAVAILABLE: 503,
    Exit.TOKEN_REFUSED: 401,
}  # fmt: skip
T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
INTERNAL = _encode({"error": ConductorError().as_json()})
"""What is answered when nobody thought of an error."""


class PushRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/push`."""

    events: list[dict[str, Any]]


class SendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/loopback/send`."""

    kind: str
    payload: dict[str, Any] = {}
    idempotency_key: str | None = None
    traceparent: str | None = None


class BodyTooLarge(RequestInvalid):
    """The body is larger than the sidecar reads."""

    code = "REQUEST_TOO_LARGE"


class Surface:
    """The requests, one method each."""

    def __init__(self, control: Control, more: Sequence[BaseRoute] = ()) -> None:
        """Serve a daemon.

        Args:
            control: What answers.
            more: Further routes, as `Mount("/mcp", …)`.
        """
        self._control = control
        self._more = more

    def app(self) -> Starlette:
        """Build the ASGI application."""
        routes: list[BaseRoute] = [
            Route("/v1/status", self.status, methods=["GET"]),
            Route("/v1/push", self.push, methods=["POST"]),
            Route("/v1/events", self.events, methods=["GET"]),
            Route("/v1/explain/{event_id:path}", self.explain, methods=["GET"]),
            Route("/v1/dead-letters", self.letters, methods=["GET"]),
            Route("/v1/dead-letters/redrive", self.redrive, methods=["POST"]),
            Route("/v1/dead-letters/drop", self.drop, methods=["POST"]),
            Route("/v1/dead-letters/{event_id:path}", self.letter, methods=["GET"]),
            Route("/v1/loopback/send", self.send, methods=["POST"]),
        ]
        caller = local_caller()
        # The same user may call every tool; what a call may touch, the host decides.
        routes += ToolSurface(self._control.tools, lambda _: caller).routes()
        handlers = {ConductorError: _refused, HTTPException: _http_error}
        app = Starlette(
            routes=[*routes, *self._more], exception_handlers=handlers,
            middleware=[Middleware(LastResort, INTERNAL)],
        )  # fmt: skip
        app.router.redirect_slashes = False
        return app

    async def status(self, _: Request) -> Response:
        """Answer with a `StatusReport`."""
        return _json(await self._control.status())

    async def push(self, request: Request) -> Response:
        """Push events; a receipt for each."""
        body = await _body(request, PushRequest)
        return _json({"receipts": await self._control.push(body.events)})

    async def events(self, _: Request) -> Response:
        """Stream activity, one JSON object a line."""
        return StreamingResponse(_lines(self._control), media_type="application/x-ndjson")

    async def explain(self, request: Request) -> Response:
        """Tell an event's story."""
        event_id = request.path_params["event_id"]
        return _json({"stories": await self._control.desk.explain(event_id)})

    async def letters(self, request: Request) -> Response:
        """List dead letters."""
        query = request.query_params
        limit, after = _number(query.get("limit", "100")), _number(query.get("after", "0"))
        found = await self._control.desk.letters(query.get("kind"), limit, after)
        return _json({"dead_letters": [letter_json(item) for item in found]})

    async def letter(self, request: Request) -> Response:
        """Show one dead letter."""
        found = await self._control.desk.letter(request.path_params["event_id"])
        return _json(letter_json(found))

    async def redrive(self, request: Request) -> Response:
        """Run dead letters again."""
        return _json(await self._control.redrive(await _body(request, Selection)))

    async def drop(self, request: Request) -> Response:
        """Forget dead letters."""
        return _json(await self._control.drop(await _body(request, Selection)))

    async def send(self, request: Request) -> Response:
        """Send an event down through the loopback."""
        body = await _body(request, SendRequest)
        sent = await self._control.loopback_send(
            body.kind, body.payload, body.idempotency_key, body.traceparent
        )
        return _json({"sequence": sent.sequence, "event_id": sent.event_id})


async def _lines(control: Control) -> AsyncIterator[bytes]:
    yield b"\n"  # lets a reader know at once that it is connected
    async for batch in control.watch():
        yield b"".join(_encode(activity) + b"\n" for activity in batch)


async def _body(request: Request, shape: type[T]) -> T:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_MAX:
            raise BodyTooLarge(f"more than {BODY_MAX} bytes")
        chunks.append(chunk)
    try:
        return msgspec.json.decode(b"".join(chunks), type=shape)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestInvalid(str(error)) from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > NUMBER_DIGITS:
        raise RequestInvalid(f"{text[:40]!r} is not a number from 0 to {'9' * NUMBER_DIGITS}")
    return int(text)


def _json(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status, media_type="application/json")


def _error(error: ConductorError, status: int) -> Response:
    return _json({"error": error.as_json()}, status)


async def _refused(_: Request, error: Exception) -> Response:
    if isinstance(error, BodyTooLarge):
        return _error(error, 413)
    if not isinstance(error, ConductorError):
        raise error
    return _error(error, STATUS.get(error.exit_code, 500))


async def _http_error(request: Request, error: Exception) -> Response:
    if request.url.path.startswith(ENVELOPED):
        return await http_refused(request, error)
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(status, "REQUEST_INVALID")
    message = "No such request."
    answer = {"code": code, "message": message, "hint": "see: docs/reference/control-socket.md",
              "retryable": False}  # fmt: skip
    return _json({"error": answer}, status)
