"""Ships orders, in order for each customer, when the item is in stock."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from conductor_sdk import (
    Handled,
    KernelEvent,
    Outcome,
    Pack,
    PackContext,
    PackManifest,
    Retry,
    Subscription,
    idempotent,
)

PLACED = "web:order_placed"
RESTOCKED = "web:item_restocked"
SHIPPED = "shop:order_shipped"


@dataclass(frozen=True)
class Order:
    """The payload of an order; another shape is a dead letter, not a retry."""

    customer: str
    item: str


def stock(db: sqlite3.Connection) -> set[str]:
    """Read what is in stock; pens always are."""
    db.execute("CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY)")
    return {"pen", *(row[0] for row in db.execute("SELECT item FROM stock"))}


@idempotent(key=lambda event: f"order:{event.event_id}")
async def on_order_placed(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Ship, or try again in half a second."""
    order: Order = event.payload
    if order.item not in await ctx.storage.run(stock):
        return Retry("out of stock", after_s=0.5)
    shipped = {"customer": order.customer, "item": order.item}
    # The order's id as key: should this attempt be repeated, it is the same event again.
    await ctx.push(SHIPPED, shipped, key=event.event_id)
    return Handled("shipped")


@idempotent(key=lambda event: f"restock:{event.event_id}")
async def on_item_restocked(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Take an item into stock; an upsert, so twice is once."""
    item = str(event.payload["item"])

    def upsert(db: sqlite3.Connection) -> None:
        stock(db)
        db.execute("INSERT INTO stock VALUES (?) ON CONFLICT DO NOTHING", (item,))

    await ctx.storage.run(upsert)
    return Handled("restocked")


pack = Pack(
    manifest=PackManifest(
        id="shop",
        version="0.1.0",
        subscribed_event_kinds=[PLACED, RESTOCKED],
        emitted_event_kinds=[SHIPPED],
        backpressure_policy={SHIPPED: "queue"},
    ),
    handlers={
        PLACED: Subscription(
            on_order_placed,
            payload=Order,
            # Given the event as it came: the key is chosen before the payload is checked.
            partition_key=lambda event: f"customer:{event.payload.get('customer')}",
            max_attempts=10_000,
        ),
        RESTOCKED: Subscription(
            on_item_restocked, partition_key=lambda event: f"item:{event.payload.get('item')}"
        ),
    },
    samples={PLACED: [{"customer": "ada", "item": "pen"}], RESTOCKED: [{"item": "lamp"}]},
)
