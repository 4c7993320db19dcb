"""A recorder for Prometheus.

Promise: metrics have the names of the catalogue, dots and all turned into underscores, and stand in
the registry that was handed in; a label that takes too many values is bounded, and METRIC201 says
so once. Refusal: nothing is served here, and a name that the catalogue lacks is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from conductor_flows.execute.measures import Labels
from conductor_flows.execute.notices import Notice, Tell, logged
from conductor_flows.measures.bounding import MOST, WINDOW_S, Bounded, Values
from conductor_flows.measures.names import NAMES, Name

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

MS_BUCKETS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 60000)
BYTE_BUCKETS: Final = tuple(4.0**power for power in range(5, 15))


class PrometheusRecorder:
    """A `Recorder`. One for a registry."""

    def __init__(
        self, registry: CollectorRegistry, *, tell: Tell = logged,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Put every metric of the catalogue into a registry.

        Args:
            registry: Takes them.
            tell: Takes METRIC201.
            clock: Seconds; for how long a series was not used.
        """
        self._clock = clock
        self._labels = {name.name: name.labels for name in NAMES}
        self._metrics = {name.name: _metric(name, registry, tell) for name in NAMES}

    def count(self, name: str, labels: Labels, by: int = 1) -> None:
        """See `Recorder.count`."""
        self._series(name, labels).inc(by)

    def level(self, name: str, labels: Labels, value: float) -> None:
        """See `Recorder.level`."""
        self._series(name, labels).set(value)

    def observe(self, name: str, labels: Labels, value: float) -> None:
        """See `Recorder.observe`."""
        self._series(name, labels).observe(value)

    def _series(self, name: str, labels: Labels) -> Any:
        values = tuple([labels[label] for label in self._labels[name]])
        return self._metrics[name].series(values, self._clock())


def _metric(name: Name, registry: CollectorRegistry, tell: Tell) -> Bounded[Any]:
    from prometheus_client import Counter, Gauge, Histogram

    full = name.full.replace(".", "_")
    made: Counter | Gauge | Histogram
    match name.kind:
        case "counter":
            made = Counter(full, name.meaning, name.labels, registry=registry)
        case "gauge":
            made = Gauge(full, name.meaning, name.labels, registry=registry)
        case "histogram":
            buckets = BYTE_BUCKETS if name.unit == "bytes" else MS_BUCKETS
            made = Histogram(full, name.meaning, name.labels, registry=registry, buckets=buckets)

    def series(values: Values) -> Any:
        return made.labels(*values)

    def forget(values: Values) -> None:
        made.remove(*values)

    def over(place: int) -> None:
        where = f"{name.full}, label {name.labels[place]}"
        detail = f"more than {MOST} values within {WINDOW_S:g} s; further ones are `_other`"
        tell(Notice("METRIC201", "", where, detail))

    return Bounded(len(name.labels), series, forget, over)
