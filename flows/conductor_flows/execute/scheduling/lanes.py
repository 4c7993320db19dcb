"""The items of one edge: first in, first out within a partition, fair between partitions.

Promise: on an ordered edge one item of a partition is under way at a time; a hot partition does
not hold up the others. Refusal: it is bounded by whoever asks `room` first.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from conductor_flows.execute.planning.plan import EdgePlan
from conductor_flows.execute.scheduling.items import Item

_NO_LANES: Final[dict[Any, deque[Item]]] = {}
_NO_TURNS: Final[deque[Any]] = deque()


class Lanes:
    """One edge's queue. Constant time per item."""

    __slots__ = ("_busy", "_lanes", "_turns", "blocks", "capacity", "length", "plan", "reserved")

    def __init__(self, plan: EdgePlan) -> None:
        self.plan = plan
        self.capacity = plan.capacity
        self.blocks = plan.on_full == "backpressure"
        """Whether whoever has something for it waits while it is full."""
        self.length = 0
        self.reserved = 0
        self._lanes: dict[Any, deque[Item]] = _NO_LANES
        self._turns: deque[Any] = _NO_TURNS
        """Partitions with items and nobody at work, in turn."""
        self._busy: set[Any] = set()

    @property
    def room(self) -> bool:
        """Whether one more item may be promised."""
        return self.length + self.reserved < self.capacity

    @property
    def idle(self) -> bool:
        """Whether nothing waits here and nothing of it is under way."""
        return not (self.length or self._busy)

    def occupy(self) -> None:
        """Have an item under way that never waited; ask `idle` first. Of no partition."""
        self._busy.add(None)

    def put(self, item: Item) -> None:
        """Append an item to its lane."""
        if self._lanes is _NO_LANES:  # most edges of a short run never hold anything
            self._lanes, self._turns = {}, deque()
        lane = self._lanes.get(item.lane)
        if lane is None:
            lane = self._lanes[item.lane] = deque()
        if not lane and item.lane not in self._busy:
            self._turns.append(item.lane)
        lane.append(item)
        self.length += 1

    def take(self) -> Item | None:
        """Take the next item whose partition is free; on an ordered edge it is busy then."""
        while self._turns:
            key = self._turns.popleft()
            lane = self._lanes[key]
            item = lane.popleft()
            self.length -= 1
            if self.plan.ordered:
                self._busy.add(key)
                if not lane:
                    del self._lanes[key]
            elif lane:
                self._turns.append(key)
            else:
                del self._lanes[key]
            if item.gone:
                self.length += 1  # whoever withdrew it has counted it already
                self.release(key)
                continue
            return item
        return None

    @property
    def ready(self) -> bool:
        """Whether `take` would find something, but for items that were withdrawn."""
        return bool(self._turns)

    def release(self, key: Any) -> None:
        """Let the next item of a partition go."""
        if key in self._busy:
            self._busy.discard(key)
            if key in self._lanes:
                self._turns.append(key)

    def withdraw(self, item: Item) -> None:
        """Take back an item that waits here; its place is free at once."""
        item.gone = True
        self.length -= 1

    def oldest(self) -> Item | None:
        """Return an item to drop: the first of the partition whose turn is next."""
        for key in (*self._turns, *self._lanes):
            for item in self._lanes.get(key, ()):
                if not item.gone:
                    return item
        return None

    def waiting(self) -> list[Item]:
        """Return what waits, partition by partition, each in order."""
        return [item for lane in self._lanes.values() for item in lane if not item.gone]
