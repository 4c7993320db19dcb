"""How fast one kind of log record may come.

Promise: each name has a token bucket of its own, so a flood of one record hides no other; what is
held back is counted and told. Refusal: nothing is written here, and no clock is read but the one
that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable

BURST = 100.0
"""Records of one name at once."""
PER_S = 10.0
"""Records of one name a second, for long."""
NAMES_MAX = 512
"""Names with a bucket of their own; names beyond share one. What packs log may have any name."""
TELL_S = 10.0
"""Seconds between two lines that tell of the same name."""
OTHERS = "(others)"


class _Bucket:
    __slots__ = ("at", "held", "left", "told")

    def __init__(self, burst: float, now: float) -> None:
        self.left = burst
        self.at = now
        self.held = 0
        """Records held back and not told of."""
        self.told = now


class Limiter:
    """One for the process."""

    def __init__(
        self, now: Callable[[], float], *, burst: float = BURST, per_s: float = PER_S
    ) -> None:
        self._now = now
        self._burst = burst
        self._per_s = per_s
        self._buckets: dict[str, _Bucket] = {}
        self.total = 0
        """Records held back since the start."""

    def admit(self, name: str) -> int | None:
        """Take a token: None where there is none, otherwise how many were held back before."""
        now = self._now()
        bucket = self._bucket(name, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.left < 1:
            bucket.held += 1
            self.total += 1
            return None
        bucket.left -= 1
        return self._told(bucket, now)

    def overdue(self) -> list[tuple[str, int]]:
        """Return the names that were held back and said nothing since, each with how often."""
        now = self._now()
        return [
            (name, self._told(bucket, now))
            for name, bucket in self._buckets.items()
            if bucket.held and now - bucket.told >= TELL_S
        ]

    def _bucket(self, name: str, now: float) -> _Bucket:
        found = self._buckets.get(name)
        if found is None:
            name = name if len(self._buckets) < NAMES_MAX else OTHERS
            found = self._buckets.setdefault(name, _Bucket(self._burst, now))
        return found

    def _told(self, bucket: _Bucket, now: float) -> int:
        held, bucket.held = bucket.held, 0
        if held:
            bucket.told = now
        return held
