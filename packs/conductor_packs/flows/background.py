"""What the pack does while the daemon runs: it carries runs out.

Promise: without a configured flow nothing is opened, imported or done. Refusal: which runs, and in
what order, is the engine's.
"""

from __future__ import annotations

from conductor_packs.flows.context import context_of
from conductor_sdk.context import PackContext


async def run_background(ctx: PackContext) -> None:
    """Work until cancelled."""
    own = context_of(ctx)
    if await own.prepared():
        await own.engine.work()
