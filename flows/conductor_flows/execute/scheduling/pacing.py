"""A token bucket.

Promise: never more than `burst` at once and `per_s` a second in the long run. Refusal: no clock.
"""

from __future__ import annotations

from conductor_flows.execute.planning.plan import STALL_S, Rate

INF = float("inf")


class Bucket:
    """Begins full."""

    __slots__ = ("_at", "_level", "_plan", "_spent_since", "_waited")

    def __init__(self, plan: Rate, now: float) -> None:
        self._plan = plan
        self._level = float(plan.burst)
        self._at = now
        self._spent_since: float | None = None
        """When a token was missing first; None: one was there for the last item."""
        self._waited = False

    def wait_s(self, now: float) -> float:
        """Return how long until a token is there; 0: now."""
        grown = (now - self._at) * self._plan.per_s
        self._level, self._at = min(self._level + grown, float(self._plan.burst)), now
        # A wait that ends a rounding too early would be waited for again and again.
        if self._level >= 1.0 - 1e-9:
            return 0.0
        self._waited = True
        if self._spent_since is None:
            self._spent_since = now
        return (1.0 - self._level) / self._plan.per_s

    def take(self) -> None:
        """Use a token."""
        self._level -= 1.0
        if not self._waited:
            self._spent_since = None
        self._waited = False

    def stalled(self, now: float) -> bool:
        """Whether every item has had to wait for long; said once, until one has not."""
        if self._spent_since is None or now - self._spent_since < STALL_S:
            return False
        self._spent_since = INF
        return True
