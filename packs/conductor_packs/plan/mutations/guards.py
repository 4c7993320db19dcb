"""The questions that several mutations ask first.

Promise: a stale version and a stale token are refused and journaled in the same words everywhere.
Refusal: nothing of the plan is changed here, except that a lease that ran out is ended.
"""

from __future__ import annotations

from conductor_packs.plan.batch import Batch
from conductor_packs.plan.errors import PlanArchived, PlanError, TokenStale, VersionConflict
from conductor_packs.plan.events import CONFLICT_DETECTED, MOVE_REFUSED
from conductor_packs.plan.records import Claim, Item, Payload, Plan


class Attempt:
    """A write that may be refused: what its entry would say then."""

    def __init__(self, batch: Batch, action: str, attempted: Payload, change: Payload) -> None:
        self.batch = batch
        self._about: Payload = {"action": action, "change": change, **attempted}

    def refused(self, item: Item, error: PlanError) -> None:
        """Refuse a write that the item's state does not allow.

        Raises:
            PlanError: Always the given one.
        """
        known = {"item_id": item.item_id, "state": item.state, "current_version": item.version}
        error.data |= known
        payload: Payload = {
            "plan_id": item.plan_id, "item_id": item.item_id, "from_state": item.state,
            "current_version": item.version, "reason": error.code, **self._about,
        }  # fmt: skip
        self.batch.refuse(MOVE_REFUSED, payload, error)

    def fresh(self, record: Item | Plan, expected: int) -> None:
        """Refuse a write that was decided on another version.

        Raises:
            VersionConflict: It was.
        """
        if record.version == expected:
            return
        about: Payload = {"plan_id": record.plan_id}
        if isinstance(record, Item):
            about["item_id"] = record.item_id
        about |= {"expected_version": expected, "current_version": record.version}
        detail = f"expected version {expected}, it is at {record.version}"
        error = VersionConflict(detail, data={**about, "status": "conflict"})
        self.batch.refuse(CONFLICT_DETECTED, {**about, **self._about}, error)

    def fenced(self, item: Item, token: int | None) -> Item:
        """Refuse a write that does not come from the item's present holder; returns the item.

        Raises:
            TokenStale: It carries no token or an old one, and needs the present one.
        """
        claim = self.batch.read.claim(item.item_id)
        if claim is not None and claim.overdue(self.batch.now):
            self.batch.expire(claim, item)
            item, claim = self.batch.read.item(item.item_id), None
        held = claim if claim is not None and claim.actor is not None else None
        if held is not None and token != held.token:
            self.refused(item, _stale(f"{held.actor!r} holds it until {held.lease_until}", held))
        if held is None and token is not None:
            self.refused(item, _stale("nobody holds it any more", None))
        return item


def active(batch: Batch, plan_id: str) -> Plan:
    """Return a plan whose items may be changed.

    Raises:
        PlanNotFound: There is none.
        PlanArchived: It is archived.
    """
    plan = batch.read.plan(plan_id)
    if plan.status != "ACTIVE":
        raise PlanArchived(repr(plan_id), data={"plan_id": plan_id})
    return plan


def _stale(detail: str, held: Claim | None) -> TokenStale:
    data = {} if held is None else {"holder": held.actor, "lease_until": held.lease_until}
    return TokenStale(detail, data=data)
