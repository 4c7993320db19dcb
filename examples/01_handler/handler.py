"""A pack in one file, and the harness that drives it."""

from __future__ import annotations

import asyncio

from conductor_sdk import (
    Handled,
    Ignored,
    KernelEvent,
    Outcome,
    Pack,
    PackContext,
    PackManifest,
    idempotent,
)
from conductor_sdk.testing import PackHarness

JOINED = "team:member_joined"
GREETED = "hello:greeted"


@idempotent(key=lambda event: f"greet:{event.event_id}")
async def on_member_joined(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Greet whoever joined, once."""
    name = event.payload.get("name")
    if not name:
        return Ignored("nobody-to-greet")
    await ctx.push(GREETED, {"name": name}, key=f"{event.event_id}:greeted")
    return Handled("greeted")


pack = Pack(
    manifest=PackManifest(
        id="hello",
        version="0.1.0",
        subscribed_event_kinds=[JOINED],
        emitted_event_kinds=[GREETED],
        backpressure_policy={GREETED: "queue"},
    ),
    handlers={JOINED: on_member_joined},
)


async def main() -> None:
    """Deliver an event, deliver it again, deliver one that is not for the pack."""
    async with PackHarness(pack) as harness:
        first = await harness.deliver({"kind": JOINED, "payload": {"name": "ada"}})
        again = await harness.deliver_again()
        other = await harness.deliver({"kind": JOINED, "payload": {}})
    print(f"greeted ada: {first.status}")
    print(f"the same event again: {again.status}")
    print(f"greeted nobody: {other.status}")
    for event in harness.pushed:
        print(f"pushed {event.kind} for {event.payload['name']}")


if __name__ == "__main__":
    asyncio.run(main())
