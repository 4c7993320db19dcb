"""Everything that a flow holds at one moment, as a record.

Promise: freezing at any step and thawing (`thawing`) gives the same results as running on; what
was being worked on is to be done again, before what waited behind it. Refusal: nothing is stored
here (`conductor_flows.durable` does), and no function is called.

Rate limits are not in it: they begin anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from conductor_flows.execute.planning.plan import Plan
from conductor_flows.execute.scheduling.board import Board
from conductor_flows.execute.scheduling.items import NEVER, Group, Invocation, Item, Scope
from conductor_flows.execute.scheduling.routing import View
from conductor_flows.execute.scheduling.spilled import Spilled

Lane = str | int | float | bool | None


class FrozenItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item."""

    value: Any
    """JSON."""
    scope: int
    """In `Frontier.scopes`."""
    turns: list[tuple[int, int]] = []
    closed: bool = False
    left_s: float | None = None
    """Until it has waited too long."""
    lane: Lane = None
    spilled: Spilled | None = None
    """Where the value is instead; with its checksum."""


class FrozenScope(msgspec.Struct, frozen=True, omit_defaults=True):
    """A payload, or one element of a `for_each`."""

    number: int
    group: int | None = None
    """In `Frontier.groups`."""
    element: int = 0
    taken: bool = False
    result: Any = None
    """JSON of what the exit of the body gave, where `taken`."""


class FrozenGroup(msgspec.Struct, frozen=True):
    """The elements of a `for_each` that is under way."""

    node: int
    parent: int
    size: int


class FrozenEdge(msgspec.Struct, frozen=True):
    """What is under way on one edge: worked on, held for a match, waiting; in that order."""

    edge: int
    items: list[FrozenItem]


class FrozenWindow(msgspec.Struct, frozen=True):
    """The open windows of one edge."""

    edge: int
    newest: list[tuple[Lane, int]]
    """Partition and its newest event time, milliseconds."""
    items: list[FrozenItem]


class FrozenNode(msgspec.Struct, frozen=True):
    """A node that holds outputs back, or whose turn is not the first input's."""

    node: int
    turn: int
    backlog: list[tuple[int, FrozenItem]]


class FrozenWait(msgspec.Struct, frozen=True):
    """An invocation whose output comes from outside."""

    node: int
    edges: list[int]
    items: list[FrozenItem]


class Frontier(msgspec.Struct, frozen=True, kw_only=True):
    """One board."""

    shape: str
    """Of the plan; hex SHA-256."""
    edges: list[FrozenEdge]
    windows: list[FrozenWindow]
    nodes: list[FrozenNode]
    halted: list[FrozenWait]
    scopes: list[FrozenScope]
    groups: list[FrozenGroup]
    captured: list[tuple[int, Any]]
    """Results that nobody has taken: payload number and JSON."""
    dropped: dict[str, int]
    dead: list[tuple[int, Any, str]]

    @property
    def pending(self) -> list[int]:
        """Numbers of the edges that something waits on."""
        return [each.edge for each in self.edges]


def shape(plan: Plan) -> str:
    """Return what a frontier depends on: the nodes and edges in their order."""
    names = [node.alias for node in plan.nodes] + [edge.name for edge in plan.edges]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def freeze(
    board: Board, view: View, now: float, *, halted: Iterable[Invocation] = (),
    captured: Iterable[tuple[int, Any]] = (), known: str | None = None,
) -> Frontier:  # fmt: skip
    """Take a picture of a board between two of its steps.

    Args:
        board: What is pictured; it is not changed.
        view: Gives the JSON of values.
        now: The board's time.
        halted: Active invocations that wait for something from outside; all others are to be
            done again.
        captured: Results that have left the board but reached nobody, oldest first.
        known: The shape of the board's plan, where it was asked for before.
    """
    form = known or shape(board.plan)
    return _Freezer(board, view, now).frontier(tuple(halted), captured, form)


