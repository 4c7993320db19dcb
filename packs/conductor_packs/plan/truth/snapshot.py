"""A snapshot of what is true: plans, leases, work orders, and files that the workspace names.

Promise: every reading has its age, its sample and a verdict; what could not be read is UNKNOWN, and
what is older than it may be is never GREEN. Refusal: nothing is written, and no reading is taken
from an earlier snapshot.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from conductor_packs.plan.errors import PlanInputInvalid
from conductor_packs.plan.reader import Reader
from conductor_packs.plan.sql import load_sql
from conductor_packs.plan.store import Plans
from conductor_sdk.clock import Clock, wire_time

Verdict = Literal["GREEN", "YELLOW", "RED", "UNKNOWN"]
VERSION: Final = 1
_WORST: Final[tuple[Verdict, ...]] = ("RED", "UNKNOWN", "YELLOW", "GREEN")
_BACKLOG: Final = 1000


class FileSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file whose age matters: `[[pack.plan.truth.sources]]`."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    path: Annotated[str, Meta(min_length=1, max_length=1024)]
    """Relative to the workspace."""
    max_age_s: Annotated[int, Meta(ge=1)]


class _Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: tuple[FileSource, ...] = ()


class Reading(msgspec.Struct, frozen=True):
    """What one source says."""

    source: str
    verdict: Verdict
    detail: str
    """In words; does not change while nothing changes."""
    sample: int
    """How many things were looked at."""
    as_of: str | None
    """When what was read was last changed; None: unknown."""
    age_s: int | None
    max_age_s: int | None = None
    facts: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class Snapshot(msgspec.Struct, frozen=True):
    """All readings of one moment."""

    version: int
    generated_at: str
    verdict: Verdict
    readings: list[Reading]
    not_checked: list[str]

    @property
    def digest(self) -> str:
        """What the snapshot says, without times and ages: equal as long as nothing changed."""
        said = [(r.source, r.verdict, r.detail, r.sample, r.facts) for r in self.readings]
        return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


async def take(plans: Plans, clock: Clock, workspace: Path, config: Mapping[str, Any]) -> Snapshot:
    """Take a snapshot.

    Raises:
        PlanInputInvalid: The section `truth` of the configuration is wrong.
    """
    try:
        chosen = msgspec.convert(config.get("truth", {}), _Config)
    except msgspec.ValidationError as error:
        raise PlanInputInvalid(f"[pack.plan.truth] {error}") from None
    now = clock.now()
    readings = [
        *await plans.read(lambda reader, _now: _own(reader, now)),
        *await asyncio.to_thread(_files, workspace, chosen.sources, now),
    ]
    worst = min(_WORST.index(reading.verdict) for reading in readings)
    return Snapshot(
        VERSION, wire_time(now), _WORST[worst], readings,
        ["whether the journal's chain is intact: conductor log verify"],
    )  # fmt: skip


def _own(reader: Reader, now: datetime) -> list[Reading]:
    return [_plans(reader, now), _leases(reader, now), _orders(reader, now)]


def _plans(reader: Reader, now: datetime) -> Reading:
    counts: dict[str, dict[str, int]] = {}
    latest: str | None = None
    for plan in reader.plans():
        latest = max(latest or "", plan.updated_ts)
        states = counts.setdefault(plan.plan_id, {})
        for item in reader.items(plan.plan_id):
            latest = max(latest, item.updated_ts)
            states[item.state] = states.get(item.state, 0) + 1
    total = sum(sum(states.values()) for states in counts.values())
    blocked = sum(states.get("BLOCKED", 0) for states in counts.values())
    verdict: Verdict = "UNKNOWN" if not counts else "YELLOW" if blocked else "GREEN"
    detail = f"{len(counts)} plans, {total} items, {blocked} blocked"
    facts = {"plans": counts}
    return Reading("plans", verdict, detail, total, latest, _age(latest, now), facts=facts)


def _leases(reader: Reader, now: datetime) -> Reading:
    held = [
        claim
        for plan in reader.plans()
        for claim in reader.claims(plan.plan_id).values()
        if claim.actor is not None
    ]
    late = [claim for claim in held if claim.overdue(wire_time(now))]
    oldest = min((claim.claimed_ts or "" for claim in held), default=None)
    detail = f"{len(held)} held, {len(late)} beyond their lease"
    holders = sorted(f"{claim.item_id}: {claim.actor}" for claim in held)
    verdict: Verdict = "YELLOW" if late else "GREEN"
    return Reading("leases", verdict, detail, len(held), oldest, _age(oldest, now),
                   facts={"held": holders})  # fmt: skip


def _orders(reader: Reader, now: datetime) -> Reading:
    rows = reader.connection.execute(load_sql("gateway/statements")["order_counts"]).fetchall()
    counts = {row[0]: row[1] for row in rows}
    oldest: str | None = next((row[2] for row in rows if row[0] == "QUEUED"), None)
    dead, queued = counts.get("DEAD", 0), counts.get("QUEUED", 0)
    verdict: Verdict = "RED" if dead else "YELLOW" if queued > _BACKLOG else "GREEN"
    detail = f"{queued} queued, {dead} given up, {counts.get('DONE', 0)} done"
    return Reading("orders", verdict, detail, sum(counts.values()), oldest, _age(oldest, now),
                   facts={"orders": counts})  # fmt: skip


def _files(workspace: Path, sources: Sequence[FileSource], now: datetime) -> list[Reading]:
    return [_file(workspace.resolve(), source, now) for source in sources]


def _file(root: Path, source: FileSource, now: datetime) -> Reading:
    found = _content(root, source.path)
    if found is None:
        detail = f"{source.path} cannot be read"
        return Reading(source.name, "UNKNOWN", detail, 0, None, None, source.max_age_s)
    content, changed = found
    age = max(0, round(now.timestamp() - changed))
    stale = age > source.max_age_s
    as_of = wire_time(datetime.fromtimestamp(changed, now.tzinfo))
    digest = hashlib.sha256(content).hexdigest()
    detail = f"{source.path} is {'older than it may be' if stale else 'fresh'}"
    return Reading(source.name, "YELLOW" if stale else "GREEN", detail, 1, as_of, age,
                   source.max_age_s, {"sha256": digest})  # fmt: skip


def _content(root: Path, name: str) -> tuple[bytes, float] | None:
    try:
        real = (root / name).resolve(strict=True)
        inside = real.is_relative_to(root) and real.is_file()
        return (real.read_bytes(), real.stat().st_mtime) if inside else None
    except (OSError, RuntimeError, ValueError):
        return None


def _age(then: str | None, now: datetime) -> int | None:
    if then is None:
        return None
    return max(0, round((now - datetime.fromisoformat(then)).total_seconds()))
