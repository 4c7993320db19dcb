"""What the plan's tables hold, as frozen records, and what a change answers.

Promise: field names are the columns' names, those of the plan format that others read. Refusal: no
behaviour beyond looking at one's own fields.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

PlanStatus = Literal["ACTIVE", "ARCHIVED"]
State = Literal["TODO", "IN_PROGRESS", "BLOCKED", "DONE", "CANCELLED"]
ExecStatus = Literal["NONE", "READY_FOR_EXEC", "EXEC_REQUESTED", "EXEC_RESULT_RECORDED"]
LinkType = Literal["DEPENDS_ON", "RELATED", "PARENT"]
Payload: TypeAlias = dict[str, Any]


class Plan(msgspec.Struct, frozen=True):
    """A row of `plans`."""

    plan_id: str
    title: str
    owner_agent: str
    status: PlanStatus
    version: int
    created_ts: str
    updated_ts: str


class Item(msgspec.Struct, frozen=True, gc=False):
    """A row of `plan_items`."""

    item_id: str
    plan_id: str
    kind: str
    title: str
    state: State
    priority: int
    """The lower, the sooner."""
    assigned_to: str | None
    due_ts: str | None
    version: int
    created_ts: str
    updated_ts: str
    exec_status: ExecStatus = "NONE"
    exec_ready_ts: str | None = None
    exec_request_ts: str | None = None
    exec_result_ts: str | None = None
    exec_request_json: str | None = None
    exec_result_json: str | None = None
    exec_error: str | None = None
    estimate: int | None = None
    """How much work it is, in minutes; None: nobody said."""

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in {"DONE", "CANCELLED"}


class Link(msgspec.Struct, frozen=True, gc=False):
    """A row of `plan_links`."""

    link_id: str
    plan_id: str
    from_item_id: str
    to_item_id: str
    link_type: LinkType
    created_ts: str


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A row of `plan_claims`; `actor` is None while nobody holds the item."""

    item_id: str
    plan_id: str
    actor: str | None
    token: int
    strikes: int
    claimed_ts: str | None = None
    lease_until: str | None = None
    ttl_s: int | None = None
    sequence: int | None = None
    entry_hash: str | None = None

    def held(self, now: str) -> bool:
        """Tell whether someone holds it and the lease has not run out."""
        return self.actor is not None and self.lease_until is not None and now < self.lease_until

    def overdue(self, now: str) -> bool:
        """Tell whether someone holds it, but longer than the lease."""
        return self.actor is not None and not self.held(now)


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """A row of `plan_reservations`."""

    item_id: str
    path: str


class Board(msgspec.Struct, frozen=True):
    """One state of a plan with all that belongs to it."""

    plan: Plan
    items: list[Item]
    links: list[Link]
    claims: dict[str, Claim]
    reservations: list[Reservation]
    now: str


class Receipt(msgspec.Struct, frozen=True):
    """Where the entry of a change stands in the journal."""

    sequence: int
    hash: str


class Changed(msgspec.Struct, frozen=True):
    """A mutation that happened: now, or, with `replayed`, when its key was first used."""

    event_type: str
    payload: Payload
    receipt: Receipt
    replayed: bool = False


class Unchanged(msgspec.Struct, frozen=True):
    """A mutation with nothing to change; no entry was written."""

    named: str
    """The id of what it is about."""
    version: int
    name: Literal["item_id", "plan_id", "wo_id"] = "item_id"


Result: TypeAlias = Changed | Unchanged
