"""The pack of the delivery suites: it does what each event asks for, and remembers.

`Desk` is the test's view of it; a test puts a fresh one into `desk` before the sidecar starts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conductor_sdk.context import PackContext
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Reject, Replayed, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack

SLUG = "delivery-pack"
ASKED = "conductor:job_asked"
ONCE = "conductor:job_asked_once"
GAP = "conductor:gap_detected"
QUEUED = "delivery-pack:thing_queued"
TRIED = "delivery-pack:thing_tried"
DEADLINE_S = 0.3
ATTEMPTS = 2


@dataclass
class Desk:
    """What the handlers saw, and the gate that some of them wait at."""

    handled: list[int] = field(default_factory=list)
    """Payload numbers, in the order in which they were handled."""
    calls: Counter[int] = field(default_factory=Counter)
    """Handler calls by payload number."""
    gaps: list[dict[str, Any]] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    mended: bool = False
    """Whether what failed works now."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Events that ask to `wait` wait for this."""


desk = Desk()


async def on_asked(event: KernelEvent, ctx: PackContext) -> Outcome:
    number, what = event.payload["n"], event.payload.get("do", "work")
    here = desk
    here.calls[number] += 1
    match what:
        case "raise" if not here.mended:
            raise RuntimeError("asked to")
        case "hang" if not here.mended:
            await asyncio.Event().wait()
        case "reject" if not here.mended:
            return Reject("asked to")
        case "keyed":
            if await ctx.replay_log.has("the same"):
                return Replayed()
            await ctx.replay_log.put("the same")
        case "push":
            await ctx.push(QUEUED, {"n": number}, key=str(number))
        case "wait":
            try:
                await here.gate.wait()
            except asyncio.CancelledError:
                here.cancelled.append(number)
                raise
        case _:
            pass
    here.handled.append(number)
    return Handled()


async def on_gap(event: KernelEvent, ctx: PackContext) -> Outcome:
    desk.gaps.append(event.payload)
    return Handled()


def lane_of(event: KernelEvent) -> str:
    return str(event.payload.get("lane", ""))


def _subscription(handler: Callable[..., Any], **choices: Any) -> Subscription:
    return Subscription(handler=handler, **choices)


pack = Pack(
    manifest=PackManifest(
        id=SLUG, version="1.0.0", emitted_event_kinds=(QUEUED, TRIED),
        subscribed_event_kinds=(ASKED, ONCE, GAP),
        backpressure_policy={QUEUED: "queue", TRIED: "ephemeral"},
    ),
    handlers={
        ASKED: _subscription(
            on_asked, partition_key=lane_of, deadline_s=DEADLINE_S, max_attempts=ATTEMPTS
        ),
        ONCE: _subscription(on_asked, partition_key=lane_of, deadline_s=30.0, max_attempts=1),
        GAP: on_gap,
    },
)  # fmt: skip
