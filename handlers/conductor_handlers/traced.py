"""Traces of what handlers do: a span for each attempt, and the context that is handed on from it.

Promise: what a handler pushes, calls and logs belongs to the trace of the event that it handles,
also where nobody records spans. Refusal: without a tracer no span is made and nothing is set per
event; no text of an error and nothing of a payload enters a span.
"""

from __future__ import annotations

import asyncio
import contextvars

from conductor_handlers.attempt import Attempt, call_handler, current_attempt
from conductor_handlers.lanes import Job
from conductor_handlers.ports import Span, Tracer
from conductor_handlers.settlement import Answer
from conductor_sdk.context import Log
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Ignored, Reject, Replayed, Retry
from conductor_sdk.trace_context import event_context, trace_id_of

current_span: contextvars.ContextVar[Span | None] = contextvars.ContextVar(
    "current_span", default=None
)
"""The span that the running code belongs to; tasks that a handler starts keep it."""


class TracedCalls:
    """Calls handlers as `call_handler` does, each in a span of its own."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def call(self, job: Job, event: KernelEvent, attempt: Attempt) -> Answer:
        """Run the handler of a job under its deadline and in a span.

        Raises:
            asyncio.CancelledError: Only when the worker itself is being stopped.
        """
        span = self._open(job, event)
        if span is None:
            return await call_handler(job, event, attempt)
        token = current_span.set(span)
        try:
            answer = await call_handler(job, event, attempt)
        except asyncio.CancelledError:
            span.end("released")
            raise
        finally:
            current_span.reset(token)
        span.end(*_outcome(answer))
        return answer

    def not_run(self, job: Job, answer: Answer) -> Answer:
        """Record an attempt that had its answer before a handler was called; returns it."""
        span = None if job.event is None else self._open(job, job.event)
        if span is not None:
            span.end(*_outcome(answer))
        return answer

    def _open(self, job: Job, event: KernelEvent) -> Span | None:
        return self._tracer.handle(
            event, pack=job.subscriber.slug, attempt=job.attempts, redriven=job.redriven
        )


def _outcome(answer: Answer) -> tuple[str, str | None]:
    """Return an answer's word and, where it is a failure, its code."""
    match answer:
        case Handled() | Replayed() | Ignored():
            return answer.status, None
        case Retry() | Reject():
            return answer.status, answer.status.upper()
        case ConductorError():
            return "failed", answer.code


def handled_event() -> KernelEvent | None:
    """Return the event that the running code handles; None outside of an attempt."""
    attempt = current_attempt.get()
    job = None if attempt is None else attempt.job
    return None if job is None else job.event


def handed_on() -> tuple[str | None, str | None]:
    """Return the traceparent and tracestate for what is pushed now; None where there is none.

    Without a recorded span this is the handled event's own context, if it came with one.
    """
    span = current_span.get()
    if span is not None:
        return span.traceparent, span.tracestate
    event = handled_event()
    return (None, None) if event is None else (event.traceparent, event.tracestate)


def own_traceparent() -> str | None:
    """Return the context for a pack's own requests; None outside of an attempt.

    Without a recorded span and without a given context it is derived from the event's id, and says
    that nobody records it.
    """
    span = current_span.get()
    if span is not None:
        return span.traceparent
    event = handled_event()
    if event is None:
        return None
    return event.traceparent or event_context(event.event_id, None).traceparent


class EventLog:
    """A pack's logger: while an event is handled every line names the event and its trace."""

    __slots__ = ("_log",)

    def __init__(self, log: Log) -> None:
        self._log = log

    def debug(self, event: str, **fields: object) -> object:
        """Log for developers."""
        return self._log.debug(event, **_about(fields))

    def info(self, event: str, **fields: object) -> object:
        """Log what an operator may want to know."""
        return self._log.info(event, **_about(fields))

    def warning(self, event: str, **fields: object) -> object:
        """Log what an operator should look at."""
        return self._log.warning(event, **_about(fields))

    def error(self, event: str, **fields: object) -> object:
        """Log what an operator must act on."""
        return self._log.error(event, **_about(fields))


def _about(fields: dict[str, object]) -> dict[str, object]:
    handled = handled_event()
    if handled is None:
        return fields
    span, event_id = current_span.get(), handled.event_id
    given = handled.traceparent if span is None else span.traceparent
    return {"event_id": event_id, "trace_id": trace_id_of(event_id, given), **fields}
