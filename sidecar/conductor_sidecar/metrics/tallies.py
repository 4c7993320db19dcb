"""What is counted where it happens: durations of handlers and tools, in plain arrays.

Promise: one call is a search among sixteen bounds and two additions, and makes no object; a series
exists from its first event on. Refusal: nothing is formatted or exported here, and no label comes
from an event's content.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from conductor_handlers.errors import HandlerTimeout
from conductor_sdk.handler import Handled, Ignored, Reject, Replayed, Retry

BOUNDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Upper bounds in seconds, inclusive; one more bucket has none."""
SERIES_MAX = 1000
"""Label sets of one table; more fold into one. Kinds and tools come from packs: there are few."""
OTHER = "other"


class Buckets:
    """One histogram of seconds. One thread adds; any may read, and sees at most one call less."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """Observations in each bucket, not added up."""
        self.total = 0.0
        """Seconds."""

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class _Table:
    """Histograms by label values."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, ...], Buckets] = {}

    def _cell(self, key: tuple[str, ...]) -> Buckets:
        if key not in self.cells and len(self.cells) >= SERIES_MAX:
            key = (OTHER,) * len(key)
        return self.cells.setdefault(key, Buckets())


class HandlerTally(_Table):
    """Attempts of handlers, by pack, kind and outcome."""

    def ran(self, slug: str, kind: str, answer: object, seconds: float) -> None:
        """Count one attempt; `kind` is one that the pack subscribes to."""
        key = (slug, kind, _OUTCOMES.get(type(answer), "failed"))
        cell = self.cells.get(key) or self._cell(key)
        # `Buckets.add`, written out: this runs once an event, and a call costs a third of it.
        cell.counts[bisect_left(BOUNDS, seconds)] += 1
        cell.total += seconds


class ToolTally(_Table):
    """Calls of tools, by tool and outcome."""

    def called(self, tool: str, outcome: str, seconds: float) -> None:
        """Count one call of a tool that exists."""
        self._cell((tool, outcome)).add(seconds)


class Tallies:
    """All of them, for one daemon."""

    def __init__(self) -> None:
        self.handlers = HandlerTally()
        self.tools = ToolTally()
        self.loop_lag = Buckets()


_OUTCOMES: Mapping[type, str] = {
    Handled: "handled", Replayed: "replayed", Ignored: "ignored", Retry: "retry",
    Reject: "rejected", HandlerTimeout: "timeout",
}  # fmt: skip
"""The outcome of an attempt by its answer; any other error is `failed`."""
