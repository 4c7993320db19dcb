"""What has come out of a flow and was not taken yet, by payload.

Promise: a payload has its place until nothing of it is left in the flow and all that it gave was
taken; so whoever sends waits for whoever reads. Refusal: nobody waits here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any


class Results:
    """One for a run."""

    __slots__ = ("_capacity", "_counted", "_outstanding", "_over", "_waiting")

    def __init__(self, capacity: int, *, counted: bool) -> None:
        """Begin with nothing.

        Args:
            capacity: Payloads that may have a place, and results that may wait.
            counted: Whether payloads are counted at all.
        """
        self._capacity = capacity
        self._counted = counted
        self._outstanding: dict[int, int] = {}
        """Results not yet taken, by payload, until it has ended and none is left."""
        self._over: set[int] = set()
        self._waiting: deque[tuple[int, Any]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return iter(self._waiting)

    @property
    def room(self) -> bool:
        """Whether one more payload may be sent."""
        return not self._counted or len(self._outstanding) < self._capacity

    @property
    def full(self) -> bool:
        """Whether as many results wait as may."""
        return len(self._waiting) >= self._capacity

    def begin(self, number: int) -> None:
        """Give a payload a place."""
        self._outstanding[number] = 0

    def came(self, number: int, value: Any) -> None:
        """A payload has given something."""
        self._waiting.append((number, value))
        if number in self._outstanding:
            self._outstanding[number] += 1

    def take(self) -> tuple[int, Any]:
        """Take what came first."""
        number, value = self._waiting.popleft()
        if number in self._outstanding:
            self._outstanding[number] -= 1
            self._let_go(number)
        return number, value

    def over(self, number: int) -> None:
        """Nothing of a payload is left in the flow."""
        self._over.add(number)
        self._let_go(number)

    def _let_go(self, number: int) -> None:
        if number in self._over and not self._outstanding.get(number):
            self._over.discard(number)
            self._outstanding.pop(number, None)
