"""The ratios that are promised, what each is made of, and why one that is missed is missed.

Promise: this is the only place where a target or a reason stands; the report and the plot read it.
Refusal: no measured number is written here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.bench import Bench, Figure


@dataclass(frozen=True, slots=True)
class Target:
    """One promised ratio."""

    key: str
    meaning: str
    bound: Literal["at least", "at most"]
    value: float
    unit: str
    compute: Callable[[Bench], Figure | None]
    reason: str = ""
    """Printed when the target is missed."""

    def met(self, measured: float) -> bool:
        """Whether a median keeps the promise."""
        return measured >= self.value if self.bound == "at least" else measured <= self.value

    def achievement(self, measured: float) -> float:
        """Return how far the promise is kept: 1 is just so, 2 is twice as good."""
        return measured / self.value if self.bound == "at least" else self.value / measured


def _ratio(above: str, below: str) -> Callable[[Bench], Figure]:
    return lambda bench: bench.ratio(above, below)


def _figure(*names: str) -> Callable[[Bench], Figure | None]:
    """Return the figure of all runs of these; None where the machine does not tell."""

    def compute(bench: Bench) -> Figure | None:
        runs = [run for name in names for run in bench.rounds.get(name, ())]
        return Figure(bench.units[names[0]], tuple(runs)) if runs else None

    return compute


_FLOODS = ("durable_receive_rss", "durable_receive_filled_rss", "durable_receive_single_rss")

TARGETS = (
    Target(
        "durable_receive_vs_raw",
        "durable receive, dispatch and settle, against `recv()` of the `websockets` client",
        "at least", 0.5, "", _ratio("durable_receive", "raw_receive"),
    ),
    Target(
        "durable_receive_vs_naive",
        "the same, against the naive per-event design",
        "at least", 80, "", _ratio("durable_receive", "naive_receive"),
    ),
    Target(
        "filled_log_vs_empty",
        "the same with a million ids in the log, against an empty log",
        "at least", 0.6, "", _ratio("durable_receive_filled", "durable_receive"),
    ),
    Target(
        "drain_vs_one_by_one",
        "draining 100,000 queued events, against one by one",
        "at least", 20, "", _ratio("drain", "one_by_one"),
    ),
    Target(
        "push_concurrent_vs_sequential",
        "256 pushers at once, against one that waits for each push",
        "at least", 50, "", _ratio("push_concurrent", "push_sequential"),
    ),
    Target(
        "ack_p50_vs_fdatasync",
        "median time from send to durable acknowledgement at 500 events/s, against an append of "
        "4 KiB with fdatasync at the same pace",
        "at most", 2, "", _ratio("ack_p50", "fdatasync_p50"),
    ),
    Target(
        "rss_flood_mb", "peak memory of the daemon in a flood",
        "at most", 60, "MB", _figure(*_FLOODS),
    ),
    Target(
        "rss_million_queued_mb", "peak memory of the daemon with a million events queued",
        "at most", 60, "MB", _figure("million_queued_rss"),
    ),
    Target("help_ms", "`conductor --help`", "at most", 150, "ms", _figure("help")),
    Target(
        "ready_ms", "from spawning the daemon to the first answer of its control socket",
        "at most", 400, "ms", _figure("ready"),
    ),
)  # fmt: skip
