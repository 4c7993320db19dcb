"""The pack of a world: it does to each event what its kind says, and leaves a trace of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from conductor_sdk.context import PackContext
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Reject, Replayed, Retry, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from simworld.life import Life, present

SLUG = "sim-pack"
ONCE = "conductor:once_asked"
KEYED = "conductor:keyed_asked"
PLAIN = "conductor:plain_asked"
FLAKY = "conductor:flaky_asked"
BAD = "conductor:bad_asked"
POISON = "conductor:poison_asked"
KILLER = "conductor:killer_asked"
NOBODY = "conductor:nobody_cares"
GAP = "conductor:gap_detected"
DONE = "sim-pack:thing_done"
SAID = "sim-pack:thing_said"
SEEN = "sim-pack:thing_seen"
HANDLED = (ONCE, KEYED, PLAIN, FLAKY)
"""The kinds that end well, sooner or later."""
BURIED = (BAD, POISON, KILLER)
ATTEMPTS = 3
"""Of the kinds that never end well."""
DEADLINE_S = 2.0
_TABLE = """
CREATE TABLE IF NOT EXISTS effects (
  place INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, lane TEXT NOT NULL,
  n INTEGER NOT NULL, life TEXT NOT NULL
)
"""


@dataclass
class Desk:
    """What the handlers did, as the world outside saw it."""

    dice: Random
    asked: asyncio.Queue[tuple[str, int, str | None]] = field(default_factory=asyncio.Queue)
    """Kind, number and key of events that the pack shall push."""
    queued: list[tuple[str, int]] = field(default_factory=list)
    """Id and number of what a push returned for, in order."""
    tried: Counter[str] = field(default_factory=Counter)
    """Receipts of ephemeral events, by status."""
    calls: Counter[str] = field(default_factory=Counter)
    plain: list[tuple[str, str, int, Life]] = field(default_factory=list)
    """Effects outside of any store: id, lane, number and whose it was."""
    gaps: list[dict[str, Any]] = field(default_factory=list)


def make_pack(desk: Desk) -> Pack:
    """Build the pack of one world."""
    made = _Handlers(desk)
    handlers = {
        ONCE: made.once, KEYED: made.keyed, PLAIN: made.plain, FLAKY: made.flaky,
        BAD: made.bad, KILLER: made.killer, POISON: made.poison, GAP: made.gap,
    }  # fmt: skip
    return Pack(
        manifest=PackManifest(
            id=SLUG, version="1.0.0", emitted_event_kinds=(DONE, SAID, SEEN),
            subscribed_event_kinds=tuple(handlers),
            backpressure_policy={DONE: "queue", SAID: "queue", SEEN: "ephemeral"},
        ),
        handlers={
            kind: Subscription(
                handler, partition_key=_lane, deadline_s=DEADLINE_S,
                max_attempts=ATTEMPTS if kind in BURIED else 10_000,
            )
            for kind, handler in handlers.items()
        },
        background=made.background,
    )  # fmt: skip


def _lane(event: KernelEvent) -> str:
    return str(event.payload.get("lane", "gap"))


def _record(event: KernelEvent, life: Life) -> Callable[[sqlite3.Connection], bool]:
    def work(connection: sqlite3.Connection) -> bool:
        connection.execute(_TABLE)
        payload = event.payload
        connection.execute(
            "INSERT INTO effects (event_id, lane, n, life) VALUES (?, ?, ?, ?)",
            (event.event_id, payload["lane"], payload["n"], life.name),
        )
        return True

    return work


class _Handlers:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def _work(self) -> None:
        if self._desk.dice.random() < 0.5:
            await asyncio.sleep(self._desk.dice.uniform(0, 0.3))

    async def _tell(self, event: KernelEvent, ctx: PackContext) -> None:
        payload = {"lane": event.payload["lane"], "n": event.payload["n"]}
        await ctx.push(DONE, payload, key=event.event_id)

    async def once(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        await self._work()
        await self._tell(event, ctx)
        fresh = await ctx.storage.run_once(event.event_id, _record(event, present()))
        return Handled() if fresh else Replayed()

    async def keyed(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        if await ctx.replay_log.has(event.event_id):
            return Replayed()
        await self._work()
        await ctx.storage.run(_record(event, present()))
        await ctx.replay_log.put(event.event_id)
        return Handled()

    async def plain(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        del ctx
        await self._work()
        life = present()
        life.check()
        payload = event.payload
        self._desk.plain.append((event.event_id, payload["lane"], payload["n"], life))
        return Handled()

    async def flaky(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        self._desk.calls[event.event_id] += 1
        if self._desk.calls[event.event_id] <= event.payload["fail"]:
            match event.payload["n"] % 3:
                case 0:
                    raise RuntimeError("asked to")
                case 1:
                    return Retry("asked to", after_s=0.5)
                case _:
                    await asyncio.Event().wait()
        return await self.once(event, ctx)

    async def bad(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        self._desk.calls[event.event_id] += 1
        raise RuntimeError("always")

    async def killer(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        """Take the process down, as an event does that eats all memory."""
        self._desk.calls[event.event_id] += 1
        present().die("of an event")
        await asyncio.Event().wait()
        return Handled()

    async def poison(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        return Reject("poison")

    async def gap(self, event: KernelEvent, ctx: PackContext) -> Outcome:
        del ctx
        present().check()
        self._desk.gaps.append(dict(event.payload))
        return Handled()

    async def background(self, ctx: PackContext) -> None:
        """Push what is asked for, one after the other."""
        while True:
            kind, number, key = await self._desk.asked.get()
            receipt = await ctx.push(kind, {"n": number}, key=key)
            present().check()
            if kind == SEEN:
                self._desk.tried[receipt.status] += 1
            else:
                self._desk.queued.append((receipt.event_id, number))
