"""Tumbling windows in event time.

Promise: an item is in exactly one window, or late, or has no time; a window closes when the
watermark, which is the newest event time less the lateness, has passed its end, and never twice.
Refusal: no clock: time is what the items say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conductor_flows.execute.planning.plan import Window
from conductor_flows.execute.scheduling.items import Item


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that is over."""

    lane: Any
    start_ms: int
    end_ms: int
    items: list[Item]


class Windows:
    """The open windows of one edge, by partition."""

    def __init__(self, plan: Window) -> None:
        self.plan = plan
        self.newest: dict[Any, int] = {}
        """The newest event time of each partition, in milliseconds."""
        self._open: dict[Any, dict[int, list[Item]]] = {}

    def add(self, item: Item, time_ms: int) -> bool:
        """Put an item into its window; False: it is late."""
        size = self.plan.size_ms
        start = time_ms // size * size
        newest = max(self.newest.get(item.lane, time_ms), time_ms)
        if start + size + self.plan.lateness_ms <= self.newest.get(item.lane, time_ms):
            return False
        self.newest[item.lane] = newest
        self._open.setdefault(item.lane, {}).setdefault(start, []).append(item)
        return True

    def ripe(self, lane: Any) -> list[Closed]:
        """Close what the watermark of a partition has passed, oldest first."""
        watermark = self.newest[lane] - self.plan.lateness_ms
        found = self._open.get(lane, {})
        over = sorted(start for start in found if start + self.plan.size_ms <= watermark)
        size = self.plan.size_ms
        closed = [Closed(lane, start, start + size, found.pop(start)) for start in over]
        if not found:
            self._open.pop(lane, None)
        return closed

    def flush(self) -> list[Closed]:
        """Close everything: no more items will come."""
        closed = [
            Closed(lane, start, start + self.plan.size_ms, found[start])
            for lane, found in self._open.items()
            for start in sorted(found)
        ]
        self._open.clear()
        return closed

    def held(self) -> list[Item]:
        """Return the items in open windows."""
        return [item for found in self._open.values() for items in found.values() for item in items]