class _Freezer:
    def __init__(self, board: Board, view: View, now: float) -> None:
        self._board = board
        self._view = view
        self._now = now
        self._scopes: dict[int, int] = {}
        self._groups: dict[int, int] = {}
        self._records: list[FrozenScope] = []
        self._frozen_groups: list[FrozenGroup] = []

    def frontier(
        self, halted: tuple[Invocation, ...], captured: Iterable[tuple[int, Any]], form: str
    ) -> Frontier:
        board, capture = self._board, self._board.plan.capture
        given = [*captured, *((scope.number, value) for scope, value in board.captured)]
        return Frontier(
            shape=form, edges=self._edges({each.number for each in halted}),
            windows=self._windows(), nodes=self._nodes(),
            halted=[self._wait(invocation) for invocation in halted],
            captured=[(number, self._view(capture, value)) for number, value in given],
            dropped=dict(board.dropped),
            dead=[(node, self._lost(node, value), why) for node, value, why in board.dead],
            scopes=self._records, groups=self._frozen_groups,
        )  # fmt: skip

    def _edges(self, halted: set[int]) -> list[FrozenEdge]:
        board = self._board
        found: dict[int, list[Item]] = {}
        for number in sorted(board.active.keys() - halted):
            invocation = board.active[number]
            for edge, item in zip(invocation.edges, invocation.items, strict=True):
                found.setdefault(edge, []).append(item)
        for state in board.gathering:
            for edge, item in state.matching.held() if state.matching is not None else ():
                found.setdefault(edge, []).append(item)
        for lanes in [each for each in board.queues if each.length]:
            found.setdefault(lanes.plan.index, []).extend(lanes.waiting())
        return [
            FrozenEdge(edge, [self._item(edge, item) for item in found[edge]])
            for edge in sorted(found)
        ]

    def _windows(self) -> list[FrozenWindow]:
        return [
            FrozenWindow(
                edge, list(windows.newest.items()),
                [self._item(edge, item) for item in windows.held()],
            )
            for edge, windows in self._board.windows.items()
        ]  # fmt: skip

    def _nodes(self) -> list[FrozenNode]:
        """Where a node has one input, it is always the turn of that."""
        board = self._board
        found = {state.plan.index for state in board.turning if state.turn}
        found.update([state.plan.index for state in board.nodes if state.backlog])
        return [
            FrozenNode(
                node, board.nodes[node].turn,
                [
                    (output.edge, self._item(output.edge, output.item))
                    for output in board.nodes[node].backlog
                ],
            )
            for node in sorted(found)
        ]  # fmt: skip

    def _wait(self, invocation: Invocation) -> FrozenWait:
        pairs = zip(invocation.edges, invocation.items, strict=True)
        items = [self._item(edge, item) for edge, item in pairs]
        return FrozenWait(invocation.node, list(invocation.edges), items)

    def _item(self, edge: int, item: Item) -> FrozenItem:
        left_s = None if item.deadline == NEVER else item.deadline - self._now
        spilled = item.value if isinstance(item.value, Spilled) else None
        source = self._board.plan.edges[edge].source
        value = None if spilled is not None else self._view(source, item.value)
        return FrozenItem(
            value, self._scope(item.scope), list(item.turns), item.closed, left_s, item.lane,
            spilled,
        )  # fmt: skip

    def _lost(self, node: int, value: Any) -> Any:
        return None if isinstance(value, Spilled) else self._view(node, value)

    def _scope(self, scope: Scope) -> int:
        known = self._scopes.get(id(scope))
        if known is not None:
            return known
        if scope.group is None:
            return self._record(scope, None)
        self._group(scope.group)
        return self._scopes[id(scope)]

    def _record(self, scope: Scope, group: int | None) -> int:
        result = None
        if scope.taken and scope.group is not None:
            expand = self._board.plan.nodes[scope.group.node].expand
            leave = None if expand is None else expand.exit
            result = scope.result if leave is None else self._view(leave, scope.result)
        self._scopes[id(scope)] = len(self._records)
        self._records.append(FrozenScope(scope.number, group, scope.element, scope.taken, result))
        return len(self._records) - 1

    def _group(self, group: Group) -> None:
        if id(group) in self._groups:
            return
        parent = self._scope(group.parent)
        number = self._groups[id(group)] = len(self._frozen_groups)
        self._frozen_groups.append(FrozenGroup(group.node, parent, len(group.scopes)))
        for scope in group.scopes:
            self._record(scope, number)
