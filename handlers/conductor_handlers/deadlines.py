"""The keeper of deadlines: cancels what takes too long.

Promise: an attempt is cancelled within a fiftieth of a second of its deadline, and again every
second that it does not listen. Refusal: what comes of it is the worker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from conductor_handlers.attempt import Attempt


async def keep_deadlines(attempts: Sequence[Attempt]) -> NoReturn:
    """Look at attempts, which come and go, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        now = loop.time()
        for attempt in attempts:
            attempt.expire(now)
        running = [a.deadline for a in attempts if a.job is not None]
        nearest = min(running, default=now + 1.0) - now
        await asyncio.sleep(min(1.0, max(0.02, nearest)))
