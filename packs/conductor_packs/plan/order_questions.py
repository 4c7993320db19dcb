"""What can be asked about work orders without changing them.

Promise: an answer is one state of the orders, by turn. Refusal: nothing is written.
"""

from __future__ import annotations

import json

import msgspec

from conductor_packs.plan.errors import OrderNotFound
from conductor_packs.plan.gateway.records import StoredOrder
from conductor_packs.plan.gateway.requests import ListOrders, OfOrder
from conductor_packs.plan.questions import Answer
from conductor_packs.plan.reader import Reader
from conductor_packs.plan.sql import load_sql
from conductor_packs.plan.store import Plans


async def list_orders(plans: Plans, request: ListOrders) -> Answer:
    """Return orders by turn, and how many there are of each status."""
    sql = load_sql("gateway/statements")
    values = {"status": request.status, "target": request.target, "limit": request.limit}

    def work(reader: Reader, _now: str) -> tuple[list[StoredOrder], dict[str, int]]:
        rows = reader.connection.execute(sql["orders"], values).fetchall()
        counts = reader.connection.execute(sql["order_counts"]).fetchall()
        return [StoredOrder(*row) for row in rows], {row[0]: row[1] for row in counts}

    found, counts = await plans.read(work)
    return {"orders": [_shown(order) for order in found], "counts": counts}


async def show_order(plans: Plans, request: OfOrder) -> Answer:
    """Return one order.

    Raises:
        OrderNotFound: There is none.
    """
    query = load_sql("gateway/statements")["order"]

    def work(reader: Reader, _now: str) -> StoredOrder | None:
        row = reader.connection.execute(query, (request.wo_id,)).fetchone()
        return None if row is None else StoredOrder(*row)

    found = await plans.read(work)
    if found is None:
        raise OrderNotFound(repr(request.wo_id), data={"wo_id": request.wo_id})
    return {"order": _shown(found)}


def _shown(order: StoredOrder) -> Answer:
    fields = msgspec.to_builtins(order)
    return {**fields, "body": json.loads(order.body)}
