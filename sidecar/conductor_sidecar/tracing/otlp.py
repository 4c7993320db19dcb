"""OTLP over HTTP: finished spans to a collector, with OpenTelemetry's exporter.

Promise: this is the only module that imports OpenTelemetry, and only when it is called; a change
between working and failing is logged once. Refusal: no value of a header is ever logged, also not
when a collector repeats it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from conductor_sdk.secret import Secret
from conductor_sidecar import __version__
from conductor_sidecar.logs import get_logger
from conductor_sidecar.tracing.spans import FinishedSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

EXPORTER_LOGGER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
REASON_MAX = 200


class Collector(msgspec.Struct, frozen=True):
    """Where spans go, and how."""

    url: str
    """Of the signal: it ends in /v1/traces unless someone chose otherwise."""
    headers: Mapping[str, Secret]
    timeout_s: float
    subject: str
    """The workspace: `service.instance.id`, unless OTEL_RESOURCE_ATTRIBUTES says otherwise."""


class OtlpExport:
    """An `Export`. Build it and call it in the queue's thread."""

    def __init__(self, collector: Collector) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        headers = {name: value.reveal() for name, value in collector.headers.items()}
        self._exporter = OTLPSpanExporter(
            collector.url, headers=headers, timeout=collector.timeout_s
        )
        self._resource = _resource(collector.subject)
        self._scope = InstrumentationScope("conductor_sidecar", __version__)
        self._log = get_logger(part="traces")
        self._failing = False
        self._overheard = _Overheard([*headers.values(), *_from_environment()])
        logging.getLogger(EXPORTER_LOGGER).addFilter(self._overheard)

    def __call__(self, spans: Sequence[FinishedSpan]) -> bool:
        """Send a batch; takes `timeout_s` at most, tries included."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        self._overheard.reason = ""
        try:
            ready = [self._readable(span) for span in spans]
            sent = self._exporter.export(ready) is SpanExportResult.SUCCESS
            reason = self._overheard.reason
        except Exception as error:  # noqa: BLE001  foreign code: a thread must not end by it
            sent, reason = False, type(error).__name__
        if sent == self._failing:
            self._failing = not sent
            if sent:
                self._log.info("traces_flow_again")
            else:
                self._log.warning("traces_failing", reason=reason or "no answer")
        return sent

    def stop(self) -> None:
        """Give up what is being tried."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # has no annotations there
        logging.getLogger(EXPORTER_LOGGER).removeFilter(self._overheard)

    def _readable(self, span: FinishedSpan) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        kinds = {"consumer": SpanKind.CONSUMER, "producer": SpanKind.PRODUCER,
                 "internal": SpanKind.INTERNAL}  # fmt: skip
        parent = None
        if span.parent is not None:
            parent = _context(span.trace_id, span.parent, remote=span.remote)
        status = Status() if span.error is None else Status(StatusCode.ERROR, span.error)
        return ReadableSpan(
            span.name, _context(span.trace_id, span.span_id, state=span.tracestate), parent,
            self._resource, span.attributes, kind=kinds[span.role], status=status,
            links=[
                Link(_context(link.trace_id, link.span_id, remote=True)) for link in span.links
            ],
            start_time=span.start_ns, end_time=span.end_ns, instrumentation_scope=self._scope,
        )  # fmt: skip


def _context(
    trace_id: str, span_id: str, *, remote: bool = False, state: str | None = None
) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    carried = None if state is None else TraceState.from_header([state])
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), remote, TraceFlags(TraceFlags.SAMPLED), carried
    )


def _resource(subject: str) -> Resource:
    """Describe this process; the standard variables of OpenTelemetry go before our defaults."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours: dict[str, Any] = {
        "service.name": "conductor-sidecar", "service.version": __version__,
        "service.instance.id": subject, "telemetry.sdk.language": "python",
    }  # fmt: skip
    return Resource(ours).merge(OTELResourceDetector().detect())


def _from_environment() -> list[str]:
    names = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
    pairs = [pair for name in names for pair in os.environ.get(name, "").split(",")]
    return [value.strip() for _, _, value in (pair.partition("=") for pair in pairs)]


class _Overheard(logging.Filter):
    """Takes the exporter's own records, one for every failed batch, and keeps the last reason."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if secret]
        self.reason = ""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if any(secret in text for secret in self._secrets):
            text = "withheld: it repeats a header"
        self.reason = text[:REASON_MAX]
        return False
