"""How many series a metric may have.

Promise: a label has at most `MOST` values within `WINDOW_S`; a further one becomes `OTHER`, and
that is told once; a series that was not used for that long makes room. Refusal: no number is kept
here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Generic, TypeVar

MOST: Final = 100
WINDOW_S: Final = 300.0
OTHER: Final = "_other"
Series = TypeVar("Series")
Values = tuple[str, ...]


class Bounded(Generic[Series]):
    """The series of one metric, by the values of its labels. Constant time for a known one."""

    __slots__ = ("_forget", "_make", "_over", "_series", "_used", "_values")

    def __init__(
        self, labels: int, make: Callable[[Values], Series], forget: Callable[[Values], None],
        over: Callable[[int], None],
    ) -> None:  # fmt: skip
        """Begin with no series.

        Args:
            labels: How many there are.
            make: Makes a series.
            forget: Removes one.
            over: Is told the number of the first label that has too many values, once.
        """
        self._make = make
        self._forget = forget
        self._over: Callable[[int], None] | None = over
        self._series: dict[Values, Series] = {}
        self._used: dict[Values, float] = {}
        self._values: list[Counter[str]] = [Counter() for _ in range(labels)]

    def series(self, values: Values, now: float) -> Series:
        """Return the series of these values, or the one that stands for further values."""
        found = self._series.get(values)
        if found is not None:
            self._used[values] = now
            return found
        if any(self._too_many(place, value) for place, value in enumerate(values)):
            self._clear(now)
            values = tuple(self._bounded(place, value) for place, value in enumerate(values))
        if values not in self._series:
            self._series[values] = self._make(values)
            for place, value in enumerate(values):
                self._values[place][value] += 1
        self._used[values] = now
        return self._series[values]

    def _too_many(self, place: int, value: str) -> bool:
        known = self._values[place]
        return value not in known and len(known) - (OTHER in known) >= MOST

    def _bounded(self, place: int, value: str) -> str:
        if not self._too_many(place, value):
            return value
        if self._over is not None:
            self._over(place)
            self._over = None
        return OTHER

    def _clear(self, now: float) -> None:
        old = [values for values, used in self._used.items() if now - used >= WINDOW_S]
        for values in old:
            del self._series[values], self._used[values]
            self._forget(values)
            for place, value in enumerate(values):
                self._values[place][value] -= 1
                if not self._values[place][value]:
                    del self._values[place][value]
