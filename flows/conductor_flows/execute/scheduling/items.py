"""What moves through a flow, and what it belongs to.

Promise: a scope ends exactly when the last item in it is gone. Refusal: nothing is queued here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NEVER = float("inf")


class Scope:
    """What an item belongs to: a payload that was sent in, or one element of a `for_each`."""

    __slots__ = ("element", "group", "live", "number", "result", "taken")

    def __init__(self, number: int, group: Group | None = None, element: int = 0) -> None:
        self.number = number
        """Of the payload; the same for every scope below it."""
        self.group = group
        self.element = element
        self.live = 0
        """Items and groups in it."""
        self.result: Any = None
        self.taken = False
        """Whether there is a result: what the exit of the body gave."""

    @property
    def root(self) -> Scope:
        """The payload's own scope."""
        scope = self
        while scope.group is not None:
            scope = scope.group.parent
        return scope


class Group:
    """The elements of one `for_each`."""

    __slots__ = ("node", "open", "parent", "scopes")

    def __init__(self, node: int, parent: Scope, size: int) -> None:
        self.node = node
        """The source of the for_each."""
        self.parent = parent
        self.scopes = [Scope(parent.number, self, element) for element in range(size)]
        self.open = size
        parent.live += 1

    def results(self) -> list[Any]:
        """Return what the body gave, in the order of the elements; lost ones are left out."""
        return [scope.result for scope in self.scopes if scope.taken]


class Item:
    """One value on its way."""

    __slots__ = ("at", "closed", "deadline", "gone", "lane", "scope", "turns", "value")

    def __init__(
        self, value: Any, scope: Scope, *, turns: tuple[tuple[int, int], ...] = (),
        closed: bool = False,
    ) -> None:  # fmt: skip
        self.value = value
        self.scope = scope
        self.turns = turns
        """How often it went round each loop that it is in: (exit node, count)."""
        self.closed = closed
        """It is a whole window already."""
        self.at = 0.0
        self.deadline = NEVER
        self.lane: Any = None
        self.gone = False
        scope.live += 1


@dataclass(slots=True)
class Invocation:
    """One call of a node's function."""

    number: int
    node: int
    items: tuple[Item, ...]
    """What it consumes; more than one where the node gathers."""
    edges: tuple[int, ...]
    """Where they came from, in the same order."""
    value: Any
    deadline: float = NEVER
    attempt: int = 1

    @property
    def scope(self) -> Scope:
        """What its outputs belong to."""
        return self.items[0].scope
