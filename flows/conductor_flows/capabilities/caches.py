"""A cache in memory.

Promise: never more than `limit` values; the one that was not used for the longest time goes first.
Refusal: nothing survives the process.
"""

from __future__ import annotations

from collections import OrderedDict

from conductor_sdk.clock import Clock, SystemClock

LIMIT = 10_000
NEVER = float("inf")


class MemoryCache:
    """A `Cache`."""

    def __init__(self, *, clock: Clock | None = None, limit: int = LIMIT) -> None:
        self._clock = clock or SystemClock()
        self._limit = limit
        self._kept: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """See `Cache.get`."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= self._clock.monotonic():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found[0]

    async def set(self, key: str, value: bytes, ttl_s: float | None = None) -> None:
        """See `Cache.set`."""
        until = NEVER if ttl_s is None else self._clock.monotonic() + ttl_s
        self._kept[key] = (value, until)
        self._kept.move_to_end(key)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    async def remove(self, key: str) -> None:
        """See `Cache.remove`."""
        self._kept.pop(key, None)
