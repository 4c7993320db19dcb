"""Time and chance that can be pinned.

Promise: a pinned clock and a seeded generator give the same in every run. Refusal: a seeded
generator makes no secrets.
"""

from __future__ import annotations

import random
import secrets
from datetime import datetime


class PinnedClock:
    """A `Clock` that stands still."""

    def __init__(self, at: datetime) -> None:
        """Pin the time to an aware moment."""
        if at.tzinfo is None:
            raise ValueError("the moment has no time zone")
        self._at = at

    def now(self) -> datetime:
        """Return the moment."""
        return self._at

    def monotonic(self) -> float:
        """Return the moment in seconds since 1970."""
        return self._at.timestamp()


class SeededRng:
    """An `Rng` with a known course."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # a known course is what it is for

    def random(self) -> float:
        """See `Rng.random`."""
        return self._random.random()

    def bytes(self, count: int) -> bytes:
        """See `Rng.bytes`."""
        return self._random.randbytes(count)


class SystemRng:
    """An `Rng` from the operating system."""

    def random(self) -> float:
        """See `Rng.random`."""
        return secrets.SystemRandom().random()

    def bytes(self, count: int) -> bytes:
        """See `Rng.bytes`."""
        return secrets.token_bytes(count)
