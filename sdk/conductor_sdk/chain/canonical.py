"""Canonical JSON of a journal entry's payload: one value, one text, in every language.

Promise: equal payloads give equal text, which is RFC 8785 for the values that are allowed here.
Refusal: what two languages could print or read differently is not allowed: floats, integers
beyond 2^53-1, lone surrogates, duplicate keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from conductor_sdk.errors import ConductorError, Exit

INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 32
PAYLOAD_MAX_BYTES = 1_048_576


class PayloadRefused(ConductorError):
    """The journal does not take this payload."""

    code = "JOURNAL_PAYLOAD_REFUSED"
    default_hint = "write fractions and large integers as strings; see: docs/reference/journal.md"
    exit_code = Exit.USAGE


def canonical_json(payload: Mapping[str, Any]) -> str:
    """Return the one text of a payload: keys sorted by UTF-16 code units, no white space.

    Args:
        payload: Objects, lists, strings, integers within ±(2^53-1), booleans and None, at most
            32 levels deep and 1 MiB long.

    Raises:
        PayloadRefused: With the JSON pointer of the offending value.
    """
    text = json.dumps(_ordered_object(payload, "", 1), ensure_ascii=False, separators=(",", ":"))
    if len(text) > PAYLOAD_MAX_BYTES or len(text.encode()) > PAYLOAD_MAX_BYTES:
        raise PayloadRefused(f"its JSON is longer than {PAYLOAD_MAX_BYTES} bytes")
    return text


def parse_payload(text: str) -> dict[str, Any]:
    """Read a stored payload, and refuse text that `canonical_json` would not have written.

    Raises:
        PayloadRefused: The text is not JSON, or not the canonical text of its value.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PayloadRefused(f"the stored text is not such JSON ({error})") from None
    if not isinstance(value, dict):
        raise PayloadRefused("the stored text is not an object")
    payload = cast("dict[str, Any]", value)
    if canonical_json(payload) != text:  # also where a key stood twice
        raise PayloadRefused("the stored text is JSON, but not canonical")
    return payload


def _ordered_object(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise PayloadRefused(f"{where or '/'} is nested deeper than {DEPTH_MAX} levels")
    for key in value:
        if not isinstance(key, str):
            raise PayloadRefused(f"{where}/{key!r}: a key is not a string")
        _check_text(key, f"{where}/{key!a}")
    ordered = sorted(value) if all(map(str.isascii, value)) else sorted(value, key=_utf16)
    return {key: _ordered(value[key], f"{where}/{key}", depth) for key in ordered}


def _ordered(value: Any, where: str, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            _check_text(value, where)
            return value
        case int():
            if not -INTEGER_MAX <= value <= INTEGER_MAX:
                raise PayloadRefused(f"{where} is an integer beyond 2^53-1")
            return value
        case Mapping():
            return _ordered_object(value, where, depth + 1)  # pyright: ignore[reportUnknownArgumentType]  # JSON values are honest Any
        case list() | tuple():
            if depth >= DEPTH_MAX:
                raise PayloadRefused(f"{where} is nested deeper than {DEPTH_MAX} levels")
            items = cast("Sequence[Any]", value)
            return [_ordered(item, f"{where}/{at}", depth + 1) for at, item in enumerate(items)]
        case _:
            raise PayloadRefused(f"{where} is a {type(value).__name__}, which JSON here has not")


def _check_text(text: str, where: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PayloadRefused(f"{where} holds half a character (a lone surrogate)") from None


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")
