"""What `status` shows: one snapshot of the daemon, or of its stores without a daemon.

Promise: counts come from the stores, one transaction each, and say whether the conservation law
holds. Refusal: nothing is formatted here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.records import Cursor, KindCounts
from conductor_sidecar.approvals import ApprovalDesk
from conductor_sidecar.feed import LastError
from conductor_sidecar.health.answers import HealthReport, LinkState
from conductor_sidecar.ports import Outbox, ReplayLog
from conductor_sidecar.tracing.spans import TraceReport


class LinkReport(msgspec.Struct, frozen=True):
    """The link, as `status` shows it."""

    state: LinkState
    adapter: str
    address: str
    session: str | None = None
    since: str | None = None
    """When the state began; UTC."""
    connections: int = 0
    """Sessions opened since the start."""
    retry_in_s: float | None = None
    reason: str = ""
    """Why the link is not open; a code, then words."""


class OutboxReport(msgspec.Struct, frozen=True):
    """The queue upstream."""

    events: int
    bytes: int
    oldest_age_s: float | None
    unconfirmed: int = 0


class PackReport(msgspec.Struct, frozen=True):
    """One pack: loaded, or refused with the reasons."""

    slug: str
    version: str
    state: Literal["loaded", "refused", "disabled"]
    source: str = ""
    emits: list[str] = []
    subscribes: list[str] = []
    problems: list[dict[str, object]] = []


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `conductor status --json` prints."""

    workspace: str
    running: bool
    version: str
    pid: int | None = None
    started: str | None = None
    subject: str | None = None
    link: LinkReport | None = None
    http: str | None = None
    """Where tools are served over TCP."""
    cursor: Cursor
    backlog: int
    lanes: dict[str, int] = {}
    outbox: OutboxReport
    dead_letters: int
    approvals_pending: int = 0
    """Requests for leave that wait for a decision."""
    inbound: dict[str, KindCounts]
    outbound: dict[str, KindCounts]
    balanced: bool
    """accepted = delivered + buffered + dropped + dead-lettered, for every kind, both ways."""
    packs: list[PackReport] = []
    refusals: dict[str, int] = {}
    errors: list[LastError] = []
    traces: TraceReport | None = None
    """None where no traces are exported."""
    health: HealthReport | None = None
    """None without a daemon."""


class StoreFacts(msgspec.Struct, frozen=True):
    """The part of a report that the stores know by themselves."""

    cursor: Cursor
    backlog: int
    outbox: OutboxReport
    dead_letters: int
    approvals_pending: int
    inbound: dict[str, KindCounts]
    outbound: dict[str, KindCounts]
    balanced: bool


async def read_stores(
    log: ReplayLog, outbox: Outbox, approvals: ApprovalDesk, clock: Clock
) -> StoreFacts:
    """Read the stores' part of a report."""
    inbound, outbound = await log.counts(), await outbox.counts()
    depth = await outbox.depth()
    age_s = None
    if depth.oldest_ms is not None:
        age_s = max(0.0, (epoch_ms(clock.now()) - depth.oldest_ms) / 1000)
    return StoreFacts(
        cursor=await log.cursor(),
        backlog=await log.backlog(),
        outbox=OutboxReport(depth.events, depth.bytes, age_s),
        dead_letters=sum(counts.dead_lettered for counts in inbound.values()),
        approvals_pending=await approvals.pending(),
        inbound=inbound,
        outbound=outbound,
        balanced=all(c.balanced for c in [*inbound.values(), *outbound.values()]),
    )
