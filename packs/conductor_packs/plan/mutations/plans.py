"""Making and changing plans.

Promise: the plan's version moves with the plan's own fields only. Refusal: no plan is removed.
"""

from __future__ import annotations

import secrets
from typing import Any

from conductor_packs.plan import events
from conductor_packs.plan.batch import Batch
from conductor_packs.plan.errors import IdTaken
from conductor_packs.plan.mutations.guards import Attempt
from conductor_packs.plan.records import Changed, Result, Unchanged
from conductor_packs.plan.requests import CreatePlan, UpdatePlan


def create_plan(batch: Batch, request: CreatePlan) -> Changed:
    """Make a plan.

    Raises:
        IdTaken: There is one with this id.
    """
    plan_id = request.plan_id or f"P-{secrets.token_hex(5)}"
    if batch.read.has_plan(plan_id):
        raise IdTaken(f"plan {plan_id!r}", data={"plan_id": plan_id})
    fields = {
        "title": request.title,
        "owner_agent": request.owner_agent or batch.caller.actor,
        "status": request.status,
    }
    about = {"plan_id": plan_id, **fields, "version": 1}
    return batch.record(events.PLAN_CREATED, about, fields)


def update_plan(batch: Batch, request: UpdatePlan) -> Result:
    """Change a plan's own fields.

    Raises:
        PlanNotFound: There is none.
        VersionConflict: It was decided on another version.
    """
    plan = batch.read.plan(request.plan_id)
    wanted: dict[str, Any] = {
        name: value
        for name in ("title", "owner_agent", "status")
        if isinstance(value := getattr(request, name), str)
    }
    action = events.ACTIONS[events.PLAN_UPDATED]
    Attempt(batch, action, {"attempted_patch": wanted}, wanted).fresh(
        plan, request.expected_version
    )
    changes = {
        name: {"from": getattr(plan, name), "to": value}
        for name, value in wanted.items()
        if getattr(plan, name) != value
    }
    if not changes:
        return Unchanged(plan.plan_id, plan.version, "plan_id")
    about = {
        "plan_id": plan.plan_id, "changes": changes,
        "expected_version": plan.version, "new_version": plan.version + 1,
    }  # fmt: skip
    return batch.record(
        events.PLAN_UPDATED, about, {name: each["to"] for name, each in changes.items()}
    )
