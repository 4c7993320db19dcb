"""The plan pack as the registry finds it.

Promise: `pack` is data. Refusal: importing this module starts nothing, and imports neither plans
nor tools: what runs is imported when it runs first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conductor_packs.plan import announced
from conductor_sdk import KernelEvent, Outcome, Pack, PackContext, PackManifest, Subscription
from conductor_sdk.manifest_tools import ToolManifest

_ITEM = {"plan_id": "P-1", "plan_title": "A plan", "item_id": "I-1"}


def _tools(_config: Mapping[str, Any]) -> Sequence[ToolManifest]:
    from conductor_packs.plan.tools import manifests

    return manifests()


async def _feed(ctx: PackContext) -> None:
    """Push changes and end leases."""
    from conductor_packs.plan.watch import run_watch

    await run_watch(ctx)


async def _plan_created(event: KernelEvent, ctx: PackContext) -> Outcome:
    from conductor_packs.plan.handlers import on_plan_created

    return await on_plan_created(event, ctx)


async def _item_created(event: KernelEvent, ctx: PackContext) -> Outcome:
    from conductor_packs.plan.handlers import on_item_created

    return await on_item_created(event, ctx)


async def _item_assigned(event: KernelEvent, ctx: PackContext) -> Outcome:
    from conductor_packs.plan.handlers import on_item_assigned

    return await on_item_assigned(event, ctx)


async def _work_order(event: KernelEvent, ctx: PackContext) -> Outcome:
    from conductor_packs.plan.handlers import on_work_order

    return await on_work_order(event, ctx)


pack = Pack(
    manifest=PackManifest.from_yaml(Path(__file__).with_name("manifest.yaml")),
    handlers={
        announced.PLAN_CREATED: Subscription(
            handler=_plan_created, payload=announced.PlanAnnounced
        ),
        announced.ITEM_CREATED: Subscription(
            handler=_item_created, payload=announced.ItemAnnounced
        ),
        announced.ITEM_ASSIGNED: Subscription(
            handler=_item_assigned, payload=announced.ItemAssigned
        ),
        announced.WORK_ORDER: _work_order,
    },
    background=_feed,
    toolset=_tools,
    samples={
        announced.PLAN_CREATED: [{"plan_id": "P-1", "title": "A plan"}],
        announced.ITEM_CREATED: [{**_ITEM, "title": "An item"}],
        announced.ITEM_ASSIGNED: [{**_ITEM, "title": "An item", "assigned_to": "Codex"}],
        announced.WORK_ORDER: [{"wo_id": "WO-1", "title": "An order", "priority": "high"}],
    },
)
