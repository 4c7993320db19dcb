"""From a request to a payload.

Promise: a body is read to its limit and no further, and in bounded time; what is decoded means the
same to every reader of JSON: no duplicate key, no NaN, no half of a surrogate, no depth that would
exhaust a stack. Refusal: nothing is known here of what a payload is for.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from conductor_flows.host.errors import HttpRefusal

DEPTH_MAX: Final = 100
FIELDS_MAX: Final = 1000
"""Of a query."""
QUERY_MAX: Final = 16 * 1024
HEADERS_MAX: Final = 100
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Gives nothing back and matches also what has no end, so that no body takes quadratic time."""
_STEPS: Final = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
"""One deeper, and one back, as signed bytes."""
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"{}[]")
_JSON: Final = re.compile(rb"(application|text)/([!#$&^_.+a-z0-9-]+\+)?json", re.IGNORECASE)
Headers = Mapping[bytes, bytes]


async def read_body(receive: Receive, headers: Headers, limit: int, within_s: float) -> bytes:
    """Read the body of a request.

    Args:
        receive: Of the request.
        headers: By lower-case name.
        limit: In bytes.
        within_s: How long it may take to come.

    Raises:
        HttpRefusal: 413 as soon as it is longer, or says that it will be; the rest is not read.
            408 where it does not come.
        ClientDisconnect: Nobody is there any more.
    """
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)
    message = await _first(receive, within_s)
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        body = await _rest(receive, body, limit, within_s)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _first(receive: Receive, within_s: float) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(within_s):
            message = await receive()
    except TimeoutError:
        raise _too_slow(within_s) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


async def _rest(receive: Receive, begun: bytes, limit: int, within_s: float) -> bytes:
    pieces, size = [begun], len(begun)
    try:
        # In all, not for each piece: a client that sends a byte now and then gets no more time.
        async with asyncio.timeout(within_s):
            while size <= limit:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise _too_slow(within_s) from None
    return b"".join(pieces)


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(413, f"The body has more than {limit} bytes", data={"limit": limit})


def _too_slow(within_s: float) -> HttpRefusal:
    return HttpRefusal(408, f"The body did not come within {within_s:g} s")


def ambiguous(scope: Scope) -> bool:
    """Whether a proxy could see another end of the body than we do: then a body hides a request."""
    names = [name for name, _ in scope["headers"]]
    if b"transfer-encoding" not in names:
        return False
    return b"content-length" in names or scope.get("http_version") == "1.0"


def check_head(headers: Sequence[object]) -> None:
    """Look whether there are more headers than anybody needs; raises `HttpRefusal`, 431."""
    if len(headers) > HEADERS_MAX:
        raise HttpRefusal(431, f"There are more than {HEADERS_MAX} headers")


def check_type(headers: Headers) -> None:
    """Look whether a body says that it is JSON.

    A browser sends bodies of other types to other sites without asking there first, and one from a
    page without any type too; so those are refused. Programs that say nothing are taken at it.

    Raises:
        HttpRefusal: 415.
    """
    said = headers.get(b"content-type")
    if said is None:
        if b"origin" not in headers:
            return
        said = b"none"
    if not _JSON.fullmatch(said.partition(b";")[0].strip()):
        found = said.decode("latin-1")[:80]
        raise HttpRefusal(415, f"The body is {found!r}; send content-type: application/json")


def decode(body: bytes) -> Any:
    """Decode one JSON text; empty is null.

    Raises:
        HttpRefusal: 400, with what is wrong.
    """
    if not body:
        return None
    # Counting brackets is cheap; only bodies with many are looked at more closely.
    if body.count(b"[") + body.count(b"{") > DEPTH_MAX and _too_deep(body):
        raise _refused(f"The body is nested deeper than {DEPTH_MAX}")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise _refused(f"The body is not JSON: {said}") from None
    # The reader keeps the last of equal keys: then there are fewer than were written.
    if body.count(b":") > 1 and _members(body) > _members(msgspec.json.encode(value)):
        raise _refused("An object of the body has the same key twice")
    return value


def _refused(said: str) -> HttpRefusal:
    return HttpRefusal(400, said)


def _too_deep(body: bytes) -> bool:
    steps = array("b", _STRING.sub(b"", body).translate(_STEPS, _NO_BRACKETS))
    return max(accumulate(steps), default=0) > DEPTH_MAX


def _members(body: bytes) -> int:
    """Count the members of all objects in a JSON text."""
    return _STRING.sub(b"", body).count(b":")


def read_query(query: bytes) -> list[tuple[str, str]]:
    """Read a query.

    Raises:
        HttpRefusal: 400: not UTF-8, or too many fields. 414: too long.
    """
    if len(query) > QUERY_MAX:
        raise HttpRefusal(414, f"The query has more than {QUERY_MAX} bytes")
    if not query:
        return []
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX,
            errors="strict",
        )  # fmt: skip
    except ValueError as error:
        said = "not UTF-8" if isinstance(error, UnicodeError) else f"more than {FIELDS_MAX} fields"
        raise HttpRefusal(400, f"The query cannot be read: {said}") from None
