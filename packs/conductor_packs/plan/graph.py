"""What follows from a plan's links: what is ready, what waits for what, what decides the end.

Promise: every answer takes time that grows with items plus links, and comes in one order for one
state. Refusal: nothing is stored and nothing is read; a plan goes in, answers come out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cached_property
from typing import Final, Literal

import msgspec

from conductor_packs.plan.errors import PlanDamaged
from conductor_packs.plan.records import Board, Claim, Item

DEFAULT_ESTIMATE: Final = 60
"""Minutes of work that an item counts for when nobody estimated it."""
_NEVER: Final = float("inf")


class Need(msgspec.Struct, frozen=True, gc=False):
    """Something that an item waits for."""

    item_id: str
    state: str
    link_type: Literal["DEPENDS_ON", "PARENT"]


_NOTHING: Final[Sequence[Need]] = ()


class Schedule(msgspec.Struct, frozen=True):
    """When open items could be worked on at the earliest, in minutes from now."""

    starts: dict[str, int]
    tails: dict[str, int]
    """From an item's start to the end of the longest chain behind it."""
    length: int
    """Of the longest chain: no number of agents is done sooner."""

    def slack(self, item_id: str) -> int:
        """Return by how much an item may be late without any harm to the end."""
        return self.length - self.starts[item_id] - self.tails[item_id]


class Graph:
    """The links of one plan in one state."""

    def __init__(self, board: Board, strike_limit: int = 3) -> None:
        self.board = board
        self.items = {item.item_id: item for item in board.items}
        self._strike_limit = strike_limit

    @cached_property
    def needs(self) -> dict[str, Sequence[Need]]:
        """What each open item still waits for: dependencies that are not DONE, parts not closed."""
        found: dict[str, list[Need]] = {}
        for link in self.board.links:
            source, target = self.items[link.from_item_id], self.items[link.to_item_id]
            match link.link_type:
                case "DEPENDS_ON" if target.state != "DONE" and not source.closed:
                    need = Need(target.item_id, target.state, "DEPENDS_ON")
                    found.setdefault(source.item_id, []).append(need)
                case "PARENT" if not source.closed and not target.closed:
                    need = Need(source.item_id, source.state, "PARENT")
                    found.setdefault(target.item_id, []).append(need)
                case _:
                    pass
        return {item.item_id: found.get(item.item_id, _NOTHING) for item in self._open}

    @cached_property
    def dependents(self) -> dict[str, Sequence[str]]:
        """The open items that wait for each item."""
        found: dict[str, list[str]] = {}
        for item_id, needs in self.needs.items():
            for need in needs:
                found.setdefault(need.item_id, []).append(item_id)
        return {item_id: found.get(item_id, ()) for item_id in self.items}

    @cached_property
    def order(self) -> list[str]:
        """The open items, each behind everything that it waits for.

        Raises:
            PlanDamaged: They wait for each other, which no write of ours allows.
        """
        missing = {
            item_id: sum(need.item_id in self.needs for need in needs)
            for item_id, needs in self.needs.items()
        }
        order = [item_id for item_id, count in missing.items() if count == 0]
        for item_id in order:  # grows while it is walked
            for waiting in self.dependents[item_id]:
                missing[waiting] -= 1
                if missing[waiting] == 0:
                    order.append(waiting)
        if len(order) < len(missing):
            raise PlanDamaged(f"items of plan {self.board.plan.plan_id!r} wait in a circle")
        return order

    @cached_property
    def schedule(self) -> Schedule:
        """The longest chains through the open items."""
        starts: dict[str, int] = {}
        for item_id in self.order:
            before = [each.item_id for each in self.needs[item_id] if each.item_id in self.needs]
            starts[item_id] = max((starts[each] + self.weight(each) for each in before), default=0)
        tails: dict[str, int] = {}
        for item_id in reversed(self.order):
            behind = max((tails[each] for each in self.dependents[item_id]), default=0)
            tails[item_id] = self.weight(item_id) + behind
        length = max((starts[each] + tails[each] for each in self.order), default=0)
        return Schedule(starts, tails, length)

    def weight(self, item_id: str) -> int:
        """Return an item's estimate in minutes, or what stands in for it."""
        return self.items[item_id].estimate or DEFAULT_ESTIMATE

    def unblocks(self, item_id: str) -> int:
        """Return how many items could be started once this one is done."""
        return sum(len(self.needs[waiting]) == 1 for waiting in self.dependents[item_id])

    def free(self, item: Item) -> bool:
        """Tell whether an item is open and nobody works on it."""
        if item.state == "TODO":
            return True
        claim = self.claim(item)
        overdue = claim is not None and claim.overdue(self.board.now)
        return overdue and claim is not None and claim.strikes + 1 < self._strike_limit

    def claim(self, item: Item) -> Claim | None:
        """Return who holds an item, also beyond the lease; None where nobody does."""
        claim = self.board.claims.get(item.item_id)
        return claim if claim is not None and claim.actor is not None else None

    def ready(self, names: Collection[str] | None = None) -> list[Item]:
        """Return what can be started now, best first: priority, due, unblocks, longest chain.

        Args:
            names: Leave out what is assigned to others; None: what is ready for anyone.
        """
        if self.board.plan.status != "ACTIVE":
            return []
        found = [
            item
            for item in self._open
            if self.free(item) and not self.needs[item.item_id] and item.kind != "NOTE"
            and (names is None or item.assigned_to is None or item.assigned_to in names)
        ]  # fmt: skip
        return sorted(found, key=self._rank)

    def blocked(self) -> list[Item]:
        """Return the open items that wait for others or were marked BLOCKED, in plan order."""
        return [item for item in self._open if item.state == "BLOCKED" or self.needs[item.item_id]]

    def waves(self) -> list[list[str]]:
        """Return the open items in rounds: each waits only for rounds before its own."""
        level: dict[str, int] = {}
        rounds: list[list[str]] = []
        for item_id in self.order:
            before = [level[need.item_id] for need in self.needs[item_id] if need.item_id in level]
            level[item_id] = at = max(before, default=-1) + 1
            if at == len(rounds):
                rounds.append([])
            rounds[at].append(item_id)
        return rounds

    def critical_path(self) -> list[str]:
        """Return one longest chain of open items, first to last."""
        schedule = self.schedule
        path: list[str] = []
        starting = [each for each in self.order if schedule.starts[each] == 0]
        step = max(starting, key=lambda each: schedule.tails[each], default=None)
        while step is not None:
            path.append(step)
            behind: Sequence[str] = self.dependents[step]
            step = max(behind, key=lambda each: schedule.tails[each], default=None)
        return path

    @cached_property
    def _open(self) -> list[Item]:
        return [item for item in self.board.items if not item.closed]

    def _rank(self, item: Item) -> tuple[int, float, int, int, str]:
        due = _NEVER if item.due_ts is None else datetime.fromisoformat(item.due_ts).timestamp()
        item_id = item.item_id
        chain = self.schedule.tails[item_id]
        return item.priority, due, -self.unblocks(item_id), -chain, item_id
