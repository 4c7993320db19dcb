"""From a request to the function that performs it.

Promise: every request has exactly one, and the type checker knows if one is missing: what no case
here names must be an order's. Refusal: nothing else is decided here.
"""

from __future__ import annotations

from typing import assert_never

from conductor_packs.plan.batch import Batch
from conductor_packs.plan.gateway.queue import perform_order
from conductor_packs.plan.gateway.requests import OrderMutation
from conductor_packs.plan.mutations.claims import claim, heartbeat, release, reserve
from conductor_packs.plan.mutations.handshake import take_leg
from conductor_packs.plan.mutations.items import add_item, transition, update_item
from conductor_packs.plan.mutations.links import add_link, remove_link
from conductor_packs.plan.mutations.plans import create_plan, update_plan
from conductor_packs.plan.records import Changed, Result
from conductor_packs.plan.requests import (
    AddItem,
    AddLink,
    ClaimItem,
    CreatePlan,
    Heartbeat,
    MarkReady,
    Mutation,
    RecordRequest,
    RecordResult,
    Release,
    RemoveLink,
    Reserve,
    Transition,
    UpdateItem,
    UpdatePlan,
)


def perform(batch: Batch, request: Mutation | OrderMutation, key: str | None = None) -> Result:
    """Make one change in a batch; with a key that was used, answer as then.

    Raises:
        PlanError: It was refused.
    """
    if key is not None and (known := batch.earlier(request, key)) is not None:
        return known
    match request:
        case CreatePlan():
            return create_plan(batch, request)
        case UpdatePlan():
            return update_plan(batch, request)
        case AddItem():
            return add_item(batch, request)
        case UpdateItem():
            return update_item(batch, request)
        case Transition():
            return transition(batch, request)
        case MarkReady() | RecordRequest() | RecordResult():
            return take_leg(batch, request)
        case AddLink():
            return add_link(batch, request)
        case RemoveLink():
            return remove_link(batch, request)
        case ClaimItem() | Heartbeat() | Release() | Reserve():
            return _about_claim(batch, request)
        case _:
            return perform_order(batch, request)


def _about_claim(batch: Batch, request: ClaimItem | Heartbeat | Release | Reserve) -> Changed:
    match request:
        case ClaimItem():
            return claim(batch, request)
        case Heartbeat():
            return heartbeat(batch, request)
        case Release():
            return release(batch, request)
        case Reserve():
            return reserve(batch, request)
        case _:
            assert_never(request)
