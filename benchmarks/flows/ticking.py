"""Items that are due at a time of their own.

Promise: item `k` is due `k` periods after the stream has begun, however late the one before was;
each says when it was due, by the clock that all processes of a machine share. Refusal: an item that
is late is not left out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec


class Asked(msgspec.Struct, frozen=True):
    """How many, and how often."""

    items: int
    every_s: float


class Tick(msgspec.Struct, frozen=True):
    """One item."""

    number: int
    due_s: float
    """By `time.monotonic`."""


async def ticks(asked: Asked) -> AsyncIterator[Tick]:
    """Give each item when it is due."""
    begin = time.monotonic()
    for number in range(1, asked.items + 1):
        due_s = begin + number * asked.every_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        yield Tick(number, due_s)
