"""Spans on their way to a collector: bounded, counted, silent about credentials, off by default."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.clock import ManualClock, SystemClock
from conductor_sdk.trace_context import TraceContext
from conductor_sidecar.logs import configure
from conductor_sidecar.settings import LogSettings, TracesSettings
from conductor_sidecar.tracing.errors import (
    OtlpAddressInvalid,
    OtlpHeadersInvalid,
    OtlpMissing,
    OtlpPlaintext,
)
from conductor_sidecar.tracing.provider import Tracing, collector_url, open_tracing
from conductor_sidecar.tracing.queue import BATCH, SpanQueue, TraceReport
from conductor_sidecar.tracing.spans import FinishedSpan
from conductor_state.private_file import PrivateFileRefused
from otlp_collector import Collector, collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"
CANARY = "canary-3f9c1e7b"
SECONDS = 20.0


def finished(number: int = 1, **fields: Any) -> FinishedSpan:
    known = {
        "name": "handle a:b", "role": "consumer", "trace_id": TRACE, "span_id": f"{number:016x}",
        "parent": None, "remote": False, "tracestate": None, "start_ns": 10, "end_ns": 20,
        "attributes": {"conductor.attempt": number},
    }  # fmt: skip
    return FinishedSpan(**(known | fields))


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@asynccontextmanager
async def tracing_to(collector: Collector, **settings: Any) -> AsyncIterator[Tracing]:
    chosen = TracesSettings(otlp_endpoint=collector.url, timeout_s=2.0, **settings)
    tracing = open_tracing(chosen, "acme/prod", SystemClock(), {})
    assert tracing is not None
    try:
        yield tracing
    finally:
        await tracing.close()


def private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


async def test_a_span_arrives_as_it_was_recorded(collector: Collector) -> None:
    async with tracing_to(collector) as tracing:
        tracing.tracer.sink.add(
            finished(
                7, parent="00000000000000aa", tracestate="a=b,c=d", error="HANDLER_FAILED",
                links=(TraceContext(TRACE, "00000000000000bb", sampled=True),),
            )
        )  # fmt: skip
        assert await tracing.flush(SECONDS)
        assert TraceReport(0, 1, 0, 0) == tracing.report()
    [span] = collector.spans
    assert (TRACE, "0000000000000007", "00000000000000aa", "a=b,c=d", 10, 20) == (
        span.trace_id, span.span_id, span.parent, span.tracestate, span.start_ns, span.end_ns,
    )  # fmt: skip
    assert ({"conductor.attempt": 7}, "HANDLER_FAILED") == (span.attributes, span.error)
    assert [(TRACE, "00000000000000bb")] == span.links
    assert ("conductor-sidecar", "acme/prod") == (
        span.resource["service.name"], span.resource["service.instance.id"],
    )  # fmt: skip


async def test_the_standard_variables_name_the_service(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    async with tracing_to(collector) as tracing:
        tracing.tracer.sink.add(finished())
        assert await tracing.flush(SECONDS)
    resource = collector.spans[0].resource
    assert ("ours", "test") == (resource["service.name"], resource["deployment.environment"])


async def test_a_slow_collector_costs_spans_and_nothing_else(collector: Collector) -> None:
    collector.open.clear()
    async with tracing_to(collector, queue_spans=BATCH + 10) as tracing:
        for number in range(BATCH):
            tracing.tracer.sink.add(finished(number + 1))
        await asyncio.to_thread(collector.wait_for_requests, 1)
        for number in range(30):
            tracing.tracer.sink.add(finished(number + 1))
        assert TraceReport(BATCH + 10, 0, 20, 0) == tracing.report()
        assert not await tracing.flush(0.01)
        collector.open.set()
        assert await tracing.flush(SECONDS)
        assert TraceReport(0, BATCH + 10, 20, 0) == tracing.report()


async def test_what_a_collector_refuses_is_counted_and_said_once(
    collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings(format="json"))
    collector.status = 500
    async with tracing_to(collector) as tracing:
        for _ in range(3):
            tracing.tracer.sink.add(finished())
            assert await tracing.flush(SECONDS)
        assert TraceReport(0, 0, 0, 3) == tracing.report()
        collector.status = 200
        tracing.tracer.sink.add(finished())
        assert await tracing.flush(SECONDS)
        assert TraceReport(0, 1, 0, 3) == tracing.report()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert ["traces_failing", "traces_flow_again"] == [line["event"] for line in lines]
    assert "500" in lines[0]["reason"]


async def test_a_collector_that_is_not_there_costs_the_spans(collector: Collector) -> None:
    with collecting() as gone:
        pass
    async with tracing_to(gone, queue_spans=10) as tracing:
        tracing.tracer.sink.add(finished())
        await tracing.flush(SECONDS)
    assert 1 == tracing.report().failed + tracing.report().dropped


async def test_the_credential_is_sent_and_never_shown(
    tmp_path: Path, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings(level="debug", format="json"))
    headers = private(
        tmp_path / "headers", f"# ours\n\nAuthorization: Bearer {CANARY}\nx-team: a\n"
    )
    collector.status, collector.answer = 401, f"no Bearer {CANARY} here".encode()
    async with tracing_to(collector, headers_file=headers) as tracing:
        tracing.tracer.sink.add(finished())
        assert await tracing.flush(SECONDS)
        assert 1 == tracing.report().failed
    sent = collector.requests[0]
    assert (f"Bearer {CANARY}", "a") == (sent["authorization"], sent["x-team"])
    printed = capsys.readouterr()
    assert "withheld" in printed.err
    assert CANARY not in printed.err + printed.out


async def test_closing_does_not_wait_for_a_collector_that_hangs(collector: Collector) -> None:
    collector.open.clear()
    loop = asyncio.get_running_loop()
    async with tracing_to(collector) as tracing:
        tracing.tracer.sink.add(finished())
        began = loop.time()
        assert not await tracing.flush(0.05)
    collector.open.set()
    assert loop.time() - began < SECONDS
    exporter = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    assert [] == exporter.filters


async def test_without_spans_there_is_no_thread(collector: Collector) -> None:
    before = threading.active_count()
    async with tracing_to(collector) as tracing:
        assert await tracing.flush(SECONDS)
        assert before == threading.active_count()


async def test_libraries_that_cannot_be_loaded_cost_spans_and_nothing_else() -> None:
    def broken() -> Any:
        raise ImportError("half installed")

    queue = SpanQueue(broken, limit=10)
    queue.add(finished())
    assert await queue.flush(SECONDS)
    assert TraceReport(0, 0, 0, 1) == queue.report()
    await queue.close()


# Configuration


@pytest.mark.parametrize(
    ("given", "environ", "url"),
    [
        (None, {}, None),
        ("http://h:1", {}, "http://h:1/v1/traces"),
        ("https://h/otlp/", {}, "https://h/otlp/v1/traces"),
        ("http://h:1/v1/traces", {}, "http://h:1/v1/traces"),
        ("http://h:1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:2"}, "http://h:1/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:2/"}, "http://e:2/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://e:2/x",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:3"}, "http://e:2/x"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:2", "OTEL_SDK_DISABLED": "TRUE"}, None),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://e:2", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)  # fmt: skip
def test_where_spans_go(given: str | None, environ: dict[str, str], url: str | None) -> None:
    assert url == collector_url(TracesSettings(otlp_endpoint=given), environ)


@pytest.mark.parametrize(
    ("given", "environ"),
    [("h:4318", {}), ("grpc://h:1", {}), ("http://", {}), ("http://h:0", {}), ("http://h:x", {}),
     (f"http://u:{CANARY}@h:1", {}), (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "h:4317"}),
     (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})],
)  # fmt: skip
def test_what_is_no_address_of_a_collector_is_refused(
    given: str | None, environ: dict[str, str]
) -> None:
    with pytest.raises(OtlpAddressInvalid) as refused:
        collector_url(TracesSettings(otlp_endpoint=given), environ)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("text", [f"Bearer {CANARY}", f"bad name: {CANARY}", f"a: {CANARY}\x01"])
def test_a_headers_file_of_another_form_is_refused_without_quoting_it(
    tmp_path: Path, text: str
) -> None:
    settings = TracesSettings(
        otlp_endpoint="http://127.0.0.1:1", headers_file=private(tmp_path / "headers", text)
    )
    with pytest.raises(OtlpHeadersInvalid) as refused:
        open_tracing(settings, "ws", ManualClock(), {})
    assert CANARY not in str(refused.value)
    assert "line 1" in str(refused.value)


def test_a_headers_file_that_is_missing_or_open_to_others_is_refused(tmp_path: Path) -> None:
    settings = TracesSettings(
        otlp_endpoint="http://127.0.0.1:1", headers_file=str(tmp_path / "headers")
    )
    with pytest.raises(OtlpHeadersInvalid):
        open_tracing(settings, "ws", ManualClock(), {})
    (tmp_path / "headers").write_text("a: b")
    (tmp_path / "headers").chmod(0o644)
    with pytest.raises(PrivateFileRefused):
        open_tracing(settings, "ws", ManualClock(), {})


@pytest.mark.parametrize("address", ["http://collector.example:4318", "http://10.0.0.1:4318"])
def test_headers_do_not_cross_a_network_in_the_clear(tmp_path: Path, address: str) -> None:
    settings = TracesSettings(
        otlp_endpoint=address, headers_file=private(tmp_path / "headers", "a: b")
    )
    with pytest.raises(OtlpPlaintext):
        open_tracing(settings, "ws", ManualClock(), {})


def test_missing_libraries_are_named_with_what_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("conductor_sidecar.tracing.provider.find_spec", find_nothing)
    with pytest.raises(OtlpMissing) as missing:
        open_tracing(TracesSettings(otlp_endpoint="http://127.0.0.1:1"), "ws", ManualClock(), {})
    assert "pip install 'conductor-sidecar[otlp]'" == missing.value.hint


def test_nothing_is_imported_for_traces_that_are_off() -> None:
    code = (
        "import sys, conductor_sidecar.serve, conductor_sidecar.wiring\n"
        "from conductor_sidecar.tracing.provider import open_tracing\n"
        "from conductor_sidecar.settings import Settings\n"
        "assert open_tracing(Settings().traces, 'ws', None, {}) is None\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'google', 'requests'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ("[]\n", "") == (done.stdout, done.stderr)
