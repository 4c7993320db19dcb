"""What the conductor announces to plans: the kinds, and the payloads that they carry.

Promise: importing this costs next to nothing, for the daemon reads it at every start. Refusal: no
event is handled here; `handlers` does.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from conductor_packs.plan.requests import Estimate, Id, Kind, Moment, Name, Priority, Title

PLAN_CREATED: Final = "conductor:plan_created"
ITEM_CREATED: Final = "conductor:plan_item_created"
WORK_ORDER: Final = "conductor:work_order_submitted"
ITEM_ASSIGNED: Final = "conductor:plan_item_assigned"


class PlanAnnounced(msgspec.Struct, frozen=True):
    """The payload of `conductor:plan_created`."""

    plan_id: Id
    title: Title
    owner_agent: Name = "conductor"


class ItemAnnounced(msgspec.Struct, frozen=True):
    """The payload of `conductor:plan_item_created`."""

    plan_id: Id
    item_id: Id
    title: Title
    kind: Kind = "TASK"
    priority: Priority = 0
    assigned_to: Name | None = None
    due_ts: Moment | None = None
    estimate: Estimate | None = None
    plan_title: Title | UnsetType = UNSET
    """With it, the plan is made where it is missing."""


class ItemAssigned(msgspec.Struct, frozen=True):
    """The payload of `conductor:plan_item_assigned`; with plan and title it can make the item."""

    item_id: Id
    assigned_to: Name | None
    plan_id: Id | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    priority: Priority = 0
    plan_title: Title | UnsetType = UNSET
    """As in `ItemAnnounced`."""
