"""Work orders in the plan's tables: taken in once, handed out by turn, given up in the end.

Promise: of any number of callers one gets an order; an order that was carried out is never carried
out again, and one that failed is never skipped as known. Refusal: nothing is executed here.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, assert_never

import msgspec

from conductor_packs.plan import events
from conductor_packs.plan.batch import PACK_ACTOR, Batch
from conductor_packs.plan.errors import (
    NoOrderDue,
    OrderInFlight,
    OrderNotFound,
    OrderNotHeld,
    OrderRefused,
    PlanInputInvalid,
)
from conductor_packs.plan.gateway.orders import Order, normalise
from conductor_packs.plan.gateway.records import StoredOrder
from conductor_packs.plan.gateway.requests import (
    ClaimOrder,
    CompleteOrder,
    FailOrder,
    OrderMutation,
    RedriveOrder,
    SubmitOrder,
)
from conductor_packs.plan.gateway.routing import backoff, route
from conductor_packs.plan.records import Changed, Result, Unchanged
from conductor_packs.plan.routes import Routes
from conductor_packs.plan.sql import load_sql
from conductor_sdk.chain.canonical import canonical_json


def perform_order(batch: Batch, request: OrderMutation) -> Result:
    """Make one change to the orders.

    Raises:
        PlanError: It was refused.
    """
    match request:
        case SubmitOrder():
            return submit(batch, request)
        case ClaimOrder():
            return claim(batch, request)
        case CompleteOrder():
            return complete(batch, request)
        case FailOrder():
            return fail(batch, request)
        case RedriveOrder():
            return redrive(batch, request)
        case _:
            assert_never(request)


def submit(batch: Batch, request: SubmitOrder) -> Result:
    """Take an order in: normalised, routed and queued; the same one again changes nothing.

    Raises:
        OrderRefused: It is malformed, or goes nowhere; that is in the journal.
        OrderInFlight: Its id is another order's that is not finished.
    """
    routes = batch.settings.gateway
    source = request.source or batch.caller.actor
    try:
        order = normalise(request.order, source)
        target, rule = route(order, routes)
    except OrderRefused as error:
        named = request.order.get("wo_id")
        refusal: dict[str, Any] = {
            "wo_id": named if isinstance(named, str) else "", "source": source,
                 "reason": error.detail[:500], "action": "SUBMIT_ORDER"}  # fmt: skip
        batch.refuse(events.ORDER_REFUSED, refusal, error)
    digest = _digest(order)
    known = find(batch, order.wo_id)
    if known is not None and known.status != "DEAD":
        if known.digest == digest:
            return Unchanged(order.wo_id, known.attempts, "wo_id")
        raise OrderInFlight(f"{order.wo_id!r} is {known.status}", data={"wo_id": order.wo_id})
    about: dict[str, Any] = {
        "wo_id": order.wo_id, "title": order.title, "target": target, "rule": rule,
        "priority": order.priority, "not_before": order.not_before, "source": source,
        "body": order.body, "digest": digest,
    }  # fmt: skip
    return batch.record(events.ORDER_RECEIVED, about, {"status": "QUEUED", "target": target})


def claim(batch: Batch, request: ClaimOrder) -> Changed:
    """Take the order of a target whose turn it is: by priority, then by arrival.

    Raises:
        NoOrderDue: There is none now.
        PlanInputInvalid: No such target takes orders.
    """
    routes = batch.settings.gateway
    if request.target not in routes.targets:
        raise PlanInputInvalid(f"no such target: {request.target!r}")
    expire_orders(batch)
    query = load_sql("gateway/statements")["next_order"]
    values = {"target": request.target, "now": batch.now}
    row = batch.read.connection.execute(query, values).fetchone()
    if row is None:
        raise NoOrderDue(repr(request.target))
    order = StoredOrder(*row)
    about = {
        "wo_id": order.wo_id, "target": order.target, "priority": order.priority,
        "holder": batch.caller.actor, "token": order.token + 1, "attempt": order.attempts + 1,
        "lease_until": batch.later(request.ttl_s or routes.lease_s), "title": order.title,
    }  # fmt: skip
    changed = batch.record(events.ORDER_CLAIMED, about, {"status": "CLAIMED"})
    body = json.loads(order.body)
    return msgspec.structs.replace(changed, payload={**changed.payload, "body": body})


def complete(batch: Batch, request: CompleteOrder) -> Changed:
    """Say that an order was carried out.

    Raises:
        OrderNotHeld: The token is not the present holder's.
    """
    order = _held(batch, request.wo_id, request.token)
    about = _ending(order, "DONE", None) | {"result": request.result}
    return batch.record(events.ORDER_COMPLETED, about, {"status": "DONE"})


def fail(batch: Batch, request: FailOrder) -> Changed:
    """Say that an attempt failed.

    Raises:
        OrderNotHeld: The token is not the present holder's.
    """
    order = _held(batch, request.wo_id, request.token)
    return _failed(batch, order, request.error, None)


def redrive(batch: Batch, request: RedriveOrder) -> Changed:
    """Queue an order again that was given up.

    Raises:
        OrderNotFound: There is none.
        OrderInFlight: It was not given up.
    """
    order = get(batch, request.wo_id)
    if order.status != "DEAD":
        raise OrderInFlight(f"{order.wo_id!r} is {order.status}", data={"wo_id": order.wo_id})
    return batch.record(events.ORDER_REDRIVEN, {"wo_id": order.wo_id}, {"status": "QUEUED"})


def expire_orders(batch: Batch) -> list[Changed]:
    """Count an attempt as failed whose holder was not heard of for too long."""
    query = load_sql("gateway/statements")["overdue_orders"]
    rows = batch.read.connection.execute(query, (batch.now,)).fetchall()
    return [_failed(batch, StoredOrder(*row), "the lease ran out", PACK_ACTOR) for row in rows]


def find(batch: Batch, wo_id: str) -> StoredOrder | None:
    """Return an order, or None."""
    query = load_sql("gateway/statements")["order"]
    row = batch.read.connection.execute(query, (wo_id,)).fetchone()
    return None if row is None else StoredOrder(*row)


def get(batch: Batch, wo_id: str) -> StoredOrder:
    """Return an order.

    Raises:
        OrderNotFound: There is none.
    """
    found = find(batch, wo_id)
    if found is None:
        raise OrderNotFound(repr(wo_id), data={"wo_id": wo_id})
    return found


def _failed(batch: Batch, order: StoredOrder, error: str, actor: str | None) -> Changed:
    routes: Routes = batch.settings.gateway
    if order.attempts >= routes.max_attempts:
        about = _ending(order, "DEAD", error)
        return batch.record(events.ORDER_DEAD, about, {"status": "DEAD"}, actor=actor)
    wait_s = backoff(order.wo_id, order.attempts, routes)
    about = _ending(order, "QUEUED", error) | {"not_before": batch.later(wait_s)}
    return batch.record(events.ORDER_ATTEMPT_FAILED, about, {"status": "QUEUED"}, actor=actor)


def _ending(order: StoredOrder, status: str, error: str | None) -> dict[str, Any]:
    return {
        "wo_id": order.wo_id, "target": order.target, "holder": order.holder,
        "token": order.token, "attempt": order.attempts, "status": status, "error": error,
        "not_before": order.not_before,
    }  # fmt: skip


def _held(batch: Batch, wo_id: str, token: int) -> StoredOrder:
    expire_orders(batch)
    order = get(batch, wo_id)
    if order.status != "CLAIMED" or order.token != token:
        facts = {"wo_id": wo_id, "status": order.status, "holder": order.holder}
        raise OrderNotHeld(f"{wo_id!r} is {order.status}", data=facts)
    return order


def _digest(order: Order) -> str:
    """Return what tells two orders apart, wherever they came from."""
    fields = msgspec.to_builtins(msgspec.structs.replace(order, source=""))
    return hashlib.sha256(canonical_json(fields).encode()).hexdigest()
