"""Applying a scenario: all steps in one commit, each counted.

Promise: what is counted is what the journal holds, and a run that did not go as its file says is
undone, but for the entries of its refusals. Refusal: no file is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET

from conductor_packs.plan import events
from conductor_packs.plan.apply import EDITABLE
from conductor_packs.plan.batch import Batch, Caller
from conductor_packs.plan.errors import ExpectationFailed, PlanError, VersionConflict
from conductor_packs.plan.mutations.perform import perform
from conductor_packs.plan.records import Changed
from conductor_packs.plan.requests import (
    AddItem,
    AddLink,
    CreatePlan,
    MarkReady,
    Mutation,
    Patch,
    RecordRequest,
    RecordResult,
    Transition,
    UpdateItem,
)
from conductor_packs.plan.scenario import Scenario, ScenarioConflict
from conductor_packs.plan.store import Plans

COUNTERS: Final = {
    events.ITEM_ADDED: "items_added",
    events.LINK_ADDED: "links_added",
    events.ITEM_UPDATED: "item_updates",
    events.ITEM_STATE_CHANGED: "state_changes",
    events.ITEM_MARKED_READY: "exec_ready",
    events.ITEM_EXEC_REQUESTED: "exec_requests",
    events.ITEM_EXEC_RESULT_RECORDED: "exec_results",
}


class Step(msgspec.Struct, frozen=True):
    """One step: who does what, and whether it must be a conflict."""

    place: str
    """Where it stands in the file."""
    actor: str
    request: Mutation
    conflict: bool = False


async def run(plans: Plans, scenario: Scenario) -> dict[str, Any]:
    """Apply a scenario in one commit.

    Raises:
        ExpectationFailed: A step that had to be a conflict was none.
        VersionConflict: A step that should have succeeded was a conflict.
        PlanError: A step was refused.
    """
    counts: dict[str, Any] = {
        "plan_created": False, **dict.fromkeys(COUNTERS.values(), 0), "conflicts": 0,
    }  # fmt: skip
    caller = Caller(scenario.plan.owner_agent, scenario.session_id, scenario.task_id)

    def work(batch: Batch) -> int:
        for step in steps(scenario):
            batch.caller = msgspec.structs.replace(caller, actor=step.actor)
            _take(batch, step, counts)
        return batch.written

    written = await plans.batch(work, caller)
    return {
        **counts, "events_written": written,
        "session_id": scenario.session_id, "task_id": scenario.task_id,
        "plan_id": scenario.plan.plan_id,
    }  # fmt: skip


def steps(scenario: Scenario) -> Iterator[Step]:
    """Give a scenario's steps in the order of their application."""
    plan = scenario.plan
    owner = plan.owner_agent
    create = CreatePlan(
        plan_id=plan.plan_id, title=plan.title, owner_agent=owner, status=plan.status
    )
    yield Step("plan", plan.actor or owner, create)
    for at, item in enumerate(scenario.items):
        add = AddItem(
            plan_id=item.plan_id, item_id=item.item_id, kind=item.kind, title=item.title,
            state=item.state, priority=item.priority, assigned_to=item.assigned_to,
            due_ts=item.due_ts, estimate=item.estimate,
        )  # fmt: skip
        yield Step(f"items[{at}]", item.actor or item.assigned_to or owner, add)
    for at, link in enumerate(scenario.links):
        tie = AddLink(
            from_item_id=link.from_item_id, to_item_id=link.to_item_id,
            link_type=link.link_type, link_id=link.link_id,
        )  # fmt: skip
        yield Step(f"links[{at}]", link.actor or owner, tie)
    yield from _changes(scenario, owner)
    yield from _legs(scenario, owner)


def _changes(scenario: Scenario, owner: str) -> Iterator[Step]:
    for at, patch in enumerate(scenario.updates):
        update = UpdateItem(
            item_id=patch.item_id, expected_version=patch.expected_version, patch=patch.patch
        )
        yield Step(f"updates[{at}]", patch.actor or owner, update)
    for at, move in enumerate(scenario.transitions):
        transition = Transition(
            item_id=move.item_id, expected_version=move.expected_version, to_state=move.to_state
        )
        yield Step(f"transitions[{at}]", move.actor or owner, transition)
    for at, stale in enumerate(scenario.conflicts):
        yield Step(f"conflicts[{at}]", stale.actor or owner, _attempt(stale), conflict=True)


def _attempt(each: ScenarioConflict) -> Transition | UpdateItem:
    """Return the change that must fail: of fields where fields are named, else of the state."""
    fields = {name: getattr(each.patch, name) for name in EDITABLE}
    named = any(value is not UNSET for value in fields.values())
    if each.patch.state is None and named:
        return UpdateItem(
            item_id=each.item_id, expected_version=each.expected_version, patch=Patch(**fields)
        )
    return Transition(
        item_id=each.item_id, expected_version=each.expected_version,
        to_state=each.patch.state or "BLOCKED",
    )  # fmt: skip


def _legs(scenario: Scenario, owner: str) -> Iterator[Step]:
    for at, first in enumerate(scenario.exec_ready):
        leg = MarkReady(item_id=first.item_id, expected_version=first.expected_version)
        yield Step(f"exec_ready[{at}]", first.actor or owner, leg)
    for at, second in enumerate(scenario.exec_requests):
        request = RecordRequest(
            item_id=second.item_id, expected_version=second.expected_version,
            payload=second.payload,
        )  # fmt: skip
        yield Step(f"exec_requests[{at}]", second.actor or owner, request)
    for at, third in enumerate(scenario.exec_results):
        result = RecordResult(
            item_id=third.item_id, expected_version=third.expected_version, result=third.result,
            error=third.error,
        )  # fmt: skip
        yield Step(f"exec_results[{at}]", third.actor or owner, result)


def _take(batch: Batch, step: Step, counts: dict[str, Any]) -> None:
    """Take a step and count it.

    A state change at the current version must not be undone silently, so an expected conflict that
    does not come ends the run.
    """
    try:
        result = perform(batch, step.request)
    except PlanError as error:
        if step.conflict and isinstance(error, VersionConflict):
            counts["conflicts"] += 1
            return
        error.data["step"] = step.place
        if step.conflict:
            detail = f"{step.place}: {error.code}"
            raise ExpectationFailed(detail, data=error.data) from error
        raise
    if step.conflict:
        raise ExpectationFailed(step.place, data={"step": step.place})
    if isinstance(result, Changed):
        if result.event_type == events.PLAN_CREATED:
            counts["plan_created"] = True
        else:
            counts[COUNTERS[result.event_type]] += 1
