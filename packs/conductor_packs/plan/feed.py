"""Telling the conductor what changed, ending leases that ran out, taking order files in.

Promise: every change of a plan, whoever made it, is pushed once, in the journal's order, from the
commit that made it; a crash in between repeats a push with the same event id. Refusal: heartbeats
are not pushed, and nothing of a plan is decided here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from conductor_packs.plan.events import pushed_kind
from conductor_packs.plan.order_inbox import take_in
from conductor_packs.plan.settings import settings
from conductor_packs.plan.store import Plans, Unsent
from conductor_sdk.context import PackContext
from conductor_sdk.errors import EventRefused
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2

_BATCH: Final = 100
_HEAVY: Final = frozenset({"request", "result", "change", "changes"})
"""What may be left out of an event that would otherwise be too large."""


async def tick(ctx: PackContext, plans: Plans | None = None) -> int:
    """End leases, take in order files, push what waits; returns how much was pushed."""
    plans = plans or Plans(ctx.journal, ctx.clock, settings(ctx.config))
    for expired in await plans.expire():
        about = expired.payload.get("item_id") or expired.payload["wo_id"]
        ctx.log.info("plan_lease_expired", about=about)
    for taken in await take_in(plans, ctx.workspace):
        ctx.log.info("order_file_taken", name=taken.name, moved_to=taken.moved_to)
    pushed = 0
    while changes := await plans.unsent(_BATCH):
        await _push(ctx, changes)
        await plans.sent(changes)
        pushed += len(changes)
    return pushed


async def _push(ctx: PackContext, changes: Sequence[Unsent]) -> None:
    try:
        await ctx.sync_port.push_kernel_events([_event(ctx, each) for each in changes])
    except EventRefused:  # one of them is: the others must not wait for it
        for each in changes:
            await _push_alone(ctx, each)


async def _push_alone(ctx: PackContext, change: Unsent) -> None:
    try:
        await ctx.sync_port.push_kernel_events([_event(ctx, change)])
    except EventRefused:
        try:
            await ctx.sync_port.push_kernel_events([_event(ctx, change, without=_HEAVY)])
        except EventRefused as error:
            ctx.log.warning("plan_change_not_pushed", sequence=change.sequence, code=error.code)


def _event(
    ctx: PackContext, change: Unsent, *, without: frozenset[str] = frozenset()
) -> KernelEvent:
    said: dict[str, Any] = json.loads(change.payload)
    payload = {name: value for name, value in said.items() if name not in without}
    payload |= {
        "sequence": change.sequence, "entry_hash": change.entry_hash,
        "event_type": change.event_type, "actor": change.actor,
    }  # fmt: skip
    if without:
        payload["left_out"] = sorted(without.intersection(said))
    fields = {"kind": pushed_kind(change.event_type), "from": ctx.subject, "payload": payload}
    return build_kernel_event_v2(fields, idempotency_key=change.entry_hash, clock=ctx.clock)
