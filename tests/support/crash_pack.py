"""The pack of the crash suite: every effect is a row, with the process that made it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conductor_sdk.context import PackContext
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Reject, Replayed, Retry, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from crash_traffic import DONE, FLAKY, KEYED, ONCE, POISON, SEEN

SLUG = "crash-pack"
TABLE = """
CREATE TABLE IF NOT EXISTS effects (
  place INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL, kind TEXT NOT NULL, lane TEXT NOT NULL, n INTEGER NOT NULL,
  generation INTEGER NOT NULL
)
"""


@dataclass
class Hooks:
    """What the child process hands to its pack."""

    crash_point: Callable[[str], None] = field(default=lambda _: None)
    generation: int = 0
    tried: set[str] = field(default_factory=set)


hooks = Hooks()


def record(event: KernelEvent) -> Callable[[sqlite3.Connection], bool]:
    def work(connection: sqlite3.Connection) -> bool:
        connection.execute(TABLE)
        payload = event.payload
        connection.execute(
            "INSERT INTO effects (event_id, kind, lane, n, generation) VALUES (?, ?, ?, ?, ?)",
            (event.event_id, event.kind, payload["lane"], payload["n"], hooks.generation),
        )
        return True

    return work


async def tell(event: KernelEvent, ctx: PackContext) -> None:
    payload = {"lane": event.payload["lane"], "n": event.payload["n"]}
    await ctx.push(DONE, payload, key=event.event_id)
    await ctx.push(SEEN, payload)


async def on_once(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Effect and key in one commit; what else it does must come before."""
    await tell(event, ctx)
    hooks.crash_point("pack.before_effect")
    fresh = await ctx.storage.run_once(event.event_id, record(event))
    hooks.crash_point("pack.after_effect")
    return Handled() if fresh else Replayed()


async def on_keyed(event: KernelEvent, ctx: PackContext) -> Outcome:
    """Effect first, key after it: a crash between the two repeats the effect."""
    if await ctx.replay_log.has(event.event_id):
        return Replayed()
    await ctx.storage.run(record(event))
    hooks.crash_point("pack.between")
    await tell(event, ctx)
    await ctx.replay_log.put(event.event_id)
    return Handled()


async def on_flaky(event: KernelEvent, ctx: PackContext) -> Outcome:
    if event.event_id not in hooks.tried:
        hooks.tried.add(event.event_id)
        return Retry("first time", after_s=0.05)
    return await on_keyed(event, ctx)


async def on_poison(event: KernelEvent, ctx: PackContext) -> Outcome:
    return Reject("poison")


def lane_of(event: KernelEvent) -> str:
    return str(event.payload["lane"])


def _subscription(handler: Callable[[KernelEvent, Any], Any]) -> Subscription:
    return Subscription(handler=handler, partition_key=lane_of)


pack = Pack(
    manifest=PackManifest(
        id=SLUG, version="1.0.0", emitted_event_kinds=(DONE, SEEN),
        subscribed_event_kinds=(ONCE, KEYED, FLAKY, POISON),
        backpressure_policy={DONE: "queue", SEEN: "ephemeral"},
    ),
    handlers={
        ONCE: _subscription(on_once), KEYED: _subscription(on_keyed),
        FLAKY: _subscription(on_flaky), POISON: _subscription(on_poison),
    },
)  # fmt: skip
