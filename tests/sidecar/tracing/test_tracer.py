"""Which traces are recorded, and what the spans of batches, attempts and pushes say."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from conductor_protocol.effects import Arrived, Deliver
from conductor_protocol.messages import PushResult
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.event import KernelEvent, with_context
from conductor_sdk.records import Outgoing, Queued
from conductor_sdk.trace_context import TraceContext, derived_context
from conductor_sidecar.tracing.pushes import OPEN_MAX, TracedPushes
from conductor_sidecar.tracing.spans import FinishedSpan
from conductor_sidecar.tracing.tracer import LINKS_MAX, SidecarTracer
from dispatch_bench import KIND, make_event

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{SPAN}-01"


class Sink:
    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def add(self, span: FinishedSpan) -> None:
        self.spans.append(span)


class Watcher:
    """Whom the uplink tells; remembers by name."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def published(self, receipts: Any) -> None:
        self.told.append("published")

    def sending(self, batch: Sequence[Outgoing]) -> None:
        self.told.append("sending")

    def answered(self, results: Sequence[PushResult]) -> None:
        self.told.append("answered")

    def lost(self, kinds: Mapping[str, str]) -> None:
        self.told.append("lost")


def tracer_of(sink: Sink, ratio: float = 1.0, clock: ManualClock | None = None) -> SidecarTracer:
    numbers = itertools.count()
    return SidecarTracer(
        sink, clock or ManualClock(), ratio=ratio, random_bits=lambda _: next(numbers)
    )


def given(number: int, traceparent: str = GIVEN, state: str | None = None) -> KernelEvent:
    return with_context(make_event(number), traceparent, state)


def test_an_attempt_hangs_below_whoever_sent_the_event() -> None:
    sink, clock = Sink(), ManualClock()
    span = tracer_of(sink, clock=clock).handle(
        given(1, state="a=b"), pack="demo", attempt=2, redriven=True
    )
    assert span is not None
    assert f"00-{TRACE}-{1:016x}-01" == span.traceparent  # an id of zeros is none
    clock.jump(-1000)
    clock.advance(2)
    span.end("failed", "HANDLER_FAILED")
    [found] = sink.spans
    assert (f"handle {KIND}", "consumer", TRACE, SPAN, True, "a=b", "HANDLER_FAILED") == (
        found.name, found.role, found.trace_id, found.parent, found.remote, found.tracestate,
        found.error,
    )  # fmt: skip
    assert 2_000_000_000 == found.end_ns - found.start_ns
    assert {
        "messaging.system": "conductor", "messaging.operation.type": "process",
        "messaging.message.id": make_event(1).event_id, "conductor.kind": KIND,
        "conductor.pack": "demo", "conductor.attempt": 2, "conductor.redriven": True,
        "conductor.outcome": "failed", "error.type": "HANDLER_FAILED",
    } == found.attributes  # fmt: skip


def test_an_event_without_a_context_is_handled_at_the_top_of_its_derived_trace() -> None:
    sink = Sink()
    span = tracer_of(sink).handle(make_event(1), pack="demo", attempt=1, redriven=False)
    assert span is not None
    span.end("handled")
    trace_id = derived_context(make_event(1).event_id).trace_id
    assert (trace_id, None) == (sink.spans[0].trace_id, sink.spans[0].parent)


def test_the_ratio_picks_by_trace_id_alone() -> None:
    ids = [f"evt-{number}" for number in range(4000)]

    def picked(ratio: float) -> set[str]:
        tracer = tracer_of(Sink(), ratio)
        return {event_id for event_id in ids if tracer.recorded(event_id, None) is not None}

    assert (set(), set(ids)) == (picked(0.0), picked(1.0))
    quarter = picked(0.25)
    assert quarter == picked(0.25)
    assert 800 < len(quarter) < 1200
    assert quarter <= picked(0.5)  # a higher ratio adds traces and loses none


def test_an_emitter_that_records_nothing_is_heeded_and_the_ratio_holds_for_all() -> None:
    silent = TraceContext(TRACE, SPAN, sampled=False).traceparent
    assert tracer_of(Sink()).recorded("a", silent) is None
    low, high = f"00-{'a' * 16}{'0' * 15}1-{SPAN}-01", f"00-{'a' * 16}{'f' * 16}-{SPAN}-01"
    tracer = tracer_of(Sink(), 0.5)
    assert [True, False] == [tracer.recorded("a", text) is not None for text in (low, high)]


