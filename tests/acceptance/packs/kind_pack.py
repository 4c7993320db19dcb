"""Two packs that use everything of their context, and each other's kinds."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import msgspec

from conductor_sdk import (
    Handled,
    Ignored,
    KernelEvent,
    Outcome,
    Pack,
    PackContext,
    PackManifest,
    Replayed,
    Retry,
    Subscription,
    build_kernel_event_v2,
    idempotent,
)

ORDER, DONE, SEEN, HEARD = "kind:order", "kind:done", "kind:seen", "hearer:heard"


class Order(msgspec.Struct):
    """What an order holds."""

    item: str
    count: int = 1


def put(order: Order) -> Any:
    def work(connection: sqlite3.Connection) -> bool:
        connection.execute("CREATE TABLE IF NOT EXISTS orders (item TEXT, count INTEGER)")
        connection.execute("INSERT INTO orders VALUES (?, ?)", (order.item, order.count))
        return True

    return work


async def on_order(event: KernelEvent, ctx: PackContext) -> Outcome:
    order: Order = event.payload
    if order.item == ctx.config.get("forbidden"):
        return Ignored("forbidden by the configuration")
    await ctx.push(DONE, {"item": order.item}, key=event.event_id)
    seen = build_kernel_event_v2({"kind": SEEN, "from": ctx.subject, "item": order.item})
    receipts = await ctx.sync_port.push_kernel_events([seen])
    await ctx.journal.append("ORDER_TAKEN", {"item": order.item, "receipt": receipts[0].status})
    ctx.log.info("order", item=order.item, left=ctx.deadline is not None)
    # Last: what came before is repeated by a crash, this and its key are not.
    fresh = await ctx.storage.run_once(event.event_id, put(order))
    return Handled("taken") if fresh else Replayed()


async def beat(ctx: PackContext) -> None:
    """Push one event as the daemon starts, then live as long as it does."""
    await ctx.push(DONE, {"item": f"beat of {ctx.slug}"}, key="beat")
    await asyncio.Event().wait()


kind = Pack(
    manifest=PackManifest(
        id="kind", version="1.0.0", config_key="kindness",
        emitted_event_kinds=(DONE, SEEN), backpressure_policy={DONE: "queue", SEEN: "ephemeral"},
        subscribed_event_kinds=(ORDER,),
    ),
    handlers={ORDER: Subscription(on_order, payload=Order)},
    background=beat,
)  # fmt: skip


@idempotent(key=lambda event: f"heard:{event.payload['item']}")
async def on_heard(event: KernelEvent, ctx: PackContext) -> Outcome:
    if event.payload["item"] == "late" and not await ctx.replay_log.has("told"):
        await ctx.replay_log.put("told")
        return Retry("not yet", after_s=0.0)
    await ctx.push(HEARD, {"item": event.payload["item"]}, key=event.event_id)
    return Handled("heard")


hearer = Pack(
    manifest=PackManifest(
        id="hearer", version="1.0.0", emitted_event_kinds=(HEARD,),
        backpressure_policy={HEARD: "queue"}, subscribed_event_kinds=(ORDER, DONE),
    ),
    handlers={ORDER: on_heard, DONE: on_heard},
)  # fmt: skip
