"""What the pack does by itself while the daemon runs: its outbox, and routines where they may run.

Promise: a storage that fails for a while is tried again, and nothing is lost meanwhile. Refusal:
without `run_routines = true` no routine is ever run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from conductor_packs.sidekick.context import SidekickContext
from conductor_packs.sidekick.runner import Runner
from conductor_sdk.context import PackContext
from conductor_sdk.errors import ConductorError

LOOK_AGAIN_S = 5.0
"""How long another process's change may go unseen."""
_AT_LEAST_S = 0.05

Work = Callable[[], Awaitable[datetime | None]]


async def run_background(ctx: PackContext) -> None:
    """Work until cancelled."""
    mine = SidekickContext(ctx)
    try:
        async with asyncio.TaskGroup() as group:
            outbox = mine.outbox()
            group.create_task(_repeat(outbox.deliver_due, ctx, "outbox"), name="sidekick.outbox")
            if ctx.config.get("run_routines") is True:
                runner = Runner(mine.storage_port(), ctx)
                group.create_task(_repeat(runner.run_due, ctx, "runner"), name="sidekick.runner")
    finally:
        await mine.storage_port().close()


async def _repeat(work: Work, ctx: PackContext, name: str) -> None:
    while True:
        wait_s = LOOK_AGAIN_S
        try:
            due = await work()
        except ConductorError as error:
            ctx.log.warning("sidekick_work_failed", work=name, code=error.code, error=error.message)
        else:
            if due is not None:
                wait_s = min(wait_s, (due - ctx.clock.now()).total_seconds())
        await asyncio.sleep(max(_AT_LEAST_S, wait_s))
