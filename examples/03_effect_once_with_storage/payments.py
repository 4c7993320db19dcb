"""The same effect, recorded in two ways, under a crash at the worst moment."""

from __future__ import annotations

import asyncio
import sqlite3

from conductor_sdk import (
    Handled,
    Handler,
    KernelEvent,
    Outcome,
    Pack,
    PackContext,
    PackManifest,
    Replayed,
)
from conductor_sdk.testing import PackHarness

RECEIVED = "bank:payment_received"


def book(db: sqlite3.Connection, amount: int) -> None:
    """Book an amount: an effect that must not happen twice."""
    db.execute("CREATE TABLE IF NOT EXISTS bookings (amount INTEGER NOT NULL)")
    db.execute("INSERT INTO bookings VALUES (?)", (amount,))


async def key_after_effect(event: KernelEvent, ctx: PackContext) -> Outcome:
    """At least once: between the two awaits a crash leaves the effect without its key."""
    if await ctx.replay_log.has(event.event_id):
        return Replayed()
    await ctx.storage.run(lambda db: book(db, event.payload["amount"]))
    await ctx.replay_log.put(event.event_id)
    return Handled("booked")


async def effect_with_key(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Once: effect and key are one commit, so there is no between."""

    def work(db: sqlite3.Connection) -> bool:
        book(db, event.payload["amount"])
        return True

    done = await ctx.storage.run_once(event.event_id, work)
    return Handled("booked") if done else Replayed()


async def bookings_after_a_crash(handler: Handler) -> int:
    """Crash between effect and record, deliver the event again, count."""
    manifest = PackManifest(id="payments", version="0.1.0", subscribed_event_kinds=[RECEIVED])
    event = {"kind": RECEIVED, "event_id": "evt-payment-1", "payload": {"amount": 100}}
    async with PackHarness(Pack(manifest, {RECEIVED: handler})) as harness:
        await harness.crash_between_effect_and_key(event)
        await harness.deliver(event)
        rows = await harness.storage.run(
            lambda db: db.execute("SELECT amount FROM bookings").fetchall()
        )
    return len(rows)


async def main() -> None:
    """Compare the two."""
    after = await bookings_after_a_crash(key_after_effect)
    together = await bookings_after_a_crash(effect_with_key)
    print(f"key after the effect: booked {after} times")
    print(f"effect and key together: booked {together} time")


if __name__ == "__main__":
    asyncio.run(main())
