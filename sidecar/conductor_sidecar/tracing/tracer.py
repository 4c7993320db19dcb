"""The spans of the daemon: received batches, attempts of handlers, tool calls, pushed events.

Promise: whether a trace is recorded depends on its id and its emitter's flag alone, so every
attempt before and after a crash decides alike; a span that ends goes to the sink at once. Refusal:
nothing is exported here, and nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conductor_protocol.effects import Deliver
from conductor_sdk.clock import Clock
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Position
from conductor_sdk.trace_context import TraceContext, derived_context, parse_traceparent
from conductor_sidecar.tracing.spans import Attributes, FinishedSpan, Role, SpanSink

LINKS_MAX = 128
"""Events that the span of a batch names; a batch may have a thousand."""
_NS = 1_000_000_000


class OpenSpan:
    """A span that has begun; `end` it once."""

    __slots__ = (
        "_attributes", "_began", "_links", "_name", "_parent", "_remote", "_role", "_start_ns",
        "_tracer", "context", "tracestate",
    )  # fmt: skip

    def __init__(
        self, tracer: SidecarTracer, name: str, role: Role, context: TraceContext,
        attributes: Attributes, *, parent: str | None, remote: bool,
        tracestate: str | None = None, start_ns: int | None = None,
        links: tuple[TraceContext, ...] = (),
    ) -> None:  # fmt: skip
        self._tracer = tracer
        self._name = name
        self._role: Role = role
        self.context = context
        self._attributes = attributes
        self._parent = parent
        self._remote = remote
        self.tracestate = tracestate
        self._links = links
        self._began = tracer.clock.monotonic()
        self._start_ns = tracer.now_ns() if start_ns is None else start_ns

    @property
    def traceparent(self) -> str:
        """The context of what this span causes."""
        return self.context.traceparent

    def tool(self, name: str) -> OpenSpan:
        """Begin a span below this one: a call of a tool."""
        context = self._tracer.below(self.context)
        return OpenSpan(
            self._tracer, f"tool {name}", "internal", context, {"conductor.tool": name},
            parent=self.context.span_id, remote=False, tracestate=self.tracestate,
        )  # fmt: skip

    def stored(self, positions: Sequence[Position | None]) -> None:
        """End the span of a batch that is durable now; None stands for a known event."""
        self.note("conductor.fresh", len(positions) - positions.count(None))
        self.end("stored")

    def note(self, name: str, value: str | int | bool) -> None:
        """Add an attribute."""
        self._attributes[name] = value

    def end(self, outcome: str, error: str | None = None) -> None:
        """Finish it; the clock's jumps do not count as time."""
        self._attributes["conductor.outcome"] = outcome
        if error is not None:
            self._attributes["error.type"] = error
        took_ns = round((self._tracer.clock.monotonic() - self._began) * _NS)
        self.end_at(self._start_ns + took_ns, error)

    def end_at(self, end_ns: int, error: str | None = None) -> None:
        """Finish it at a wall-clock time, never before its start."""
        context = self.context
        self._tracer.sink.add(
            FinishedSpan(
                self._name, self._role, context.trace_id, context.span_id, self._parent,
                self._remote, self.tracestate, self._start_ns, max(end_ns, self._start_ns),
                self._attributes, self._links, error,
            )
        )  # fmt: skip


class SidecarTracer:
    """Begins spans of traces that are recorded, and gives None for the others."""

    def __init__(
        self, sink: SpanSink, clock: Clock, *, ratio: float, random_bits: Callable[[int], int]
    ) -> None:
        """Build a tracer.

        Args:
            sink: Where finished spans go.
            clock: The time.
            ratio: The share of traces that is recorded, 0 to 1, picked by trace id as the
                samplers of OpenTelemetry pick.
            random_bits: Gives an integer of so many random bits.
        """
        self.sink = sink
        self.clock = clock
        self._bound = round(ratio * (1 << 64))
        self._random_bits = random_bits

    def now_ns(self) -> int:
        """Return the wall-clock time in nanoseconds."""
        return round(self.clock.now().timestamp() * 1_000_000) * 1000

    def below(self, context: TraceContext) -> TraceContext:
        """Return a fresh recorded place in a context's trace."""
        return TraceContext(context.trace_id, self._span_id(), sampled=True)

    def recorded(self, event_id: str, traceparent: str | None) -> tuple[TraceContext, bool] | None:
        """Return an event's context, and whether it was given; None if nobody records its trace.

        A given context that says "not sampled" is heeded; the ratio holds for all.
        """
        given = None if traceparent is None else parse_traceparent(traceparent)
        if given is not None and not given.sampled:
            return None
        context = derived_context(event_id) if given is None else given
        if int(context.trace_id[16:], 16) >= self._bound:
            return None
        return context, given is not None

    def handle(
        self, event: KernelEvent, *, pack: str, attempt: int, redriven: bool
    ) -> OpenSpan | None:
        """Begin the span of an attempt; None where the event's trace is not recorded."""
        found = self.recorded(event.event_id, event.traceparent)
        if found is None:
            return None
        above, given = found
        attributes: Attributes = {
            "messaging.system": "conductor", "messaging.operation.type": "process",
            "messaging.message.id": event.event_id, "conductor.kind": event.kind,
            "conductor.pack": pack, "conductor.attempt": attempt,
        }  # fmt: skip
        if redriven:
            attributes["conductor.redriven"] = True
        return OpenSpan(
            self, f"handle {event.kind}", "consumer", self.below(above), attributes,
            parent=above.span_id if given else None, remote=given,
            tracestate=event.tracestate if given else None,
        )  # fmt: skip

    def receive(self, deliver: Deliver) -> OpenSpan | None:
        """Begin the span of a batch, linked to its events; None if none of them is recorded."""
        links: list[TraceContext] = []
        for arrived in deliver.events:
            found = self.recorded(arrived.event.event_id, arrived.event.traceparent)
            if found is not None:
                links.append(found[0])
        if not links:
            return None
        attributes: Attributes = {
            "messaging.system": "conductor", "messaging.operation.type": "receive",
            "messaging.batch.message_count": len(deliver.events),
            "conductor.recorded": len(links), "conductor.sequence": deliver.last,
        }  # fmt: skip
        context = TraceContext(f"{self._random_bits(128) or 1:032x}", self._span_id(), sampled=True)
        return OpenSpan(
            self, "receive", "consumer", context, attributes, parent=None, remote=False,
            links=tuple(links[:LINKS_MAX]),
        )  # fmt: skip

    def push(
        self, event_id: str, kind: str, traceparent: str | None, put_ms: int
    ) -> OpenSpan | None:
        """Begin the span of an event on its way up, at the time when it was queued."""
        found = self.recorded(event_id, traceparent)
        if found is None:
            return None
        above, given = found
        attributes: Attributes = {
            "messaging.system": "conductor", "messaging.operation.type": "send",
            "messaging.message.id": event_id, "conductor.kind": kind,
        }  # fmt: skip
        return OpenSpan(
            self, f"push {kind}", "producer", self.below(above), attributes,
            parent=above.span_id if given else None, remote=given,
            start_ns=put_ms * 1_000_000 if put_ms else None,
        )  # fmt: skip

    def _span_id(self) -> str:
        return f"{self._random_bits(64) or 1:016x}"
