"""Rows as Prometheus reads them; the only module that knows `prometheus_client`.

Promise: what the client asks for is answered, the plain text format or OpenMetrics; the process's
own figures come along. Refusal: imported at the first scrape and not before, for it costs a start
what it costs; no global registry is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from conductor_sidecar.metrics.catalogue import Metric
from conductor_sidecar.metrics.rows import Row
from conductor_sidecar.metrics.tallies import BOUNDS, Buckets

_OPEN_METRICS = "application/openmetrics-text"
OPEN_METRICS = f"{_OPEN_METRICS}; version=1.0.0"


class _Rows(Collector):
    """Gives what was read for one scrape."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Family]:
        for metric, rows in groupby(self._rows, key=lambda row: row.metric):
            yield _family(metric, list(rows))


def expose(rows: Iterable[Row], accept: str) -> tuple[bytes, str]:
    """Return a scrape's body and its content type.

    Args:
        rows: Those of a metric together.
        accept: The request's Accept header.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Rows(rows))
    ProcessCollector(registry=registry)
    # Not the header itself: what stands in it beside the name is anybody's.
    encode, content_type = choose_encoder(OPEN_METRICS if _OPEN_METRICS in accept else "")
    return encode(registry), content_type


def _family(metric: Metric, rows: Sequence[Row]) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.family, metric.help, labels=metric.labels)
        for row in rows:
            if isinstance(row.value, Buckets):
                histogram.add_metric(row.labels, *_cumulated(row.value))
        return histogram
    family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    plain = family(metric.family, metric.help, labels=metric.labels)
    for row in rows:
        if not isinstance(row.value, Buckets):
            plain.add_metric(row.labels, float(row.value))
    return plain


def _cumulated(buckets: Buckets) -> tuple[list[tuple[str, float]], float]:
    bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
    sums = [float(count) for count in accumulate(buckets.counts.copy())]
    return list(zip(bounds, sums, strict=True)), buckets.total
