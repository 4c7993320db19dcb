"""Bodies: read within a limit, decoded without surprises.

Promise: what is decoded means the same to every JSON reader: no duplicate key, no NaN, no lone
surrogate, no number that others would round, no nesting that would exhaust a stack; anything else
is 400. Refusal: nothing here knows what a body is for, but `parse_call`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, NoReturn, cast

import msgspec

from conductor_sidecar.http.errors import Refusal

DEPTH_MAX = 64
MEMBERS_MAX = 200_000
INT_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""
KEY_MAX = 255
CONTEXT_MAX = 160
VISIBLE = "[!-~]"
"""The characters of keys and names that only travel along."""
_KEY = re.compile(f"{VISIBLE}{{1,{KEY_MAX}}}")
_NAME = re.compile(f"{VISIBLE}{{1,{CONTEXT_MAX}}}")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Gives nothing back and matches also what has no end, so that no body takes quadratic time."""
_TO_BRACES = bytes.maketrans(b"[]", b"{}")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_CONTEXT = ("run_id", "task_id", "session_id")


class CallBody(msgspec.Struct, frozen=True):
    """A call's body, checked."""

    input: Any
    run_id: str | None = None
    task_id: str | None = None
    session_id: str | None = None


async def read_body(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Read a body of at most `limit` bytes.

    Raises:
        Refusal: 413 as soon as it is longer; the rest is not read.
    """
    found: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        found.append(chunk)
    return b"".join(found)


def too_large(limit: int) -> Refusal:
    """Return the refusal of a body over the limit."""
    return Refusal(413, "BODY_TOO_LARGE", f"The body has more than {limit} bytes.")


def parse_call(body: bytes) -> CallBody:
    """Read `{"input": …, "context"?: {run_id, task_id, session_id}}`; empty means `{}`.

    `input` is `{}` where it is left out. Other members of `context` are not read: no scope, no
    identity and no permission comes from a body.

    Raises:
        Refusal: 400, with what is wrong.
    """
    value: Any = decode_json(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise _bad("The body is not a JSON object.")
    members = cast("dict[str, Any]", value)
    unknown = sorted(members.keys() - {"input", "context"})
    if unknown:
        raise _bad(f"The body has a member that is not known: {unknown[0][:40]!r}.")
    context = members.get("context", {})
    if not isinstance(context, dict):
        raise _bad("context is not a JSON object.")
    named = cast("dict[str, Any]", context)
    return CallBody(members.get("input", {}), **{name: _name(named, name) for name in _CONTEXT})


def decode_json(body: bytes) -> Any:
    """Decode one JSON text strictly.

    Raises:
        Refusal: 400, with what is wrong.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _bad(f"The body is not UTF-8 (byte {error.start}).") from None
    _check_shape(body)
    try:
        # The standard library's decoder, because it shows duplicate keys. Big integers are refused
        # before they are converted: their conversion takes quadratic time.
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer,
            parse_float=_float,
        )  # fmt: skip
    except (ValueError, RecursionError) as error:
        at = f" (character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise _bad(f"The body is not JSON{at}.") from None
    if "\\u" in text:
        _check_surrogates(value)
    return value


def idempotency_key(values: list[str]) -> str | None:
    """Return the value of the Idempotency-Key header; None where there is none.

    Raises:
        Refusal: 400: there are several, or it is not 1 to 255 visible ASCII characters.
    """
    match values:
        case []:
            return None
        case [key] if _KEY.fullmatch(key):
            return key
        case _:
            raise _bad("Idempotency-Key is not one value of 1 to 255 visible ASCII characters.")


def _check_shape(body: bytes) -> None:
    """Refuse bombs before they are decoded; ordinary bodies are counted, not scanned."""
    deep = body.count(b"{") + body.count(b"[") > DEPTH_MAX
    wide = body.count(b",") + body.count(b":") > MEMBERS_MAX
    if not deep and not wide:
        return
    bare = _STRING.sub(b"", body)
    if bare.count(b",") + bare.count(b":") > MEMBERS_MAX:
        raise _bad(f"The body has more than {MEMBERS_MAX} members.")
    braces = bare.translate(None, _NOT_BRACKETS).translate(_TO_BRACES)
    for _ in range(DEPTH_MAX):
        # Peels the innermost pairs off, one level in each pass.
        braces = braces.replace(b"{}", b"")
        if not braces:
            return
    raise _bad(f"The body is nested deeper than {DEPTH_MAX} levels.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _bad("A key stands twice in an object.")
    return found


def _constant(name: str) -> NoReturn:
    raise _bad(f"{name} is not JSON.")


def _integer(digits: str) -> int:
    if len(digits) > len(str(INT_MAX)) + 1 or abs(int(digits)) > INT_MAX:
        raise _bad("An integer is beyond 2^53 - 1; send it as a string.")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise _bad("A number is out of range.")
    return value


def _check_surrogates(value: Any) -> None:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise _bad("A string holds half of a surrogate pair.") from None


def _name(context: Mapping[str, Any], name: str) -> str | None:
    if name not in context:
        return None
    value = context[name]
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _bad(f"context.{name} is not 1 to {CONTEXT_MAX} visible ASCII characters.")
    return value


def _bad(message: str) -> Refusal:
    return Refusal(400, "BODY_INVALID", message)
