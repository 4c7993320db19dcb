"""Every metric: its name, its type, its labels and its sentence.

Promise: `docs/reference/metrics.md` is generated from here, nothing is exported that is not listed
here, and the dashboard and the alerts use nothing else. Refusal: nothing is measured here.

Counters of events come from the stores, in the transactions of the events themselves, and go on
over a restart; everything else begins at 0 with the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

PREFIX = "conductor_sidecar_"
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family."""

    stem: str
    """The name without prefix, and without the `_total` of counters."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The name of the family."""
        return PREFIX + self.stem

    @property
    def name(self) -> str:
        """The name under which it is queried; a histogram has it with three endings."""
        return f"{self.family}_total" if self.kind == "counter" else self.family

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its samples."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.family}_{end}" for end in ("bucket", "sum", "count"))


_KIND = ("direction", "kind")

ACCEPTED = Metric(
    "events_accepted", "counter",
    "Events taken in: at the first sight of their id, or pushed.", _KIND,
)  # fmt: skip
DELIVERED = Metric(
    "events_delivered", "counter", "Events handled, or confirmed by the conductor.", _KIND
)
BUFFERED = Metric("events_buffered", "gauge", "Events stored and not settled.", _KIND)
DROPPED = Metric(
    "events_dropped", "counter", "Events dropped, by reason.", (*_KIND, "reason")
)  # fmt: skip
DEAD = Metric("events_dead_lettered", "gauge", "Dead letters now.", _KIND)
DUPLICATES = Metric(
    "events_duplicates", "counter", "Events that came again while they were buffered.", _KIND
)
REPLAYED = Metric(
    "events_replayed", "counter", "Events that came again, or ran again, after they were settled.",
    _KIND,
)  # fmt: skip
BALANCED = Metric(
    "conservation_holds", "gauge",
    "1: accepted = delivered + buffered + dropped + dead-lettered for every kind, both ways.",
)  # fmt: skip
OUTBOX_EVENTS = Metric("outbox_events", "gauge", "Events that wait for the conductor.")
OUTBOX_BYTES = Metric("outbox_bytes", "gauge", "Bytes of the events that wait for the conductor.")
OUTBOX_AGE = Metric(
    "outbox_oldest_age_seconds", "gauge", "Age of the oldest waiting event; 0 when none waits."
)
OUTBOX_UNCONFIRMED = Metric(
    "outbox_unconfirmed_events", "gauge", "Events sent over this link and not confirmed."
)
BACKLOG = Metric("backlog_events", "gauge", "Inbound events stored and not settled.")
LANES = Metric(
    "lanes", "gauge", "Lanes by state: all, ready to run, waiting for a retry.", ("state",)
)
HANDLERS_RUNNING = Metric("handlers_running", "gauge", "Handlers in progress.")
HANDLER_SECONDS = Metric(
    "handler_duration_seconds", "histogram",
    "Attempts of handlers: handled, replayed, ignored, retry, rejected, timeout or failed.",
    ("pack", "kind", "outcome"),
)  # fmt: skip
TOOL_SECONDS = Metric(
    "tool_call_duration_seconds", "histogram",
    "Calls of tools, evidence and approval included: success, failure or denied.",
    ("tool", "outcome"),
)  # fmt: skip
LINK_UP = Metric("link_up", "gauge", "1: a session with the conductor is open.")
LINK_STATE = Metric("link_state", "gauge", "1 for the state that the link is in.", ("state",))
CONNECTIONS = Metric("link_connections", "counter", "Sessions opened.")
LINK_ENDS = Metric(
    "link_ends", "counter", "Sessions that ended and tries that failed, by the code of the reason.",
    ("reason",),
)  # fmt: skip
CREDIT = Metric(
    "link_credit_events", "gauge", "Events that the conductor may still send; 0 without a session."
)
LAG = Metric(
    "link_lag_events", "gauge",
    "The conductor's last sequence, as its last beat named it, less ours.",
)  # fmt: skip
HEARD_AGE = Metric(
    "link_heard_age_seconds", "gauge", "Seconds since the last frame; absent without a session."
)
CURSOR = Metric("cursor_sequence", "gauge", "The last sequence that is stored here.")
GAPS = Metric("gaps", "counter", "Gaps in the conductor's history.")
REFUSALS = Metric(
    "refusals", "counter", "What was refused of the conductor's messages, by code.", ("code",)
)
ERRORS = Metric("errors", "counter", "Failures of the daemon's parts, by code.", ("code",))
APPROVALS = Metric("approvals_pending", "gauge", "Requests for leave that wait for a decision.")
JOURNAL = Metric("journal_entries", "gauge", "Entries of the journal.")
COMMITS = Metric("store_commits", "counter", "Commits of a store.", ("store",))
COMMIT_SECONDS = Metric(
    "store_commit_duration_seconds", "histogram",
    "Duration of commits, from the beginning of their transaction.", ("store",),
)  # fmt: skip
STORE_FAILURES = Metric(
    "store_failures", "counter", "Writes that a store itself refused: full, failing, locked.",
    ("store",),
)  # fmt: skip
STORE_BYTES = Metric("store_bytes", "gauge", "Bytes of a store's files.", ("store",))
HEALTH = Metric(
    "health", "gauge", "1: ok. check is live, ready or hearing.", ("check",)
)  # fmt: skip
HEALTH_REASON = Metric(
    "health_reason", "gauge", "1 for each reason that keeps the sidecar from being ready.",
    ("code",),
)  # fmt: skip
LOOP_LAG = Metric(
    "loop_lag_seconds", "histogram", "How late the event loop was, looked at once a second."
)
LOGS_SUPPRESSED = Metric(
    "log_records_suppressed", "counter", "Log records that came too fast to be written."
)
SPANS = Metric(
    "trace_spans", "counter",
    "Spans that a collector took, that found no room, or that could not be delivered.",
    ("outcome",),
)  # fmt: skip
PACKS = Metric("packs", "gauge", "Packs by state: loaded, refused or disabled.", ("state",))
BUILD = Metric("build_info", "gauge", "Always 1.", ("version", "python", "sqlite", "adapter"))

CATALOGUE: tuple[Metric, ...] = (
    ACCEPTED, DELIVERED, BUFFERED, DROPPED, DEAD, DUPLICATES, REPLAYED, BALANCED,
    OUTBOX_EVENTS, OUTBOX_BYTES, OUTBOX_AGE, OUTBOX_UNCONFIRMED, BACKLOG, LANES, HANDLERS_RUNNING,
    HANDLER_SECONDS, TOOL_SECONDS, LINK_UP, LINK_STATE, CONNECTIONS, LINK_ENDS, CREDIT, LAG,
    HEARD_AGE, CURSOR, GAPS, REFUSALS, ERRORS, APPROVALS, JOURNAL, COMMITS, COMMIT_SECONDS,
    STORE_FAILURES, STORE_BYTES, HEALTH, HEALTH_REASON, LOOP_LAG, LOGS_SUPPRESSED, SPANS,
    PACKS, BUILD,
)  # fmt: skip
PROCESS = (
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
    "process_start_time_seconds", "process_open_fds", "process_max_fds",
)  # fmt: skip
"""What `prometheus_client` says of the process, under the names that are usual for it."""


def series() -> frozenset[str]:
    """Return the names of all samples."""
    return frozenset(PROCESS) | {name for metric in CATALOGUE for name in metric.series}
