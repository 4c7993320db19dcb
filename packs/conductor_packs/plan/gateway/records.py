"""A work order as it is stored.

Promise: field names are the columns' names. Refusal: no behaviour.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from conductor_packs.plan.gateway.orders import Priority

OrderStatus = Literal["QUEUED", "CLAIMED", "DONE", "DEAD"]


class StoredOrder(msgspec.Struct, frozen=True):
    """A row of `plan_orders`."""

    wo_id: str
    title: str
    target: str
    rule: str
    """Which rule chose the target."""
    priority: Priority
    status: OrderStatus
    not_before: str
    attempts: int
    token: int
    holder: str | None
    lease_until: str | None
    last_error: str | None
    source: str
    body: str
    """Canonical JSON."""
    digest: str
    """SHA-256 of the order, to know a resent one."""
    received_ts: str
    updated_ts: str
