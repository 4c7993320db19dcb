"""Runs that were left in the middle: whoever worked on them is gone.

Promise: a run is found once for each time that it was left, some moments after its lease has run
out; few are read at a time, and all of them in turn. After a jump of the clock, or a sleep of the
machine, whoever still works has the time of a lease to say so. Refusal: a run that failed, or was
cancelled, is not among them: it gave its lease up, and somebody was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from conductor_flows.durable.ports import LEASES_READ, Lease
from conductor_flows.durable.services import Durability
from conductor_sdk.clock import epoch_ms

GRACE_MS: Final = 2000
"""After a lease has run out: whoever has it may only be late."""
READ_MAX: Final = LEASES_READ
"""Leases that are read at a time."""


@dataclass(frozen=True, slots=True)
class Left:
    """A run that was left."""

    checkpoint_id: str
    holder: str
    """Of the lease."""


class LeftRuns:
    """Those of one place; none is found where nobody can tell its leases."""

    def __init__(self, durability: Durability) -> None:
        self._book = durability.leases
        self._clock = durability.clock
        self._after = ""
        self._passed: set[str] = set()
        """Holders of leases that nothing can be done about."""
        self._met: set[str] = set()
        self._times: tuple[int, float] | None = None
        """Of the last look: milliseconds since 1970, and seconds that do not jump."""
        self._jumped_s: float | None = None
        """When it was seen that the clock had jumped."""

    async def found(self) -> list[Left]:
        """Return those among the next leases."""
        if self._book is None:
            return []
        page = await self._book.leases(after=self._after, limit=READ_MAX)
        now_ms, now_s = self._look()
        self._met.update(lease.holder for lease in page.leases)
        self._after = page.more_after
        if not self._after:  # all were met: what is gone need not be remembered
            self._passed &= self._met
            self._met = set()
        return [
            Left(lease.checkpoint_id, lease.holder)
            for lease in page.leases
            if self._is_left(lease, now_ms, now_s) and lease.holder not in self._passed
        ]

    def pass_over(self, left: Left) -> None:
        """Do not give this one again, until somebody has taken it up and left it again."""
        self._passed.add(left.holder)

    def _look(self) -> tuple[int, float]:
        now_ms, now_s = epoch_ms(self._clock.now()), self._clock.monotonic()
        if self._times is not None:
            before_ms, before_s = self._times
            if abs((now_ms - before_ms) - (now_s - before_s) * 1000) > GRACE_MS:
                self._jumped_s = now_s
        self._times = now_ms, now_s
        return now_ms, now_s

    def _is_left(self, lease: Lease, now_ms: int, now_s: float) -> bool:
        if lease.holds(now_ms) or lease.holds(now_ms - GRACE_MS):
            return False
        return self._jumped_s is None or now_s >= self._jumped_s + lease.ttl_ms / 1000
