"""Reading requests and writing answers, for every HTTP call of the conductor.

Promise: a body is never read beyond its limit, and every refusal is
`{"error": {"code", "message", "hint"}}` with the status of its class. Refusal: no call is decided
here.
"""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from conductor_sdk.errors import ConductorError, Exit
from conductor_server.errors import (
    BadRequest,
    BodyTooLarge,
    CredentialMissing,
    RefusingConnections,
    ServerRefusal,
)

T = TypeVar("T")
_encoder = msgspec.json.Encoder()
_BEARER = "bearer "
_STATUS_OF_EXIT = {
    Exit.USAGE: 400,
    Exit.NOT_FOUND: 404,
    Exit.TOKEN_REFUSED: 401,
    Exit.UNAVAILABLE: 503,
}


def answer(value: object, status: int = 200) -> Response:
    """Answer with a value as JSON; structs become objects."""
    return Response(_encoder.encode(value), status, media_type="application/json")


def refusal(error: ConductorError) -> Response:
    """Answer with an error, its status and its headers."""
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    response = answer(body, status_of(error))
    if isinstance(error, RefusingConnections):
        # Whole seconds only, by HTTP; rounding down would let everybody come too early.
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if response.status_code == 401:  # noqa: PLR2004  HTTP's number
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def status_of(error: ConductorError) -> int:
    """Return the HTTP status that goes with an error."""
    if isinstance(error, RefusingConnections):
        return error.answer_status
    if isinstance(error, ServerRefusal):
        return error.status
    return _STATUS_OF_EXIT.get(error.exit_code, 500)


def bearer(connection: HTTPConnection) -> str:
    """Return the bearer token of a request.

    Raises:
        CredentialMissing: There is none.
    """
    header = connection.headers.get("authorization", "")
    token = header[len(_BEARER) :].strip()
    if header[: len(_BEARER)].lower() != _BEARER or not token:
        raise CredentialMissing
    return token


async def body_of(request: Request, shape: type[T], limit: int) -> T:
    """Read a JSON body of a shape; an absent body counts as an empty object.

    Args:
        request: Its body was not read yet.
        shape: A msgspec struct.
        limit: Bytes; more are refused without being kept.

    Raises:
        BodyTooLarge: The body is over the limit.
        BadRequest: It is no JSON, or not of that shape; the text names the field.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(f"{declared} bytes, at most {limit}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(f"more than {limit} bytes")
    try:
        return msgspec.json.decode(bytes(body) or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(str(error)) from None
