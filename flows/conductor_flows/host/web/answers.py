"""What goes back to a client.

Promise: JSON is written once and whole, with its length; an error is told in the way that the
client reads: as JSON, or as the only event of a stream. Refusal: no text of an unexpected error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from starlette.types import Send

from conductor_flows.execute.errors import NodeError, NodeFailed
from conductor_flows.host.errors import AnswerRefused
from conductor_flows.host.failures import Envelope, Failed, failure_of

RawHeaders = list[tuple[bytes, bytes]]
JSON: Final = (b"content-type", b"application/json")
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
"""A value may hold what a browser would take for a page."""
CLOSE: Final = (b"connection", b"close")
UNREAD: Final = frozenset({408, 413})
"""Statuses of requests whose bodies have not come to their end: what follows is no request."""
STREAM: Final[RawHeaders] = [
    (b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"), NOSNIFF,
]  # fmt: skip
"""Of a stream; a proxy that would collect it first is asked not to."""


def wants_events(accept: bytes | None) -> bool:
    """Whether a client reads events rather than JSON."""
    if accept is None or b"event-stream" not in accept.lower():
        return False
    for each in accept.lower().split(b","):
        kind, *parameters = (part.strip() for part in each.split(b";"))
        if kind == b"text/event-stream":
            return not any(part.replace(b" ", b"").strip(b"0.") == b"q=" for part in parameters)
    return False


def encoded(value: Any) -> bytes:
    """Return a value as JSON.

    Raises:
        AnswerRefused: It has no JSON form.
    """
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise AnswerRefused(f"{type(error).__name__}: {error}"[:200]) from None


async def send_json(
    send: Send, body: bytes, status: int = 200, more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send JSON."""
    length = (b"content-length", str(len(body)).encode())
    headers = [JSON, length, NOSNIFF, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def told(error: BaseException, *, reveal: bool) -> Failed:
    """Say how an error is told to a client.

    Args:
        error: What was raised.
        reveal: Whether what a node's function raised is told with its text. That of a `NodeError`
            is always: it was written for people.
    """
    failed = failure_of(error)
    if reveal or not isinstance(error, NodeFailed) or _for_people(error):
        return failed
    kind = "" if error.__cause__ is None else f": {type(error.__cause__).__name__}"
    said = f"{(type(error).__doc__ or '').rstrip('.')}: {error.alias}{kind}"
    envelope = Envelope(said, failed.envelope.code, failed.envelope.details)
    return Failed(failed.status, envelope)


def _for_people(error: NodeFailed) -> bool:
    """Whether a text was written to be shown: by a node that says how it failed, or by us."""
    if error.kind != "handler_error":
        return True
    cause = error.__cause__
    if isinstance(cause, NodeFailed):  # of a flow that the function has asked
        return _for_people(cause)
    if not isinstance(cause, NodeError):
        return False
    # A flow within the flow hands its failure on in words of its own.
    return not isinstance(cause.__cause__, NodeFailed) or _for_people(cause.__cause__)


async def send_failure(
    send: Send, failed: Failed, *, events: bool, more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Tell an error: with its status, or as 200 and the only event of a stream."""
    headers: RawHeaders = list(more)
    if failed.status in UNREAD:
        headers.append(CLOSE)
    if failed.retry_after_s is not None:
        headers.append((b"retry-after", str(failed.retry_after_s).encode()))
    if not events:
        await send_json(send, failed.body, failed.status, headers)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [*STREAM, *headers]})
    await send({"type": "http.response.body", "body": error_event(failed)})


def error_event(failed: Failed) -> bytes:
    """Return an error as an event."""
    return b"event: error\ndata: " + failed.body + b"\n\n"
