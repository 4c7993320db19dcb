"""Traces on or off: from the settings and the standard environment of OpenTelemetry.

Promise: off unless a collector is named, and then nothing of OpenTelemetry is imported; what is
wrong with the configuration ends the start with a code. Refusal: the credential for the collector
comes from a private file, not from a setting.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from conductor_sdk.clock import Clock
from conductor_sidecar.settings import TracesSettings

if TYPE_CHECKING:
    from conductor_sdk.secret import Secret
    from conductor_sidecar.tracing.pushes import TracedPushes, Watching
    from conductor_sidecar.tracing.queue import SpanQueue
    from conductor_sidecar.tracing.spans import TraceReport
    from conductor_sidecar.tracing.tracer import SidecarTracer

PATH = "/v1/traces"
LIBRARIES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
PROTOCOL = "http/protobuf"
FLUSH_S = 2.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Tracing:
    """What a daemon with traces has: who makes spans, and who takes them away."""

    def __init__(self, tracer: SidecarTracer, queue: SpanQueue) -> None:
        self.tracer = tracer
        self._queue = queue

    def pushes(self, then: Watching) -> TracedPushes:
        """Return what records events on their way up; `then` is told of all of them as well."""
        from conductor_sidecar.tracing.pushes import TracedPushes

        return TracedPushes(self.tracer, then)

    def report(self) -> TraceReport:
        """Return what became of spans since the start."""
        return self._queue.report()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all spans are exported or lost, `FLUSH_S` at most; False when it took longer.

        A collector that is away must not keep a sidecar from stopping.
        """
        return await self._queue.flush(min(max(0.0, timeout_s), FLUSH_S))

    async def close(self) -> None:
        """End the export; what still waits is dropped and counted."""
        await self._queue.close()


def open_tracing(
    settings: TracesSettings, subject: str, clock: Clock, environ: Mapping[str, str] | None = None
) -> Tracing | None:
    """Make ready to export traces; None where no collector is named.

    Raises:
        OtlpMissing: The libraries are not installed.
        OtlpAddressInvalid: The collector's address is wrong.
        OtlpHeadersInvalid: The file with its headers is wrong.
        OtlpPlaintext: The headers would cross a network in the clear.
        PrivateFileRefused: Others can read that file.
    """
    url = collector_url(settings, os.environ if environ is None else environ)
    if url is None:
        return None
    from conductor_sidecar.tracing.otlp import Collector, OtlpExport
    from conductor_sidecar.tracing.queue import SpanQueue
    from conductor_sidecar.tracing.tracer import SidecarTracer

    _check_libraries()
    collector = Collector(url, _headers(settings, url), settings.timeout_s, subject)
    queue = SpanQueue(lambda: OtlpExport(collector), limit=settings.queue_spans)
    bits = random.Random().getrandbits  # noqa: S311  ids of spans, no secrets
    tracer = SidecarTracer(queue, clock, ratio=settings.sample_ratio, random_bits=bits)
    return Tracing(tracer, queue)


def collector_url(settings: TracesSettings, environ: Mapping[str, str]) -> str | None:
    """Return where spans go: the setting, else the standard variables; None for nowhere.

    Raises:
        OtlpAddressInvalid: What is given is no address of a collector.
    """
    if settings.otlp_endpoint is not None:
        return _checked(settings.otlp_endpoint, "traces.otlp_endpoint", base=True)
    wanted = (
        environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "otlp"
    )
    for name, base in (
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", False), ("OTEL_EXPORTER_OTLP_ENDPOINT", True),
    ):  # fmt: skip
        if wanted and (text := environ.get(name)):
            _check_protocol(environ)
            return _checked(text, name, base=base)
    return None


def _check_protocol(environ: Mapping[str, str]) -> None:
    from conductor_sidecar.tracing.errors import OtlpAddressInvalid

    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if environ.get(name, PROTOCOL) != PROTOCOL:
            raise OtlpAddressInvalid(
                f"{name} is not {PROTOCOL}", hint=f"set {name}={PROTOCOL} and the address for it"
            )


def _checked(text: str, source: str, *, base: bool) -> str:
    from conductor_sidecar.tracing.errors import OtlpAddressInvalid

    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    else:
        # A password there would show wherever an address does; headers have a file.
        good = good and not parts.username and not parts.password
    if not good:
        raise OtlpAddressInvalid(f"{source} is no http:// or https:// address without a password")
    return f"{text.rstrip('/')}{PATH}" if base and not text.endswith(PATH) else text


def _headers(settings: TracesSettings, url: str) -> dict[str, Secret]:
    if settings.headers_file is None:
        return {}
    from conductor_sidecar.tracing.errors import OtlpPlaintext
    from conductor_sidecar.tracing.private_headers import read_headers

    headers = read_headers(Path(settings.headers_file))
    parts = urlsplit(url)
    if headers and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise OtlpPlaintext(f"{parts.hostname} is another machine")
    return headers


def _check_libraries() -> None:
    from conductor_sidecar.tracing.errors import OtlpMissing

    for library in LIBRARIES:
        try:
            found = find_spec(library) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise OtlpMissing(f"{library} is not installed")
