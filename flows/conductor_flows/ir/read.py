"""Reading a document of either dialect.

Promise: a flow, or `DocumentInvalid` with the place; hostile input included. Refusal: no rule is
applied: a document of the right shape may still be an invalid flow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from conductor_flows.ir.errors import DocumentInvalid
from conductor_flows.ir.json_values import as_array, as_object
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.rich_reader import read_rich

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
"""Levels of nesting; a nested flow takes four."""
_PLACE = re.compile(r" - at `\$([^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def read_flow(data: bytes | str) -> FlowIR:
    """Read a document.

    Raises:
        DocumentInvalid: It is too large, no JSON, or of no dialect; carries a JSON Pointer.
    """
    if len(data) > MAX_BYTES:
        raise DocumentInvalid(f"more than {MAX_BYTES} bytes")
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DocumentInvalid(f"not JSON: {error}") from None
    return from_json(document)


def from_json(document: Any) -> FlowIR:
    """Read a document that is JSON values already; raises as `read_flow`."""
    found = as_object(document)
    if found is None:
        raise DocumentInvalid("an object is needed")
    if _depth(found) > MAX_DEPTH:
        raise DocumentInvalid(f"nested deeper than {MAX_DEPTH} levels")
    if _is_rich(found):
        found = read_rich(found)
    try:
        return msgspec.convert(found, FlowIR)
    except (msgspec.ValidationError, OverflowError) as error:
        text = str(error)
        place = _PLACE.search(text)
        location = "" if place is None else _pointer(place.group(1))
        raise DocumentInvalid(_PLACE.sub("", text), location=location) from None


def _is_rich(document: Mapping[str, Any]) -> bool:
    """Tell the dialects apart by the one key that both must have and spell differently."""
    profile = document.get("profile")
    return isinstance(profile, str) and profile[:1].isupper()


def _pointer(path: str) -> str:
    steps = (name or index for name, index in _STEP.findall(path))
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)


def _depth(document: Any) -> int:
    """Measure without recursion: a hostile document is deeper than the stack."""
    level: list[Any] = [document]
    depth = 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner: list[Any] = []
        for item in level:
            inner.extend((as_object(item) or {}).values())
            inner.extend(as_array(item) or ())
        level = inner
    return depth