def deliver(*events: KernelEvent) -> Deliver:
    arrived = [Arrived(n, event, event.to_json()) for n, event in enumerate(events, start=1)]
    return Deliver("e", len(events), arrived, [])


def test_a_batch_is_linked_to_its_events() -> None:
    sink = Sink()
    span = tracer_of(sink).receive(deliver(given(1), make_event(2)))
    assert span is not None
    span.stored([4096, None])
    [found] = sink.spans
    derived = derived_context(make_event(2).event_id)
    assert [(TRACE, SPAN), (derived.trace_id, derived.span_id)] == [
        (link.trace_id, link.span_id) for link in found.links
    ]
    assert ("receive", None, 2, 1) == (
        found.name, found.parent, found.attributes["messaging.batch.message_count"],
        found.attributes["conductor.fresh"],
    )  # fmt: skip


def test_a_large_batch_has_few_links_and_one_that_nobody_records_no_span() -> None:
    sink = Sink()
    span = tracer_of(sink).receive(deliver(*(make_event(n) for n in range(LINKS_MAX + 9))))
    assert span is not None
    span.stored([1] * (LINKS_MAX + 9))
    assert (LINKS_MAX, LINKS_MAX + 9) == (
        len(sink.spans[0].links), sink.spans[0].attributes["conductor.recorded"],
    )  # fmt: skip
    assert tracer_of(Sink(), 0.0).receive(deliver(make_event(1))) is None


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [("accepted", "confirmed", None), ("duplicate", "confirmed", None),
     ("rejected", "rejected", "REJECTED")],
)  # fmt: skip
def test_a_push_lasts_from_the_queue_to_the_answer(
    status: Any, outcome: str, error: str | None
) -> None:
    sink, clock, watcher = Sink(), ManualClock(), Watcher()
    pushes = TracedPushes(tracer_of(sink, clock=clock), watcher)
    queued_ms = epoch_ms(clock.now()) - 60_000  # by another process
    pushes.published([])
    pushes.sending([Outgoing("a", KIND, b"", GIVEN, queued_ms), Outgoing("b", KIND, b"")])
    pushes.sending([Outgoing("a", KIND, b"", GIVEN, queued_ms)])  # a new link sends it again
    clock.advance(1)
    pushes.answered([PushResult("a", status), PushResult("unknown", "accepted")])
    [found] = sink.spans
    assert (f"push {KIND}", "producer", TRACE, SPAN, error) == (
        found.name, found.role, found.trace_id, found.parent, found.error,
    )  # fmt: skip
    assert (outcome, status) == (
        found.attributes["conductor.outcome"], found.attributes["conductor.answer"],
    )  # fmt: skip
    assert 61_000_000_000 == found.end_ns - found.start_ns
    assert ["published", "sending", "sending", "answered"] == watcher.told


def test_a_push_that_went_down_with_its_link_ends() -> None:
    sink, watcher = Sink(), Watcher()
    pushes = TracedPushes(tracer_of(sink), watcher)
    pushes.sending([Outgoing("a", KIND, b"", GIVEN)])
    pushes.lost({"a": KIND})
    assert [("dropped", "DROPPED")] == [
        (span.attributes["conductor.outcome"], span.error) for span in sink.spans
    ]
    assert ["sending", "lost"] == watcher.told


def test_a_push_by_http_is_a_span_too() -> None:
    sink = Sink()
    pushes = TracedPushes(tracer_of(sink), Watcher())
    pushes.pushed_by_http([Queued(1, "a", KIND, b"", GIVEN, 5)], {"a": "accepted"})
    assert [(TRACE, True)] == [
        (span.trace_id, span.attributes["conductor.fallback"]) for span in sink.spans
    ]


def test_pushes_that_nobody_answers_do_not_pile_up() -> None:
    sink = Sink()
    pushes = TracedPushes(tracer_of(sink), Watcher())
    for number in range(OPEN_MAX + 1):
        pushes.sending([Outgoing(f"e{number}", KIND, b"", GIVEN)])
    pushes.answered([PushResult("e0", "accepted"), PushResult("e1", "accepted")])
    assert 1 == len(sink.spans)
