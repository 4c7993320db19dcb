"""W3C trace context: what ties the spans of one story together.

Promise: reading is total (what is not a context is None) and deriving is pure: an event without a
context belongs to the same trace on every machine and after every crash. Refusal: no span is made
here and no clock or randomness is read.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

TRACESTATE_MAX = 512
"""Characters of a tracestate that are carried on."""
_DOMAIN = b"\x00\x00\x00\x12conductor.trace.v1"
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})"
    r"-(?!0{16})(?P<span_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-[\x21-\x7e]{0,200})?\Z"
)
_TRACESTATE = re.compile(rf"[\x20-\x7e]{{1,{TRACESTATE_MAX}}}\Z")
_CLOSED_VERSION = "00"
"""The version that is fully known; a later one may have more fields at its end."""


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """A place in a trace: which trace, below which span, and whether anybody keeps it."""

    trace_id: str
    """32 lower-case hex digits, not all zero."""
    span_id: str
    """16 lower-case hex digits, not all zero: the parent of what comes next."""
    sampled: bool
    """Whether whoever gave the context records its spans."""

    @property
    def traceparent(self) -> str:
        """The context as a `traceparent` of version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(text: object) -> TraceContext | None:
    """Read a `traceparent`; None for anything that is not one, so that a trace begins anew."""
    found = _TRACEPARENT.match(text) if isinstance(text, str) else None
    if found is None or (found["version"] == _CLOSED_VERSION and found["more"] is not None):
        return None
    return TraceContext(found["trace_id"], found["span_id"], bool(int(found["flags"], 16) & 1))


def given_context(traceparent: object, tracestate: object) -> tuple[str | None, str | None]:
    """Return the two fields of an event as far as they are well-formed.

    A `tracestate` counts only beside a `traceparent`, and one over `TRACESTATE_MAX` not at all.
    """
    if not isinstance(traceparent, str) or parse_traceparent(traceparent) is None:
        return None, None
    if not isinstance(tracestate, str) or _TRACESTATE.match(tracestate) is None:
        return traceparent, None
    return traceparent, tracestate


def derived_context(event_id: str) -> TraceContext:
    """Return the context of an event that has none: a pure function of its id, not sampled.

    The trace id is the first 16 bytes of SHA-256 over the strings `conductor.trace.v1` and the id,
    each as UTF-8 preceded by its length in four big-endian bytes; the span id is the 8 bytes after
    them. Vectors stand in `docs/protocol.md`.
    """
    data = event_id.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(_DOMAIN + len(data).to_bytes(4, "big") + data).hexdigest()
    return TraceContext(digest[:32], digest[32:48], sampled=False)


def event_context(event_id: str, traceparent: str | None) -> TraceContext:
    """Return the given context of an event, or else the derived one."""
    given = None if traceparent is None else parse_traceparent(traceparent)
    return derived_context(event_id) if given is None else given


def trace_id_of(event_id: str, traceparent: str | None) -> str:
    """Return the id of the trace that an event belongs to: 32 hex digits."""
    return event_context(event_id, traceparent).trace_id


class _Named(msgspec.Struct, gc=False):
    traceparent: Any = None


_named = msgspec.json.Decoder(_Named)


def traceparent_in(body: bytes) -> str | None:
    """Return the `traceparent` that stands in the JSON of an event, if there is a good one."""
    try:
        return given_context(_named.decode(body).traceparent, None)[0]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
