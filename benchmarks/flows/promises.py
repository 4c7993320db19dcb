"""What is promised of flows, what is set against what, and why a promise that is missed is missed.

Promise: this is the only place where a target, a ratio or a reason stands. Refusal: no measured
number is written here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bench import Bench, Figure, paired
from benchmarks.targets import Target


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two figures of the same rounds."""

    key: str
    above: str
    below: str
    meaning: str


def divided(bench: Bench, above: str, below: str) -> Figure | None:
    """Divide round by round, as many rounds as both have; None where one was not measured."""
    one, other = bench.rounds.get(above), bench.rounds.get(below)
    if not one or not other:
        return None
    rounds = min(len(one), len(other))
    return paired(one[:rounds], other[:rounds])


def _ratio(above: str, below: str) -> Callable[[Bench], Figure | None]:
    return lambda bench: divided(bench, above, below)


def _figure(name: str) -> Callable[[Bench], Figure | None]:
    def compute(bench: Bench) -> Figure | None:
        runs = bench.rounds.get(name)
        return Figure(bench.units[name], tuple(runs)) if runs else None

    return compute


_PER_REQUEST = (
    "a request is a run: labels, a run id, a deadline, a watch on the connection and a limit on "
    "the route, which the bare handler does without. A median above 40 ms is something else: the "
    "body of an answer waits for the client to acknowledge its head, as TCP_NODELAY is not set."
)
_WALK = "every node and edge is looked at by every family of rules, in one thread."

TARGETS = (
    Target("s1_p50_vs_starlette", "S1 over HTTP, median, against a bare Starlette handler that "
           "decodes, checks and encodes the same; 16 connections",
           "at most", 2, "", _ratio("ours_16_p50", "bare_16_p50"), _PER_REQUEST),
    Target("s1_p50_vs_starlette_alone", "the same with one connection",
           "at most", 2, "", _ratio("ours_1_p50", "bare_1_p50"), _PER_REQUEST),
    Target("s1_p95_ms", "S1 over HTTP, 95th percentile; 16 connections",
           "at most", 50, "ms", _figure("ours_16_p95"), _PER_REQUEST),
    Target("sse_gap_p95_ms", "100 streams of events, 95th percentile of how late an item is read",
           "at most", 30, "ms", _figure("ours_gap_p95"),
           "2,000 events a second are written by one thread, which shares two processors with the "
           "client."),
    Target("memory_flat", "resident memory after 1,000,000 items, against after 100,000",
           "at most", 1.05, "", _ratio("flat_end", "flat_first_tenth"),
           "something is kept for each item."),
    Target("validate_10000_s", "judging a flow of 10,000 nodes",
           "at most", 1, "s", _figure("validate_10000"), _WALK),
    Target("validate_growth", "processor time for a node of 100,000, against of 10,000",
           "at most", 2, "", _ratio("validate_node_100000", "validate_node_10000"),
           "a larger document fits the processor's caches less, and the collector of garbage walks "
           "more objects; a rule that is not linear would show as a factor of ten."),
)  # fmt: skip

CHAIN = (
    Ratio("stream_vs_bare", "ours_stream", "bare_stream",
          "one long instance, against one pipeline of bare tasks and queues"),
    Ratio("run_vs_bare", "ours_run", "bare_run",
          "a run for each item, against bare tasks and queues made for each item"),
    Ratio("hamilton_vs_run", "hamilton_run", "ours_run", "Hamilton, against a run"),
    Ratio("langgraph_vs_run", "langgraph_run", "ours_run", "LangGraph, against a run"),
    Ratio("langgraph_vs_strong", "langgraph_strong", "ours_strong",
          "LangGraph with SQLite, against a `strong` run"),
    Ratio("dbos_vs_strong", "dbos_strong", "ours_strong", "DBOS, against a `strong` run"),
    Ratio("prefect_vs_strong", "prefect_states", "ours_strong", "Prefect, against a `strong` run"),
    Ratio("temporal_vs_strong", "temporal_strong", "ours_strong",
          "Temporal, against a `strong` run"),
)  # fmt: skip

DURABLE = (
    Ratio("strong_vs_commits", "strong_time", "commits_time",
          "`strong` runs, against as many commits of bare SQLite, in time"),
    Ratio("together_vs_alone", "checkpoints_together", "checkpoints_alone",
          "runs at once, against one after the other, in checkpoints a second"),
    Ratio("files_vs_spill", "synced_files", "spill_files",
          "files that are synchronised, against spilling into a folder, in items a second"),
    Ratio("memory_vs_spill", "spill_memory", "spill_files",
          "the same flow without spilling, in items a second"),
)  # fmt: skip

FIGURES = {
    "bare_16_p50": "bare Starlette, 16 connections, median",
    "ours_16_p50": "S1, 16 connections, median",
    "bare_16_p95": "bare Starlette, 16 connections, 95th percentile",
    "ours_16_p95": "S1, 16 connections, 95th percentile",
    "bare_16_rate": "bare Starlette, 16 connections",
    "ours_16_rate": "S1, 16 connections",
    "bare_1_p50": "bare Starlette, one connection, median",
    "ours_1_p50": "S1, one connection, median",
    "bare_1_p95": "bare Starlette, one connection, 95th percentile",
    "ours_1_p95": "S1, one connection, 95th percentile",
    "bare_gap_p50": "bare Starlette, 100 streams, median gap",
    "ours_gap_p50": "flow, 100 streams, median gap",
    "bare_gap_p95": "bare Starlette, 100 streams, 95th percentile",
    "ours_gap_p95": "flow, 100 streams, 95th percentile",
    "bare_gap_p99": "bare Starlette, 100 streams, 99th percentile",
    "ours_gap_p99": "flow, 100 streams, 99th percentile",
    "flat_first_tenth": "resident memory after the first tenth of the items",
    "flat_end": "resident memory at the end",
    "flat_peak": "its peak",
    "flat_time": "time for all items",
    "validate_1000": "judging 1,000 nodes",
    "validate_10000": "judging 10,000 nodes",
    "validate_100000": "judging 100,000 nodes",
    "validate_node_1000": "processor time for a node of 1,000",
    "validate_node_10000": "for a node of 10,000",
    "validate_node_100000": "for a node of 100,000",
    "read_largest": "reading the largest document (57 MB of JSON)",
    "checkpoints_alone": "checkpoints, `strong`, one run after the other",
    "checkpoints_together": "checkpoints, `strong`, all runs at once",
    "commits_rate": "commits of bare SQLite",
    "jobs_each": "pieces of work of a run on the store, each a commit where runs are alone",
    "long_checkpoint": "a checkpoint and its node, in a `strong` run of 1,000 nodes",
    "resume": "resuming a run with 1,000 nodes behind it",
    "resume_record": "its record",
    "spill_files": "items of 4 KiB over an edge that spills into a folder",
    "spill_files_puts": "how often an item is written",
    "spill_sqlite": "the same, into SQLite",
    "spill_memory": "the same, without spilling",
    "synced_files": "files of 4 KiB written, synchronised, read and removed",
    "files": "the same, not synchronised",
}
"""Figures in the table's order, in words."""
