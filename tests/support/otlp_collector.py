"""A collector that takes OTLP over HTTP on this machine, and shows what it got.

It can be told to refuse, to repeat what it was sent, or to answer late.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SECONDS = 20.0


@dataclass(frozen=True)
class Got:
    """One span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    """Empty at the top of a trace."""
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    error: str
    """The status message of a failed span; empty otherwise."""
    tracestate: str
    start_ns: int
    end_ns: int
    resource: dict[str, Any]
    wire: bytes = field(repr=False)


class Collector:
    """What arrived, and how the next requests are answered."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[Got] = []
        self.requests: list[dict[str, str]] = []
        """The headers of each request, names in lower case."""
        self.answer = b""
        self.open = threading.Event()
        """Requests wait for this before they are answered."""
        self.open.set()
        self._news = threading.Condition()
        self.url = ""

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Keep what a request brought; a refused one brings nothing."""
        with self._news:
            self.requests.append(headers)
            if self.status == 200:
                self.spans += _spans(body)
            self._news.notify_all()

    def wait_for(self, reached: Callable[[list[Got]], bool]) -> list[Got]:
        """Wait until the spans are as wanted; returns them."""
        with self._news:
            enough = self._news.wait_for(lambda: reached(self.spans), SECONDS)
            spans = list(self.spans)
        assert enough, f"not in {SECONDS:g} s; got {[span.name for span in spans]}"
        return spans

    def named(self, name: str) -> list[Got]:
        """The spans of a name, in order of arrival."""
        with self._news:
            return [span for span in self.spans if span.name == name]

    def wait_for_requests(self, count: int) -> None:
        """Wait until so many requests came, whatever became of them."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.requests) >= count, SECONDS)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen on a free port of this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take({name.lower(): text for name, text in self.headers.items()}, body)
            collector.open.wait(SECONDS)
            self.send_response(collector.status, collector.answer.decode() or None)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="collector")
    thread.start()
    try:
        yield collector
    finally:
        collector.open.set()
        server.shutdown()
        thread.join(SECONDS)
        server.server_close()


def _spans(body: bytes) -> list[Got]:
    return [
        Got(
            span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
            _attributes(span.attributes),
            [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
            span.status.message, span.trace_state, span.start_time_unix_nano,
            span.end_time_unix_nano, _attributes(group.resource.attributes),
            span.SerializeToString(),
        )
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]  # fmt: skip


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
