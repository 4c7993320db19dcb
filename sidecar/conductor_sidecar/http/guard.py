"""What stands between TCP and the tools: pure ASGI, in front of every route.

Promise: whatever passes has a Host and an Origin of ours, a valid credential (but for the open
paths, which tell everybody the same), and a whole JSON body within its limit and time; everything
else is refused before any route sees it, and counted for the journal. Refusal: no preflight is
answered, nothing is allowed because a setting is missing, and no header's value is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from conductor_handlers.toolhost.records import Caller
from conductor_sidecar.http.access import CALLER
from conductor_sidecar.http.answers import DENIAL, HEADERS, TRACED, refusal_answer
from conductor_sidecar.http.bodies import too_large
from conductor_sidecar.http.denials import Denials, Kind
from conductor_sidecar.http.errors import Refusal
from conductor_sidecar.http.hosts import host_allowed, origin_allowed

Headers = Sequence[tuple[bytes, bytes]]
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_CHARSETS = frozenset({b"", b"charset=utf-8", b'charset="utf-8"'})
_FIRST_REFUSED = 400
_LAST_REFUSED = 499
_BUSY = 503
_LINGER_S = 1.0
_LINGER_BYTES = 16 * 1024 * 1024
_TOKEN_MAX = 512


@dataclass(frozen=True, slots=True)
class Rules:
    """What is let through."""

    hosts: frozenset[bytes]
    """Whole values of the Host header, lower-case."""
    origins: frozenset[bytes] = frozenset()
    body_max_bytes: int = 4 * 1024 * 1024
    body_s: float = 10.0
    """Seconds that a whole body may take."""
    bodies: int = 32
    """Bodies that are read at the same time."""
    signed: tuple[str, ...] = ()
    """Beginnings of paths whose requests carry a signature that their route checks, no bearer."""
    open_paths: frozenset[str] = frozenset()
    """Whole paths that a GET needs no bearer for: their routes tell everybody the same."""


class _Gone(Exception):
    """Nobody is there to be answered."""


class Guard:
    """The middleware."""

    def __init__(
        self, app: ASGIApp, rules: Rules, denials: Denials,
        authenticate: Callable[[bytes], Caller | None],
    ) -> None:  # fmt: skip
        """Stand before an application.

        Args:
            app: What is guarded.
            rules: What is let through.
            denials: Where refused requests are counted.
            authenticate: Finds the caller of a bearer token, in the same time for each.
        """
        self._app = app
        self._rules = rules
        self._denials = denials
        self._authenticate = authenticate
        self._reading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        # Nobody but this guard says who calls.
        scope[CALLER] = None
        watched = self._watched(scope, send)
        try:
            self._admit(scope)
            body = await self._body(scope, receive)
        except _Gone:
            return
        except Refusal as refusal:
            await self._refuse(scope, receive, watched, refusal)
            return
        await self._app(scope, _replayed(body, receive), watched)

    def _admit(self, scope: Scope) -> None:
        headers: Headers = scope["headers"]
        if not scope["raw_path"].startswith(b"/") or not host_allowed(headers, self._rules.hosts):
            raise Refusal(421, "HOST_REFUSED", "This is not a host that is served here.")
        if not origin_allowed(headers, self._rules.origins):
            raise Refusal(403, "ORIGIN_REFUSED", "Pages of that origin may not call.")
        signed = scope["path"].startswith(self._rules.signed)
        told_to_all = scope["method"] == "GET" and scope["path"] in self._rules.open_paths
        if not signed and not told_to_all:
            scope[CALLER] = self._caller(headers)
        _check_framing(scope["method"], headers)
        if scope["method"] in _WITH_BODY and not signed:
            _check_type(headers)

    def _caller(self, headers: Headers) -> Caller:
        found = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = found[0].partition(b" ") if len(found) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer" or not 0 < len(token) <= _TOKEN_MAX:
            raise _unauthorized("A bearer token is needed.", b"")
        caller = self._authenticate(token)
        if caller is None:
            raise _unauthorized("The token is not valid.", b"invalid_token")
        return caller

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the whole body before any route runs."""
        declared = _length(scope["headers"])
        limit = self._rules.body_max_bytes
        if declared is not None and declared > limit:
            raise too_large(limit)
        if self._reading >= self._rules.bodies:
            raise Refusal(503, "BUSY", "Too many requests at once.", headers={"retry-after": "1"})
        self._reading += 1
        try:
            async with asyncio.timeout(self._rules.body_s):
                return await _read(receive, limit)
        except TimeoutError:
            raise Refusal(408, "BODY_TOO_SLOW", "The body did not come in time.") from None
        finally:
            self._reading -= 1

    def _watched(self, scope: Scope, send: Send) -> Send:
        """Count what is refused, whoever refuses it."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status: int = message["status"]
                refused = _FIRST_REFUSED <= status <= _LAST_REFUSED or status == _BUSY
                if refused and not scope.get(TRACED):
                    caller: Caller | None = scope[CALLER]
                    reason = scope.get(DENIAL) or f"HTTP_{status}"
                    actor = "" if caller is None else caller.actor
                    self._denials.count(Kind(reason, status, actor))
                message = {**message, "headers": _with_defaults(message.get("headers", ()))}
            await send(message)

        return sending

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
        """Answer, then read on for a moment: a connection closed at once would lose the answer."""
        unread = _may_have_body(scope["headers"])
        if unread:
            refusal.headers["connection"] = "close"
        answer = refusal_answer(scope, refusal)
        start = {"type": "http.response.start", "status": answer.status_code,
                 "headers": answer.raw_headers}  # fmt: skip
        await send(start)
        await send({"type": "http.response.body", "body": bytes(answer.body), "more_body": unread})
        if unread:
            await _linger(receive)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _unauthorized(message: str, error: bytes) -> Refusal:
    challenge = 'Bearer realm="conductor"' + (f', error="{error.decode()}"' if error else "")
    return Refusal(401, "UNAUTHORIZED", message, headers={"www-authenticate": challenge})


def _check_framing(method: str, headers: Headers) -> None:
    names = [name for name, _ in headers]
    if names.count(b"content-length") + names.count(b"transfer-encoding") > 1:
        raise Refusal(400, "REQUEST_MALFORMED", "The request has two lengths.")
    if method not in _WITH_BODY and _may_have_body(headers):
        raise Refusal(400, "BODY_UNEXPECTED", f"{method} has no body here.")


def _check_type(headers: Headers) -> None:
    if any(name == b"content-encoding" for name, _ in headers):
        raise Refusal(415, "ENCODING_UNSUPPORTED", "Bodies are not compressed here.")
    found = [value for name, value in headers if name == b"content-type"]
    kind, _, parameters = found[0].lower().partition(b";") if len(found) == 1 else (b"", b"", b"")
    if kind.strip() != b"application/json" or parameters.strip() not in _CHARSETS:
        raise Refusal(415, "MEDIA_TYPE_UNSUPPORTED", "The body is not application/json.")


def _length(headers: Headers) -> int | None:
    found = [value for name, value in headers if name == b"content-length"]
    # The server has checked that it is digits, and not many.
    return int(found[0]) if found else None


def _may_have_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in headers
    )


async def _read(receive: Receive, limit: int) -> bytes:
    found: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        found.append(chunk)
        if not message.get("more_body", False):
            return b"".join(found)


async def _linger(receive: Receive) -> None:
    size = 0
    try:
        async with asyncio.timeout(_LINGER_S):
            while size < _LINGER_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then what comes after it: the end of the connection."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receiving


def _with_defaults(
    headers: Iterable[tuple[bytes, bytes]],
) -> list[tuple[bytes, bytes]]:
    found = list(headers)
    present = {name.lower() for name, _ in found}
    missing = [
        (name.encode(), value.encode())
        for name, value in HEADERS.items()
        if name.encode() not in present
    ]
    return [*found, *missing]
