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
_INTERPRETER = (
    "one thread of the interpreter runs at a time, and per event it decodes and checks, hashes the "
    "id, queues, calls the handler and records the outcome, which together cost more than twice "
    "what `recv()` costs for a frame; everything that touches disk or network is shared by a "
    "batch already (see the processor time for an event among the figures)."
)
_COMMIT = (
    "with {what}, what is left is waiting for the disk, so the ratio follows the disk of the "
    "machine: the slower its fdatasync, the higher."
)
_IMPORTS = (
    "most of it is there before the first event: the interpreter and the libraries for settings, "
    "logs and the control socket (see the memory right after the start)"
)

TARGETS = (
    Target(
        "durable_receive_vs_raw",
        "durable receive, dispatch and settle, against `recv()` of the `websockets` client",
        "at least", 0.5, "", _ratio("durable_receive", "raw_receive"), _INTERPRETER,
    ),
    Target(
        "durable_receive_vs_naive",
        "the same, against the naive per-event design",
        "at least", 80, "", _ratio("durable_receive", "naive_receive"),
        _COMMIT.format(what="two commits for each event of the naive design"),
    ),
    Target(
        "filled_log_vs_empty",
        "the same with a million ids in the log, against an empty log",
        "at least", 0.6, "", _ratio("durable_receive_filled", "durable_receive"),
        "every new id is looked up in the filters of the sealed partitions, and a candidate on "
        "disk.",
    ),
    Target(
        "drain_vs_one_by_one",
        "draining 100,000 queued events, against one by one",
        "at least", 20, "", _ratio("drain", "one_by_one"),
        _COMMIT.format(what="one commit for each event that is drained alone"),
    ),
    Target(
        "push_concurrent_vs_sequential",
        "256 pushers on the outbox at once, against one that waits for each push",
        "at least", 50, "", _ratio("push_concurrent", "push_sequential"),
        "the pushers share commits, but each event is awaited, looked up and inserted for itself, "
        "by one thread of the interpreter at a time; a fast fdatasync makes the lone pusher "
        "fast and leaves the others as they are.",
    ),
    Target(
        "ack_p50_vs_fdatasync",
        "median time from send to durable acknowledgement at 500 events/s, against an append of "
        "4 KiB with fdatasync at the same pace",
        "at most", 2, "", _ratio("ack_p50", "fdatasync_p50"),
        "an acknowledgement takes one commit and four wake-ups of threads (two processes, two "
        "threads in the sidecar), and it may have to wait for the commit of the claim or the "
        "outcome of an event before it; where other programs use the processors, each wake-up "
        "waits for its turn, which the disk alone does not.",
    ),
    Target(
        "rss_flood_mb", "peak memory of the daemon in a flood",
        "at most", 60, "MB", _figure(*_FLOODS),
        _IMPORTS + "; the rest are the newest keys of the index, its filter and SQLite's cache, "
        "which do not grow with the log, and the events of the credit window.",
    ),
    Target(
        "rss_million_queued_mb", "peak memory of the daemon with a million events queued",
        "at most", 60, "MB", _figure("million_queued_rss"),
        _IMPORTS + "; it does not grow with the queue.",
    ),
    Target(
        "help_ms", "`conductor --help`", "at most", 150, "ms", _figure("help"),
        "starting the interpreter and importing click is all that it does.",
    ),
    Target(
        "ready_ms", "from spawning the daemon to the first answer of its control socket",
        "at most", 400, "ms", _figure("ready"),
        "almost all of it is importing: pydantic for settings and manifests, structlog for logs, "
        "starlette and uvicorn for the control socket, websockets for the link, and the built-in "
        "packs with the tool host; tools, their schemas and MCP wait for their first use.",
    ),
)  # fmt: skip
