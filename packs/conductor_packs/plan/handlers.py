"""What the conductor's events do to the plans of this workspace.

Promise: an event changes a plan once, however often it comes, because its id is the change's
idempotency key. Refusal: an event that the plan does not allow is a dead letter with the reason,
never half a change.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UnsetType

from conductor_packs.plan.announced import ItemAnnounced, ItemAssigned, PlanAnnounced
from conductor_packs.plan.batch import Batch, Caller
from conductor_packs.plan.gateway.requests import SubmitOrder
from conductor_packs.plan.mutations.perform import perform
from conductor_packs.plan.records import Changed, Result
from conductor_packs.plan.requests import AddItem, CreatePlan, Patch, UpdateItem
from conductor_packs.plan.settings import settings
from conductor_packs.plan.store import Plans
from conductor_sdk.context import PackContext
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Reject, Replayed, Retry


async def on_plan_created(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Make the plan that the conductor announces."""
    said: PlanAnnounced = event.payload
    request = CreatePlan(plan_id=said.plan_id, title=said.title, owner_agent=said.owner_agent)
    return await _settle(event, ctx, lambda batch, key: perform(batch, request, key))


async def on_item_created(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Add the item that the conductor announces."""
    said: ItemAnnounced = event.payload
    request = AddItem(
        plan_id=said.plan_id, item_id=said.item_id, title=said.title, kind=said.kind,
        priority=said.priority, assigned_to=said.assigned_to, due_ts=said.due_ts,
        estimate=said.estimate,
    )  # fmt: skip

    def work(batch: Batch, key: str) -> Result:
        _ensure_plan(batch, said.plan_id, said.plan_title)
        return perform(batch, request, key)

    return await _settle(event, ctx, work)


async def on_item_assigned(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Assign an item, at whatever version it is; make it where it is missing and described."""
    said: ItemAssigned = event.payload

    def work(batch: Batch, key: str) -> Result:
        patch = Patch(assigned_to=said.assigned_to)
        if isinstance(said.plan_id, str):
            _ensure_plan(batch, said.plan_id, said.plan_title)
        # Without the version: a resent event is the same request, whatever happened meanwhile.
        known = batch.earlier(
            UpdateItem(item_id=said.item_id, expected_version=1, patch=patch), key
        )
        if known is not None:
            return known
        item = batch.read.find_item(said.item_id)
        if item is None and isinstance(said.plan_id, str) and isinstance(said.title, str):
            return perform(batch, AddItem(
                plan_id=said.plan_id, item_id=said.item_id, title=said.title,
                priority=said.priority, assigned_to=said.assigned_to,
            ))  # fmt: skip
        version = batch.read.item(said.item_id).version
        request = UpdateItem(item_id=said.item_id, expected_version=version, patch=patch)
        return perform(batch, request)

    return await _settle(event, ctx, work)


async def on_work_order(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Take a work order in; the event's payload is the order."""
    request = SubmitOrder(order=dict(event.payload), source=f"event:{event.from_}"[:256])
    return await _settle(event, ctx, lambda batch, key: perform(batch, request, key))


def _ensure_plan(batch: Batch, plan_id: str, title: str | UnsetType) -> None:
    if isinstance(title, str) and not batch.read.has_plan(plan_id):
        perform(batch, CreatePlan(plan_id=plan_id, title=title))


async def _settle(
    event: KernelEvent, ctx: PackContext, work: Callable[[Batch, str], Result]
) -> Outcome:
    plans = Plans(ctx.journal, ctx.clock, settings(ctx.config))
    caller = Caller(f"conductor:{event.from_}"[:256])
    try:
        result = await plans.batch(lambda batch: work(batch, f"event:{event.event_id}"), caller)
    except ConductorError as error:
        return Retry(error.code) if error.retryable else Reject(f"{error.code}: {error.detail}")
    if not isinstance(result, Changed):
        return Handled("unchanged")
    return Replayed(result.event_type.lower()) if result.replayed else Handled(result.event_type)
