"""Spans of attempts, and the context that goes on from them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from conductor_handlers.contexts import PackSyncPort
from conductor_handlers.dispatcher import Dispatcher
from conductor_handlers.settlement import RetryPolicy
from conductor_handlers.traced import EventLog, current_span, own_traceparent
from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent, with_context
from conductor_sdk.handler import Handled, Ignored, Outcome, Reject, Retry
from conductor_sdk.records import Pending
from conductor_sdk.trace_context import derived_context, trace_id_of
from dispatch_bench import KIND, Bench, make_event, subscriber

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"
STATE = "vendor=1"
MAX_BYTES = 1000


class Recorded:
    """A span that remembers how it ended."""

    def __init__(self, tracer: Recorder, facts: tuple[Any, ...], number: int) -> None:
        self._tracer = tracer
        self.facts = facts
        self.traceparent = f"00-{TRACE}-{number:016x}-01"
        self.tracestate: str | None = STATE
        self.ended: tuple[str, str | None] | None = None

    def tool(self, name: str) -> Recorded:
        return self._tracer.span(("tool", name))

    def end(self, outcome: str, error: str | None = None) -> None:
        assert self.ended is None
        self.ended = (outcome, error)


class Recorder:
    """A tracer that keeps every span."""

    def __init__(self, *, records: bool = True) -> None:
        self.spans: list[Recorded] = []
        self._records = records

    def span(self, facts: tuple[Any, ...]) -> Recorded:
        self.spans.append(Recorded(self, facts, len(self.spans) + 1))
        return self.spans[-1]

    def handle(
        self, event: KernelEvent, *, pack: str, attempt: int, redriven: bool
    ) -> Recorded | None:
        return self.span((event.event_id, pack, attempt, redriven)) if self._records else None


class Outlet:
    """A publisher that remembers."""

    def __init__(self) -> None:
        self.events: list[KernelEvent] = []

    async def publish(self, events: Any) -> list[PushReceipt]:
        self.events += events
        return [PushReceipt(event.event_id, event.kind, "queued") for event in events]


def bench_of(handler: Any, tracer: Recorder | None, **choices: Any) -> Bench:
    bench = Bench({KIND: (subscriber(handler, **choices),)})
    bench.dispatcher = Dispatcher(
        bench.log, {KIND: (subscriber(handler, **choices),)}, bench.clock, random=lambda: 0.0,
        observer=bench.seen, tracer=tracer,
    )  # fmt: skip
    return bench


def port_of(bench: Bench, outlet: Outlet) -> PackSyncPort:
    return PackSyncPort(frozenset({KIND}), "ws", outlet, bench.clock, MAX_BYTES)


async def answers(handler: Any, *events: KernelEvent, **choices: Any) -> Recorder:
    tracer = Recorder()
    bench = bench_of(handler, tracer, **choices)
    async with bench.running():
        await bench.arrive(*events)
        await bench.settled(len(events))
    return tracer


@pytest.mark.parametrize(
    ("answer", "ended"),
    [(Handled(), ("handled", None)), (Ignored(), ("ignored", None)),
     (Reject("no"), ("reject", "REJECT")), ("nonsense", ("failed", "HANDLER_NONSENSE"))],
)  # fmt: skip
async def test_an_attempt_is_a_span_with_its_outcome(answer: Any, ended: Any) -> None:
    async def handler(event: KernelEvent, ctx: Any) -> Any:
        return answer

    event = make_event(1)
    tracer = await answers(handler, event, policy=RetryPolicy(max_attempts=1))
    assert [((event.event_id, "demo", 1, False), ended)] == [
        (span.facts, span.ended) for span in tracer.spans
    ]


async def test_every_attempt_has_a_span_of_its_own() -> None:
    async def handler(event: KernelEvent, ctx: Any) -> Outcome:
        if len(tracer.spans) == 1:
            raise RuntimeError("secret text")
        return Retry() if len(tracer.spans) == 2 else Handled()

    tracer = Recorder()
    bench = bench_of(handler, tracer)
    async with bench.running():
        await bench.arrive(make_event(1))
        await bench.settled(3)
    assert [1, 2, 3] == [span.facts[2] for span in tracer.spans]
    assert [("failed", "HANDLER_FAILED"), ("retry", "RETRY"), ("handled", None)] == [
        span.ended for span in tracer.spans
    ]


async def test_an_event_that_is_given_up_without_a_call_has_a_span() -> None:
    async def handler(event: KernelEvent, ctx: Any) -> Outcome:
        raise AssertionError

    tracer = Recorder()
    bench = bench_of(handler, tracer)
    event = make_event(1)
    await bench.store(event)
    async with bench.running():
        await bench.dispatcher.resume([Pending(4096, event.event_id, KIND, event.to_json(), 3, 0)])
        await bench.settled(1)
    assert [("failed", "HANDLER_CRASHED")] == [span.ended for span in tracer.spans]


async def test_an_attempt_that_a_stop_interrupts_ends_its_span() -> None:
    reached = asyncio.Event()

    async def handler(event: KernelEvent, ctx: Any) -> Outcome:
        reached.set()
        await asyncio.Event().wait()
        return Handled()

    tracer = Recorder()
    bench = bench_of(handler, tracer)
    async with bench.running():
        await bench.arrive(make_event(1))
        await reached.wait()
        await bench.dispatcher.drain(0.0)
    assert [("released", None)] == [span.ended for span in tracer.spans]


async def pushed_by(handler_event: KernelEvent, tracer: Recorder | None, *events: Any) -> Outlet:
    """Push from a handler; returns what was published."""
    outlet = Outlet()

    async def handler(event: KernelEvent, ctx: Any) -> Outcome:
        async with asyncio.TaskGroup() as group:  # a task of the handler is still the handler
            group.create_task(port.push_kernel_events(events))
        return Handled()

    bench = bench_of(handler, tracer)
    port = port_of(bench, outlet)
    async with bench.running():
        await bench.arrive(handler_event)
        await bench.settled(1)
    return outlet


async def test_what_a_handler_pushes_hangs_below_its_span() -> None:
    outlet = await pushed_by(make_event(1), Recorder(), {"kind": KIND, "n": 2})
    assert [(f"00-{TRACE}-{1:016x}-01", STATE)] == [
        (event.traceparent, event.tracestate) for event in outlet.events
    ]


async def test_a_span_ends_with_its_attempt_for_the_next_event_too() -> None:
    class Once(Recorder):
        def handle(self, event: KernelEvent, **facts: Any) -> Recorded | None:
            return None if self.spans else super().handle(event, **facts)

    outlet = Outlet()

    async def handler(event: KernelEvent, ctx: Any) -> Outcome:
        await port.push_kernel_events([make_event(10 + event.payload["n"])])
        return Handled()

    bench = bench_of(handler, Once())
    port = port_of(bench, outlet)
    async with bench.running():
        await bench.arrive(make_event(1), make_event(2))
        await bench.settled(2)
    assert [f"00-{TRACE}-{1:016x}-01", None] == [event.traceparent for event in outlet.events]


@pytest.mark.parametrize("tracer", [None, Recorder(records=False)], ids=["off", "not recorded"])
async def test_without_a_span_the_context_of_the_event_goes_on(tracer: Recorder | None) -> None:
    given = with_context(make_event(1), GIVEN, STATE)
    outlet = await pushed_by(given, tracer, {"kind": KIND, "n": 2})
    assert [(GIVEN, STATE)] == [(event.traceparent, event.tracestate) for event in outlet.events]


async def test_without_a_span_and_a_context_nothing_is_added() -> None:
    outlet = await pushed_by(make_event(1), None, make_event(2))
    assert [make_event(2).payload] == [event.payload for event in outlet.events]
    assert [None] == [event.traceparent for event in outlet.events]


async def test_a_context_of_the_packs_own_stands() -> None:
    own = f"00-{'b' * 32}-{'c' * 16}-01"
    outlet = await pushed_by(make_event(1), Recorder(), {"kind": KIND, "traceparent": own})
    assert [(own, None)] == [(event.traceparent, event.tracestate) for event in outlet.events]


async def test_a_version_1_event_has_its_context_beside_it_and_its_bytes_as_they_are() -> None:
    flat = {"schema_version": 1, "timestamp": "2026-01-01T00:00:00Z", "kind": "run_started"}
    outlet = await pushed_by(make_event(1), Recorder(), flat)
    assert [(f"00-{TRACE}-{1:016x}-01", msgspec.json.encode(flat))] == [
        (event.traceparent, event.to_json()) for event in outlet.events
    ]


async def test_a_context_never_makes_an_event_too_large() -> None:
    bare = len(make_event(2, text="").to_json())
    event = make_event(2, text="x" * (MAX_BYTES - bare))
    assert MAX_BYTES == len(event.to_json())
    outlet = await pushed_by(make_event(1), Recorder(), event)
    assert [None] == [found.traceparent for found in outlet.events]


async def test_a_context_never_gives_an_event_too_many_keys() -> None:
    event = make_event(2, **{f"k{n}": 0 for n in range(2100)})
    bench = bench_of(None, None)
    outlet = Outlet()
    port = PackSyncPort(frozenset({KIND}), "ws", outlet, bench.clock, 1 << 20)
    token = current_span.set(Recorded(Recorder(), (), 1))
    try:
        await port.push_kernel_events([event, make_event(3)])
    finally:
        current_span.reset(token)
    assert [True, False] == [found.traceparent is None for found in outlet.events]


async def test_outside_of_an_attempt_there_is_no_context() -> None:
    assert (None, None) == (own_traceparent(), current_span.get())
    outlet = Outlet()
    await port_of(bench_of(None, None), outlet).push_kernel_events([make_event(1)])
    assert [None] == [event.traceparent for event in outlet.events]


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def _keep(self, level: str) -> Any:
        return lambda event, **fields: self.lines.append((level, event, fields))

    def __getattr__(self, level: str) -> Any:
        return self._keep(level)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_a_handlers_lines_name_the_event_and_its_trace(level: str) -> None:
    lines, seen = Lines(), list[str | None]()
    log: Any = EventLog(lines)

    async def handler(event: KernelEvent, ctx: Any) -> Outcome:
        getattr(log, level)("said", n=event.payload["n"])
        seen.append(own_traceparent())
        return Handled()

    first, second = make_event(1), with_context(make_event(2), GIVEN, None)
    bench = bench_of(handler, None)
    async with bench.running():
        await bench.arrive(first, second)
        await bench.settled(2)
    getattr(log, level)("outside")
    assert [
        (level, "said", {"event_id": event.event_id, "n": n,
                         "trace_id": trace_id_of(event.event_id, event.traceparent)})
        for n, event in ((1, first), (2, second))
    ] == lines.lines[:2]  # fmt: skip
    assert (level, "outside", {}) == lines.lines[2]
    assert [derived_context(first.event_id).traceparent, GIVEN] == seen
