"""Claims: who works on what, until when, and on which files.

Promise: of any number of agents that ask at once exactly one gets the item, and whoever had it
before can write no more. Refusal: a claim is never taken from a holder whose lease still runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conductor_packs.plan import events
from conductor_packs.plan.batch import Batch
from conductor_packs.plan.errors import (
    ClaimHeld,
    NotClaimable,
    NothingReady,
    PathsReserved,
    PlanInputInvalid,
)
from conductor_packs.plan.graph import Graph
from conductor_packs.plan.mutations.guards import Attempt, active
from conductor_packs.plan.paths import normalised, taken
from conductor_packs.plan.records import Changed, Claim, Item, Receipt
from conductor_packs.plan.requests import ClaimItem, Heartbeat, Release, Reserve


def claim(batch: Batch, request: ClaimItem) -> Changed:
    """Take an item, or the next one of a plan that is ready; the holder gets its claim again.

    Raises:
        ItemNotFound: There is none.
        ClaimHeld: Someone else has it; says who and until when.
        NotClaimable: It is not ready, or it is assigned to someone else.
        NothingReady: The plan has nothing for the caller now.
        PathsReserved: A path is reserved for another item.
    """
    if (request.item_id is None) == (request.plan_id is None):
        raise PlanInputInvalid("name either item_id or plan_id")
    expire_overdue(batch)
    paths = sorted({normalised(path) for path in request.paths})
    item = _chosen(batch, request)
    active(batch, item.plan_id)
    last = batch.read.claim(item.item_id)
    if last is not None and last.actor is not None:
        return _again(batch, last, paths)
    _claimable(batch, item)
    _free(batch, item.item_id, paths)
    ttl_s = request.ttl_s or batch.settings.lease_s
    about: dict[str, Any] = {
        "plan_id": item.plan_id, "item_id": item.item_id, "holder": batch.caller.actor,
        "token": 1 if last is None else last.token + 1, "lease_until": batch.later(ttl_s),
        "ttl_s": ttl_s, "paths": paths,
        "from_state": item.state, "to_state": "IN_PROGRESS",
        "expected_version": item.version, "new_version": item.version + 1,
    }  # fmt: skip
    change = {"state": "IN_PROGRESS", "holder": batch.caller.actor}
    return batch.record(events.ITEM_CLAIMED, about, change)


def heartbeat(batch: Batch, request: Heartbeat) -> Changed:
    """Prolong the lease of a claim, from now on.

    Raises:
        TokenStale: The claim is another one's by now, or ran out.
    """
    item, held = _mine(batch, request, events.ITEM_LEASE_RENEWED)
    ttl_s = request.ttl_s or held.ttl_s or batch.settings.lease_s
    about = {
        "plan_id": item.plan_id, "item_id": item.item_id, "holder": held.actor,
        "token": held.token, "lease_until": batch.later(ttl_s), "ttl_s": ttl_s,
    }  # fmt: skip
    return batch.record(events.ITEM_LEASE_RENEWED, about, {"lease_until": about["lease_until"]})


def release(batch: Batch, request: Release) -> Changed:
    """Give an item back: TODO again, its paths free.

    Raises:
        TokenStale: The claim is another one's by now, or ran out.
    """
    item, held = _mine(batch, request, events.ITEM_RELEASED)
    about = {
        "plan_id": item.plan_id, "item_id": item.item_id, "holder": held.actor,
        "token": held.token, "from_state": item.state, "to_state": "TODO",
        "expected_version": item.version, "new_version": item.version + 1,
    }  # fmt: skip
    return batch.record(events.ITEM_RELEASED, about, {"state": "TODO", "holder": None})


def reserve(batch: Batch, request: Reserve) -> Changed:
    """Reserve more paths for a claimed item, all or none.

    Raises:
        TokenStale: The claim is another one's by now, or ran out.
        PathsReserved: A path is reserved for another item.
    """
    item, held = _mine(batch, request, events.PATHS_RESERVED)
    paths = sorted({normalised(path) for path in request.paths})
    _free(batch, item.item_id, paths)
    return _reserve(batch, held, paths)


def expire_overdue(batch: Batch) -> list[Changed]:
    """End every claim whose lease ran out."""
    return [
        batch.expire(overdue, batch.read.item(overdue.item_id))
        for overdue in batch.read.overdue(batch.now)
    ]


def _chosen(batch: Batch, request: ClaimItem) -> Item:
    if request.item_id is not None:
        return batch.read.item(request.item_id)
    plan_id = request.plan_id or ""
    ready = Graph(batch.read.board(plan_id, batch.now)).ready(batch.caller.names)
    if not ready:
        raise NothingReady(f"for {batch.caller.actor!r} in {plan_id!r}")
    return ready[0]


def _again(batch: Batch, held: Claim, paths: Sequence[str]) -> Changed:
    """Answer a holder with its claim, and anyone else with who holds it."""
    if held.actor != batch.caller.actor:
        facts = {"holder": held.actor, "lease_until": held.lease_until, "item_id": held.item_id}
        raise ClaimHeld(f"{held.actor!r} until {held.lease_until}", data=facts)
    mine = {each.path for each in batch.read.reservations() if each.item_id == held.item_id}
    if not mine.issuperset(paths):
        _free(batch, held.item_id, paths)
        _reserve(batch, held, paths)
    about = {
        "plan_id": held.plan_id, "item_id": held.item_id, "holder": held.actor,
        "token": held.token, "lease_until": held.lease_until, "ttl_s": held.ttl_s,
        "paths": sorted(mine.union(paths)), "new_version": batch.read.item(held.item_id).version,
    }  # fmt: skip
    receipt = Receipt(held.sequence or 0, held.entry_hash or "")
    return Changed(events.ITEM_CLAIMED, about, receipt, replayed=True)


def _claimable(batch: Batch, item: Item) -> None:
    facts = {"item_id": item.item_id, "state": item.state}
    if item.assigned_to not in {None, *batch.caller.names}:
        facts["assigned_to"] = item.assigned_to or ""
        raise NotClaimable(f"it is assigned to {item.assigned_to!r}", data=facts)
    if item.state not in {"TODO", "IN_PROGRESS"}:
        raise NotClaimable(f"it is {item.state}", data=facts)
    needs = [need[0] for need in batch.read.open_needs(item.item_id)]
    if needs:
        raise NotClaimable(f"it waits for {', '.join(needs[:20])}", data={**facts, "open": needs})


def _free(batch: Batch, item_id: str, paths: Sequence[str]) -> None:
    found = taken(paths, item_id, batch.read.reservations()) if paths else []
    if found:
        shown = [
            {"path": each.path, "item_id": each.item_id, "holder": _holder(batch, each.item_id)}
            for each in found
        ]
        detail = ", ".join(f"{each['path']!r} by {each['holder']!r}" for each in shown[:5])
        raise PathsReserved(detail, data={"reserved": shown})


def _holder(batch: Batch, item_id: str) -> str | None:
    found = batch.read.claim(item_id)
    return None if found is None else found.actor


def _reserve(batch: Batch, held: Claim, paths: Sequence[str]) -> Changed:
    about = {
        "plan_id": held.plan_id, "item_id": held.item_id, "holder": held.actor,
        "token": held.token, "paths": list(paths),
    }  # fmt: skip
    return batch.record(events.PATHS_RESERVED, about, {"paths": list(paths)})


def _mine(
    batch: Batch, request: Heartbeat | Release | Reserve, event_type: str
) -> tuple[Item, Claim]:
    item = batch.read.item(request.item_id)
    active(batch, item.plan_id)
    action = events.ACTIONS[event_type]
    attempt = Attempt(batch, action, {"attempted_action": action, "token": request.token}, {})
    item = attempt.fenced(item, request.token)
    held = batch.read.claim(item.item_id)
    if held is None:  # fenced: a token that fits is of a claim
        raise NotClaimable(f"{item.item_id!r} was never claimed")
    return item, held
