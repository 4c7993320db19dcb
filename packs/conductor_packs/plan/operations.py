"""Everything that can be done with plans: one table, from which tools and commands are made.

Promise: an operation does the same on every surface. Refusal: nothing of a surface is known here,
neither words of a command line nor envelopes of an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta

from conductor_packs.plan import order_questions, questions, requests
from conductor_packs.plan.answers import as_json
from conductor_packs.plan.batch import Caller
from conductor_packs.plan.errors import PlanInputInvalid
from conductor_packs.plan.gateway import requests as orders
from conductor_packs.plan.gateway.requests import OrderMutation
from conductor_packs.plan.questions import Answer
from conductor_packs.plan.requests import Mutation, Request
from conductor_packs.plan.store import Plans


class Desk(msgspec.Struct, frozen=True):
    """Where an operation is asked for."""

    plans: Plans
    caller: Caller
    workspace: Path


class ApplyScenario(Request, frozen=True, kw_only=True):
    """Apply a file of steps."""

    path: Annotated[str, Meta(min_length=1, max_length=1024)]
    """Relative to the workspace's `scenarios` directory."""


class Operation(msgspec.Struct, frozen=True):
    """One thing that can be done."""

    tool: str
    """Its name among the tools: `group:verb`."""
    command: str
    """Its name behind `conductor plan`."""
    request: type[Request]
    summary: str
    ask: Callable[[Plans, Any], Awaitable[Answer]] | None = None
    """The question; None: the request is a mutation, or a scenario."""
    idempotent: bool = False
    destructive: bool = False

    @property
    def access(self) -> Literal["read", "write"]:
        """Whether it changes anything."""
        return "write" if self.ask is None else "read"


_QUESTIONS: Final = (
    Operation("plan:list", "list-plans", questions.ListPlans, "List the plans.",
              questions.list_plans),
    Operation("plan:show", "show-plan", questions.OfPlan,
              "Show a plan with its items, links, claims and reserved paths.",
              questions.show_plan),
    Operation("item:list", "list-items", questions.OfPlan, "List a plan's items.",
              questions.list_items),
    Operation("plan:ready", "ready", questions.Ready,
              "List what can be started now, best first.", questions.ready),
    Operation("plan:next", "next", questions.Ready, "Name the best item to start now.",
              questions.next_item),
    Operation("plan:blocked", "blocked", questions.OfPlan,
              "List what waits, and what each item waits for.", questions.blocked),
    Operation("item:explain", "explain", questions.OfItem,
              "Say why an item can or cannot be worked on, and what may happen to it next.",
              questions.explain),
    Operation("plan:waves", "waves", questions.OfPlan,
              "Group the open items into rounds of parallel work.", questions.waves),
    Operation("plan:critical_path", "critical-path", questions.OfPlan,
              "Find the longest chain of open items, and the slack of every one.",
              questions.critical_path),
)  # fmt: skip
_MUTATIONS: Final = (
    Operation("plan:create", "create", requests.CreatePlan, "Make a plan."),
    Operation("plan:update", "update-plan", requests.UpdatePlan,
              "Rename a plan, hand it over, archive it or bring it back."),
    Operation("item:add", "add-item", requests.AddItem, "Add an item to a plan."),
    Operation("item:update", "update", requests.UpdateItem,
              "Change fields of an item at the version that was read."),
    Operation("item:transition", "transition", requests.Transition,
              "Move an item to another state at the version that was read."),
    Operation("item:claim", "claim", requests.ClaimItem,
              "Take an item, or a plan's next one, for as long as heartbeats come.",
              idempotent=True),
    Operation("item:heartbeat", "heartbeat", requests.Heartbeat, "Prolong the lease of a claim."),
    Operation("item:release", "release", requests.Release, "Give a claimed item back."),
    Operation("item:reserve", "reserve", requests.Reserve,
              "Reserve paths for a claimed item, so that nobody else changes them.",
              idempotent=True),
    Operation("link:add", "link", requests.AddLink,
              "Link two items: one waits for the other, is a part of it, or is related."),
    Operation("link:remove", "unlink", requests.RemoveLink, "Remove a link.", destructive=True),
    Operation("item:mark_ready", "mark-ready", requests.MarkReady,
              "Execution handshake, first leg: the item may be executed."),
    Operation("item:record_request", "record-request", requests.RecordRequest,
              "Execution handshake, second leg: execution was asked for."),
    Operation("item:record_result", "record-result", requests.RecordResult,
              "Execution handshake, third leg: what execution gave."),
)  # fmt: skip
_ORDERS: Final = (
    Operation("order:submit", "order-submit", orders.SubmitOrder,
              "Hand in a work order: it is normalised, routed and queued.", idempotent=True),
    Operation("order:claim", "order-claim", orders.ClaimOrder,
              "Take the order of a target whose turn it is."),
    Operation("order:complete", "order-complete", orders.CompleteOrder,
              "Say that a claimed order was carried out."),
    Operation("order:fail", "order-fail", orders.FailOrder,
              "Say that an attempt failed; the order comes again, or is given up."),
    Operation("order:redrive", "order-redrive", orders.RedriveOrder,
              "Queue an order again that was given up."),
    Operation("order:list", "order-list", orders.ListOrders, "List work orders by turn.",
              order_questions.list_orders),
    Operation("order:show", "order-show", orders.OfOrder, "Show a work order.",
              order_questions.show_order),
)  # fmt: skip
APPLY_SCENARIO: Final = Operation(
    "scenario:apply", "apply-scenario", ApplyScenario,
    "Apply a file of steps from the workspace's scenarios directory, all or nothing.",
)  # fmt: skip
OPERATIONS: Final = (*_QUESTIONS, *_MUTATIONS, APPLY_SCENARIO, *_ORDERS)


async def perform(
    operation: Operation, fields: Mapping[str, Any], desk: Desk, *,
    key: str | None = None, dry_run: bool = False,
) -> Answer:  # fmt: skip
    """Do what is asked for.

    Args:
        operation: What.
        fields: The request's fields, as JSON.
        desk: Where and on whose behalf.
        key: As `Plans.change`; only for mutations.
        dry_run: As `Plans.change`; a scenario is only checked.

    Raises:
        PlanError: It was refused.
    """
    request = requests.parse(operation.request, fields)
    if operation.ask is not None:
        return await operation.ask(desk.plans, request)
    if isinstance(request, ApplyScenario):
        if key is not None:
            raise PlanInputInvalid("a scenario takes no idempotency key; its plan's id is one")
        return await _apply_scenario(request, desk, dry_run=dry_run)
    mutation = cast("Mutation | OrderMutation", request)
    result = await desk.plans.change(mutation, desk.caller, key=key, dry_run=dry_run)
    return as_json(result, dry_run=dry_run)


async def _apply_scenario(request: ApplyScenario, desk: Desk, *, dry_run: bool) -> Answer:
    import asyncio

    from conductor_packs.plan.scenario import load
    from conductor_packs.plan.scenario_run import run, steps

    scenario = await asyncio.to_thread(load, desk.workspace, request.path)
    if dry_run:
        return {"dry_run": True, "steps": [step.place for step in steps(scenario)]}
    return await run(desk.plans, scenario)
