"""Looking every second whether there is something to do: the pack's background task.

Promise: a look is one read of the journal and one of the inbox's directory; it makes no file, waits
for no writer, and loads nothing of plans while there are none. Refusal: what is done is the feed's.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Final

from conductor_packs.plan.inbox_files import waiting
from conductor_packs.plan.settings import settings
from conductor_packs.plan.sql import load_sql
from conductor_sdk.clock import wire_time
from conductor_sdk.context import PackContext

POLL_S: Final = 1.0


async def run_watch(ctx: PackContext) -> None:
    """Call the feed whenever it has something to do, for as long as the daemon runs."""
    inbox = ctx.workspace / settings(ctx.config).gateway.inbox
    while True:
        if await due(ctx, inbox):
            from conductor_packs.plan.feed import tick

            await tick(ctx)
        await asyncio.sleep(POLL_S)


async def due(ctx: PackContext, inbox: Path) -> bool:
    """Tell whether a change waits to be pushed, a lease ran out or a file lies in the inbox."""
    now = wire_time(ctx.clock.now())
    if await ctx.journal.read(lambda connection: _due(connection, now)):
        return True
    return bool(await asyncio.to_thread(waiting, inbox, ctx.workspace))


def _due(connection: sqlite3.Connection, now: str) -> bool:
    sql = load_sql("watch")
    tables = len(connection.execute(sql["tables"]).fetchall())
    if tables == 1:  # made before changes were pushed: the feed adds what is missing
        return True
    return tables > 0 and bool(connection.execute(sql["due"], {"now": now}).fetchone()[0])
