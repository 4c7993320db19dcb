"""What can be asked about plans without changing them.

Promise: an answer is one state of the plan, as JSON values, in a fixed order. Refusal: nothing is
written, and a question about what is not there is an error, not an empty answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from conductor_packs.plan.graph import Graph, Need
from conductor_packs.plan.reader import Reader
from conductor_packs.plan.records import Item
from conductor_packs.plan.requests import Id, Name, Request
from conductor_packs.plan.states import HANDSHAKE, MOVES
from conductor_packs.plan.store import Plans

Answer: TypeAlias = dict[str, Any]


class ListPlans(Request, frozen=True, kw_only=True):
    """List the plans of the workspace."""


class OfPlan(Request, frozen=True, kw_only=True):
    """Ask about a plan."""

    plan_id: Id


class Ready(OfPlan, frozen=True, kw_only=True):
    """Ask what can be started now."""

    actor: Name | None = None
    """Leave out what is assigned to others."""
    limit: Annotated[int, Meta(ge=1, le=100_000)] = 50


class OfItem(Request, frozen=True, kw_only=True):
    """Ask about an item."""

    item_id: Id


async def list_plans(plans: Plans, _request: ListPlans) -> Answer:
    """Return every plan, oldest first."""
    found = await plans.read(lambda reader, _now: reader.plans())
    return {"plans": msgspec.to_builtins(found)}


async def show_plan(plans: Plans, request: OfPlan) -> Answer:
    """Return a plan with its items, links, claims and reservations."""
    board = await plans.read(lambda reader, now: reader.board(request.plan_id, now))
    held = [claim for claim in board.claims.values() if claim.actor is not None]
    ours = {item.item_id for item in board.items}
    return {
        "plan": msgspec.to_builtins(board.plan),
        "items": msgspec.to_builtins(board.items),
        "links": msgspec.to_builtins(board.links),
        "claims": msgspec.to_builtins(held),
        "reservations": msgspec.to_builtins([e for e in board.reservations if e.item_id in ours]),
    }


async def list_items(plans: Plans, request: OfPlan) -> Answer:
    """Return a plan's items, oldest first."""

    def work(reader: Reader, _now: str) -> list[Item]:
        reader.plan(request.plan_id)
        return reader.items(request.plan_id)

    return {"items": msgspec.to_builtins(await plans.read(work))}


async def ready(plans: Plans, request: Ready) -> Answer:
    """Return what can be started now, best first, with the reasons for the order."""
    graph = await _graph(plans, request.plan_id)
    found = graph.ready(None if request.actor is None else {request.actor})
    return {
        "plan_id": request.plan_id,
        "ready": [_ranked(graph, item) for item in found[: request.limit]],
        "count": len(found),
    }


async def next_item(plans: Plans, request: Ready) -> Answer:
    """Return the best item to start now, or null."""
    graph = await _graph(plans, request.plan_id)
    found = graph.ready(None if request.actor is None else {request.actor})
    return {
        "plan_id": request.plan_id,
        "next": _ranked(graph, found[0]) if found else None,
        "count": len(found),
    }


async def blocked(plans: Plans, request: OfPlan) -> Answer:
    """Return the open items that wait, each with what it waits for."""
    graph = await _graph(plans, request.plan_id)
    found = graph.blocked()
    return {
        "plan_id": request.plan_id,
        "blocked": [
            {
                "item_id": item.item_id, "title": item.title, "state": item.state,
                "waits_for": msgspec.to_builtins(graph.needs[item.item_id]),
            }
            for item in found
        ],
        "count": len(found),
    }  # fmt: skip


async def waves(plans: Plans, request: OfPlan) -> Answer:
    """Return the open items in rounds, each of which can be worked on in parallel."""
    found = (await _graph(plans, request.plan_id)).waves()
    width = max(map(len, found), default=0)
    return {"plan_id": request.plan_id, "waves": found, "parallel": width}


async def critical_path(plans: Plans, request: OfPlan) -> Answer:
    """Return the longest chain of open items and the slack of every open item, in minutes."""
    graph = await _graph(plans, request.plan_id)
    return {
        "plan_id": request.plan_id,
        "critical_path": graph.critical_path(),
        "length": graph.schedule.length,
        "slack": {item_id: graph.schedule.slack(item_id) for item_id in graph.order},
        "bottlenecks": [
            {"item_id": item_id, "unblocks": -count}
            for count, item_id in sorted(_freed(graph))[:10]
        ],
    }


def _freed(graph: Graph) -> list[tuple[int, str]]:
    counts = [(-graph.unblocks(item_id), item_id) for item_id in graph.order]
    return [each for each in counts if each[0]]


async def explain(plans: Plans, request: OfItem) -> Answer:
    """Return why an item can or cannot be worked on now, and what may happen to it next."""

    def work(reader: Reader, now: str) -> tuple[Graph, Item, list[str]]:
        item = reader.item(request.item_id)
        paths = [each.path for each in reader.reservations() if each.item_id == item.item_id]
        graph = Graph(reader.board(item.plan_id, now), plans.settings.strike_limit)
        return graph, item, paths

    graph, item, paths = await plans.read(work)
    claim = graph.claim(item)
    needs: Sequence[Need] = () if item.closed else graph.needs[item.item_id]
    last = graph.board.claims.get(item.item_id)
    return {
        "item": msgspec.to_builtins(item),
        "ready": item in graph.ready(),
        "reasons": _reasons(graph, item),
        "waits_for": msgspec.to_builtins(needs),
        "waiting": graph.dependents[item.item_id],
        "unblocks": graph.unblocks(item.item_id),
        "slack": None if item.closed else graph.schedule.slack(item.item_id),
        "claim": None if claim is None else msgspec.to_builtins(claim),
        "strikes": 0 if last is None else last.strikes,
        "paths": paths,
        "legal_states": list(MOVES[item.state]),
        "next_exec_status": None if item.closed else HANDSHAKE[item.exec_status],
    }


def _reasons(graph: Graph, item: Item) -> list[str]:
    """Say in words what keeps an item from being started; empty: nothing does."""
    reasons: list[str] = []
    if graph.board.plan.status != "ACTIVE":
        reasons.append("its plan is archived")
    if item.kind == "NOTE":
        reasons.append("it is a note, not work")
    claim = graph.claim(item)
    if claim is not None and claim.held(graph.board.now):
        reasons.append(f"{claim.actor} holds it until {claim.lease_until}")
    elif claim is not None:
        reasons.append(f"{claim.actor} held it; the lease ran out at {claim.lease_until}")
    elif item.state != "TODO":
        reasons.append(f"it is {item.state}")
    needs: Sequence[Need] = () if item.closed else graph.needs[item.item_id]
    for need in needs:
        word = "waits for" if need.link_type == "DEPENDS_ON" else "its part is open:"
        more = "; remove the link, or bring it back" if need.state == "CANCELLED" else ""
        reasons.append(f"{word} {need.item_id}, which is {need.state}{more}")
    return reasons


def _ranked(graph: Graph, item: Item) -> Answer:
    return {
        "item_id": item.item_id, "title": item.title, "kind": item.kind, "state": item.state,
        "priority": item.priority, "due_ts": item.due_ts, "assigned_to": item.assigned_to,
        "version": item.version, "unblocks": graph.unblocks(item.item_id),
        "slack": graph.schedule.slack(item.item_id),
        "chain": graph.schedule.tails[item.item_id],
    }  # fmt: skip


async def _graph(plans: Plans, plan_id: str) -> Graph:
    board = await plans.read(lambda reader, now: reader.board(plan_id, now))
    return Graph(board, plans.settings.strike_limit)
