"""The spans of events on their way up: from the queue to the conductor's answer.

Promise: a span begins when the event was queued, also if that was another process, and ends when
the answer is durable. Refusal: at most `OPEN_MAX` wait for an answer; the oldest give way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from conductor_protocol.messages import PushResult
from conductor_sdk.context import PushReceipt
from conductor_sdk.records import Outgoing, Queued
from conductor_sidecar.tracing.tracer import OpenSpan, SidecarTracer

OPEN_MAX = 8192
"""More than a link may have in flight."""


class Watching(Protocol):
    """Who else is told of events on their way up."""

    def published(self, receipts: Sequence[PushReceipt]) -> None:
        """Take note of what became of pushed events."""
        ...

    def sending(self, batch: Sequence[Outgoing]) -> None:
        """Take note of events that the link sends now."""
        ...

    def answered(self, results: Sequence[PushResult]) -> None:
        """Take note of what the conductor said; it is durable now."""
        ...

    def lost(self, kinds: Mapping[str, str]) -> None:
        """Take note of ephemeral events, id to kind, that a link took down with it."""
        ...


class TracedPushes:
    """Stands between the uplink and its observer; the observer is told everything."""

    def __init__(self, tracer: SidecarTracer, then: Watching) -> None:
        self._tracer = tracer
        self._then = then
        self._open: OrderedDict[str, OpenSpan] = OrderedDict()

    def published(self, receipts: Sequence[PushReceipt]) -> None:
        """Pass it on."""
        self._then.published(receipts)

    def sending(self, batch: Sequence[Outgoing]) -> None:
        """Begin the spans of what goes up; what goes up again begins where it began."""
        for item in batch:
            span = self._tracer.push(item.event_id, item.kind, item.trace, item.put_ms)
            if span is not None:
                self._open[item.event_id] = span
        while len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)
        self._then.sending(batch)

    def answered(self, results: Sequence[PushResult]) -> None:
        """End the spans of what the conductor answered."""
        if self._open:
            for result in results:
                self._end(result.event_id, result.status)
        self._then.answered(results)

    def lost(self, kinds: Mapping[str, str]) -> None:
        """End the spans of ephemeral events that went down with a link."""
        for event_id in kinds:
            self._end(event_id, "dropped")
        self._then.lost(kinds)

    def pushed_by_http(self, rows: Sequence[Queued], said: Mapping[str, str]) -> None:
        """Record events that went up without a link; `said` is the answer by event id."""
        for row in rows:
            self._open.pop(row.event_id, None)
            span = self._tracer.push(row.event_id, row.kind, row.trace, row.put_ms)
            if span is not None:
                span.note("conductor.fallback", value=True)
                _finish(span, self._tracer, said.get(row.event_id, "accepted"))

    def _end(self, event_id: str, status: str) -> None:
        span = self._open.pop(event_id, None)
        if span is not None:
            _finish(span, self._tracer, status)


def _finish(span: OpenSpan, tracer: SidecarTracer, status: str) -> None:
    # It began when the event was queued, so it ends by the wall clock too.
    failed = status not in {"accepted", "duplicate"}
    span.note("conductor.outcome", "confirmed" if not failed else status)
    span.note("conductor.answer", status)
    if failed:
        span.note("error.type", status.upper())
    span.end_at(tracer.now_ns(), status.upper() if failed else None)
