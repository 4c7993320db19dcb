"""A token bucket.

Promise: never more than `burst` at once and `per_s` a second in the long run. Refusal: no clock.
"""

from __future__ import annotations

from conductor_flows.execute.plan import Rate


class Bucket:
    """Begins full."""

    __slots__ = ("_at", "_level", "_plan")

    def __init__(self, plan: Rate, now: float) -> None:
        self._plan = plan
        self._level = float(plan.burst)
        self._at = now

    def wait_s(self, now: float) -> float:
        """Return how long until a token is there; 0: now."""
        grown = (now - self._at) * self._plan.per_s
        self._level, self._at = min(self._level + grown, float(self._plan.burst)), now
        # A wait that ends a rounding too early would be waited for again and again.
        return 0.0 if self._level >= 1.0 - 1e-9 else (1.0 - self._level) / self._plan.per_s

    def take(self) -> None:
        """Use a token."""
        self._level -= 1.0
