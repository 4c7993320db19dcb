"""Items of several edges that belong together, for `join` and `zip`.

Promise: an item is matched once; matches come in the order in which they became complete. Refusal:
it does not wait by itself; what never finds its others is given up by whoever owns the run.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from conductor_flows.execute.planning.plan import Gather
from conductor_flows.execute.scheduling.items import Item

WAITING_MAX = 4096
"""Items that may wait for their others; beyond it the edges fill up instead."""
Match = tuple[Item, ...]


class Matching:
    """One node's table."""

    def __init__(self, plan: Gather) -> None:
        self.plan = plan
        self.matches: deque[Match] = deque()
        self._waiting: dict[Any, dict[int, deque[Item]]] = {}
        self._count = 0

    @property
    def room(self) -> bool:
        """Whether one more item may wait."""
        return self._count < WAITING_MAX

    def add(self, edge: int, item: Item, key: Any) -> None:
        """Put an item with those of its key; complete matches go to `matches`."""
        found = self._waiting.setdefault(key, {})
        found.setdefault(edge, deque()).append(item)
        self._count += 1
        if all(found.get(each) for each in self.plan.edges):
            self.matches.append(tuple(found[each].popleft() for each in self.plan.edges))
            self._count -= len(self.plan.edges)
            if not any(found.values()):
                del self._waiting[key]

    def withdraw(self, item: Item) -> bool:
        """Take back an item that waits for its others; False where it has them, or is gone."""
        for key, found in self._waiting.items():
            for items in found.values():
                if item in items:
                    items.remove(item)
                    self._count -= 1
                    if not any(found.values()):
                        del self._waiting[key]
                    return True
        return False

    def held(self) -> list[tuple[int, Item]]:
        """Return what waits, matched or not, with its edge."""
        single = [
            (edge, item)
            for found in self._waiting.values()
            for edge, items in found.items()
            for item in items
        ]
        whole = [
            pair for match in self.matches for pair in zip(self.plan.edges, match, strict=True)
        ]
        return whole + single

    def give_up(self) -> list[Item]:
        """Forget what never found its others; returns it."""
        lost = [item for found in self._waiting.values() for items in found.values()
                for item in items]  # fmt: skip
        self._waiting.clear()
        self._count = 0
        return lost
