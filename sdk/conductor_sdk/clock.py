"""Time as something that is handed in.

Promise: everything of ours that needs the time takes a `Clock`. Refusal: no module reads the
system clock by itself, so a test owns time completely.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, twice: for people and for durations."""

    def now(self) -> datetime:
        """Return aware UTC wall-clock time; it may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary origin."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return aware UTC wall-clock time; it may jump."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary origin."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told; for tests and the pack harness."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """Return the manual wall-clock time."""
        return self._now

    def monotonic(self) -> float:
        """Return the manual monotonic time in seconds."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`, which must not be negative."""
        if seconds < 0:
            raise ValueError("monotonic time does not go back; use jump()")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, in either direction: a clock jump."""
        self._now += timedelta(seconds=seconds)


def wire_time(moment: datetime) -> str:
    """Format an aware moment as UTC with milliseconds and a final `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_ms(moment: datetime) -> int:
    """Return integer milliseconds since 1970-01-01 UTC; how stores keep time."""
    return round(moment.timestamp() * 1000)


def from_epoch_ms(value: int) -> datetime:
    """Return the aware UTC moment of `epoch_ms`'s integer."""
    return datetime.fromtimestamp(value / 1000, UTC)
