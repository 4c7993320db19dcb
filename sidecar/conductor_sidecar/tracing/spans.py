"""A finished span, and what waits for one: the words that the tracer and the exporter share.

Promise: everything that leaves the process about an event is a field here. Refusal: no payload, no
text of an error, and no library of OpenTelemetry.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from conductor_sdk.trace_context import TraceContext

Role: TypeAlias = Literal["consumer", "producer", "internal"]
Attributes: TypeAlias = dict[str, str | int | bool]


class FinishedSpan(msgspec.Struct, frozen=True, gc=False):
    """One piece of work that is over."""

    name: str
    role: Role
    trace_id: str
    span_id: str
    parent: str | None
    """The span above it; None at the top of a trace."""
    remote: bool
    """Whether that one belongs to another process, or to this one before it ended."""
    tracestate: str | None
    start_ns: int
    """Wall-clock time in nanoseconds since 1970-01-01 UTC."""
    end_ns: int
    attributes: Attributes
    links: tuple[TraceContext, ...] = ()
    error: str | None = None
    """The code of what went wrong; None for a success."""


class TraceReport(msgspec.Struct, frozen=True):
    """What became of spans since the start."""

    queued: int
    exported: int
    dropped: int
    """There was no room: the collector was too slow, or away."""
    failed: int
    """The collector refused them, or was not reached in time."""


class SpanSink(Protocol):
    """Where finished spans go."""

    def add(self, span: FinishedSpan) -> None:
        """Take a span, or count that there was no room. Never waits, never raises."""
        ...
