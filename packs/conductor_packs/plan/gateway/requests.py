"""What can be asked of the gateway.

Promise: one frozen record for each mutation and question, checked when it is built. Refusal: an
order's own fields are looked at in `orders`, since senders spell them in many ways.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from conductor_packs.plan.requests import Id, Name, Object, Request, Seconds


class SubmitOrder(Request, frozen=True, kw_only=True):
    """Hand in a work order."""

    order: Object
    """At least `wo_id` and `title`; also strict_target, routing_hint, priority, not_before."""
    source: Annotated[str, Meta(max_length=256)] = ""

    def __post_init__(self) -> None:
        """Look at nothing: a bad order is refused, and journaled, as an order."""


class ClaimOrder(Request, frozen=True, kw_only=True):
    """Take a target's next order."""

    target: Name
    ttl_s: Seconds | None = None


class CompleteOrder(Request, frozen=True, kw_only=True):
    """Say that a claimed order was carried out."""

    wo_id: Id
    token: int
    result: Object = msgspec.field(default_factory=dict[str, Any])


class FailOrder(Request, frozen=True, kw_only=True):
    """Say that an attempt failed: the order comes again later, or is given up."""

    wo_id: Id
    token: int
    error: Annotated[str, Meta(min_length=1, max_length=2000)]


class RedriveOrder(Request, frozen=True, kw_only=True):
    """Queue an order again that was given up."""

    wo_id: Id


class ListOrders(Request, frozen=True, kw_only=True):
    """List work orders."""

    status: Literal["QUEUED", "CLAIMED", "DONE", "DEAD"] | None = None
    target: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100


class OfOrder(Request, frozen=True, kw_only=True):
    """Ask about a work order."""

    wo_id: Id


OrderMutation: TypeAlias = SubmitOrder | ClaimOrder | CompleteOrder | FailOrder | RedriveOrder
