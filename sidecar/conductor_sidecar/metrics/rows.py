"""One snapshot of the daemon as rows: metric, label values, value.

Promise: the same snapshot gives the same rows, and labels are few: a kind that no pack declares, a
code beyond the first hundred, are `other`, added up. Refusal: no I/O, no clock, no Prometheus.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, get_args

from conductor_protocol.liveness import Heard
from conductor_sdk.records import KindCounts
from conductor_sidecar.health.answers import Code, HealthReport, LinkState
from conductor_sidecar.metrics import catalogue as names
from conductor_sidecar.metrics.catalogue import Metric
from conductor_sidecar.metrics.tallies import OTHER, Buckets, Tallies
from conductor_sidecar.report import LinkReport, StatusReport
from conductor_sidecar.tracing.spans import TraceReport

CODES_MAX = 100
"""Codes of one metric; more are `other`. A conductor chooses some of them."""
PEER = "PEER_"
NO_SPANS = TraceReport(0, 0, 0, 0)
Value: TypeAlias = float | Buckets


@dataclass(frozen=True, slots=True)
class Row:
    """One series."""

    metric: Metric
    labels: tuple[str, ...]
    """In the order of the metric's labels."""
    value: Value


@dataclass(frozen=True, slots=True)
class StoreReading:
    """One store."""

    name: str
    commits: int
    failures: int
    took: Buckets
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything that is exported, taken at one scrape."""

    status: StatusReport
    link: LinkReport
    health: HealthReport
    heard: Heard | None
    now: float
    """On the clock of `heard.at`."""
    kinds: Collection[str]
    """The kinds that may be labels."""
    tallies: Tallies
    stores: tuple[StoreReading, ...]
    journal_entries: int
    ends: Mapping[str, int]
    failures: Mapping[str, int]
    gaps: int
    suppressed: int
    build: tuple[str, ...]
    """Values of `build_info`."""


def rows(reading: Reading) -> Iterator[Row]:
    """Return every series, those of a metric together."""
    status = reading.status
    yield from _conservation(reading)
    yield Row(names.OUTBOX_EVENTS, (), status.outbox.events)
    yield Row(names.OUTBOX_BYTES, (), status.outbox.bytes)
    yield Row(names.OUTBOX_AGE, (), status.outbox.oldest_age_s or 0.0)
    yield Row(names.OUTBOX_UNCONFIRMED, (), status.outbox.unconfirmed)
    yield Row(names.BACKLOG, (), status.backlog)
    for label, key in (("all", "lanes"), ("ready", "ready"), ("waiting", "waiting")):
        yield Row(names.LANES, (label,), status.lanes.get(key, 0))
    yield Row(names.HANDLERS_RUNNING, (), status.lanes.get("running", 0))
    yield from (Row(names.HANDLER_SECONDS, key, cell)
                for key, cell in sorted(reading.tallies.handlers.cells.copy().items()))  # fmt: skip
    yield from (Row(names.TOOL_SECONDS, key, cell)
                for key, cell in sorted(reading.tallies.tools.cells.copy().items()))  # fmt: skip
    yield from _link(reading)
    yield from _coded(names.REFUSALS, status.refusals)
    yield from _coded(names.ERRORS, reading.failures)
    yield Row(names.APPROVALS, (), status.approvals_pending)
    yield Row(names.JOURNAL, (), reading.journal_entries)
    yield from _stores(reading.stores)
    yield from _health(reading.health)
    yield Row(names.LOOP_LAG, (), reading.tallies.loop_lag)
    yield Row(names.LOGS_SUPPRESSED, (), reading.suppressed)
    spans = status.traces or NO_SPANS
    for outcome, count in (
        ("exported", spans.exported), ("dropped", spans.dropped), ("failed", spans.failed),
    ):  # fmt: skip
        yield Row(names.SPANS, (outcome,), count)
    for state in ("loaded", "refused", "disabled"):
        yield Row(names.PACKS, (state,), sum(pack.state == state for pack in status.packs))
    yield Row(names.BUILD, reading.build, 1)


def _conservation(reading: Reading) -> Iterator[Row]:
    found = [
        ((direction, kind), counts)
        for direction, by_kind in (
            ("inbound", reading.status.inbound), ("outbound", reading.status.outbound),
        )
        for kind, counts in sorted(folded(by_kind, reading.kinds).items())
    ]  # fmt: skip
    yield from (Row(names.ACCEPTED, key, of.accepted) for key, of in found)
    yield from (Row(names.DELIVERED, key, of.delivered) for key, of in found)
    yield from (Row(names.BUFFERED, key, of.buffered) for key, of in found)
    for key, of in found:
        for reason, count in sorted(_few(of.dropped).items()):
            yield Row(names.DROPPED, (*key, reason), count)
    yield from (Row(names.DEAD, key, of.dead_lettered) for key, of in found)
    yield from (Row(names.DUPLICATES, key, of.duplicates) for key, of in found)
    yield from (Row(names.REPLAYED, key, of.replayed) for key, of in found)
    yield Row(names.BALANCED, (), reading.status.balanced)


def _link(reading: Reading) -> Iterator[Row]:
    link, heard = reading.link, reading.heard
    yield Row(names.LINK_UP, (), link.state == "open")
    for state in get_args(LinkState):
        yield Row(names.LINK_STATE, (state,), link.state == state)
    yield Row(names.CONNECTIONS, (), link.connections)
    yield from _coded(names.LINK_ENDS, reading.ends)
    yield Row(names.CREDIT, (), 0 if heard is None else heard.credit)
    behind = 0 if heard is None or heard.head is None else max(0, heard.head - heard.seen)
    yield Row(names.LAG, (), behind)
    if heard is not None:
        yield Row(names.HEARD_AGE, (), max(0.0, reading.now - heard.at))
    yield Row(names.CURSOR, (), reading.status.cursor.sequence)
    yield Row(names.GAPS, (), reading.gaps)


def _stores(stores: Iterable[StoreReading]) -> Iterator[Row]:
    found = tuple(stores)
    yield from (Row(names.COMMITS, (of.name,), of.commits) for of in found)
    yield from (Row(names.COMMIT_SECONDS, (of.name,), of.took) for of in found)
    yield from (Row(names.STORE_FAILURES, (of.name,), of.failures) for of in found)
    yield from (Row(names.STORE_BYTES, (of.name,), of.bytes) for of in found)


def _health(health: HealthReport) -> Iterator[Row]:
    for check, of in (("live", health.live), ("ready", health.ready), ("hearing", health.hearing)):
        yield Row(names.HEALTH, (check,), of.ok)
    # A series for each code, so that an alert never waits for one to appear.
    for code in Code:
        yield Row(names.HEALTH_REASON, (str(code),), code in health.ready.codes)


def _coded(metric: Metric, counts: Mapping[str, int]) -> Iterator[Row]:
    plain: dict[str, int] = {}
    for code, count in counts.items():
        # The rest of such a code is the conductor's own word.
        label = PEER.rstrip("_") if code.startswith(PEER) else code
        plain[label] = plain.get(label, 0) + count
    for code, count in sorted(_few(plain).items()):
        yield Row(metric, (code,), count)


def _few(counts: Mapping[str, int]) -> Mapping[str, int]:
    if len(counts) <= CODES_MAX:
        return counts
    kept = sorted(counts)[: CODES_MAX - 1]
    rest = sum(counts.values()) - sum(counts[code] for code in kept)
    return {**{code: counts[code] for code in kept}, OTHER: rest}


def folded(
    by_kind: Mapping[str, KindCounts], kinds: Collection[str]
) -> Mapping[str, KindCounts]:  # fmt: skip
    """Return counts by kind; those of kinds that nobody here knows are added up as `other`."""
    found: dict[str, KindCounts] = {}
    for kind, counts in by_kind.items():
        label = kind if kind in kinds else OTHER
        found[label] = counts if label not in found else _sum(found[label], counts)
    return found


def _sum(one: KindCounts, other: KindCounts) -> KindCounts:
    dropped = dict(one.dropped)
    for reason, count in other.dropped.items():
        dropped[reason] = dropped.get(reason, 0) + count
    return KindCounts(
        one.accepted + other.accepted, one.delivered + other.delivered,
        one.buffered + other.buffered, dropped, one.dead_lettered + other.dead_lettered,
        one.duplicates + other.duplicates, one.replayed + other.replayed,
    )  # fmt: skip
