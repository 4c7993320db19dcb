"""From a frontier back to a board.

Promise: the board holds exactly what the frozen one held; waits go on with the time that was left.
Refusal: a frontier of another plan is refused before anything is put.
"""

from __future__ import annotations

from typing import Any, Protocol

from conductor_flows.execute.planning.pointers import Missing
from conductor_flows.execute.scheduling.board import Board, NodeState
from conductor_flows.execute.scheduling.frontier import (
    Frontier,
    FrozenItem,
    FrozenScope,
    FrozenWait,
    FrozenWindow,
    shape,
)
from conductor_flows.execute.scheduling.items import Group, Invocation, Item, Scope
from conductor_flows.execute.scheduling.routing import Output


class Decode(Protocol):
    """From JSON to what the functions of a flow gave."""

    def on_edge(self, edge: int, value: Any) -> Any:
        """Return what stood on an edge."""
        ...

    def of_node(self, node: int, value: Any) -> Any:
        """Return what a node gave."""
        ...


def thaw(board: Board, frontier: Frontier, decode: Decode, now: float) -> list[Invocation]:
    """Fill a new board; returns the halted invocations, each to be ended by `Core.done`.

    Args:
        board: Nothing has been put on it yet.
        frontier: From a board of the same plan.
        decode: Gives the values of JSON.
        now: The board's time.

    Raises:
        ValueError: The frontier is of another plan.
    """
    if frontier.shape != shape(board.plan):
        raise ValueError("the frontier is of another plan")
    return _Thawer(board, frontier, decode, now).fill()


class _Thawer:
    def __init__(self, board: Board, frontier: Frontier, decode: Decode, now: float) -> None:
        self._board = board
        self._frontier = frontier
        self._decode = decode
        self._now = now
        self._scopes: list[Scope] = []
        self._groups: list[Group] = []

    def fill(self) -> list[Invocation]:
        board, frontier = self._board, self._frontier
        for record in frontier.scopes:
            self._scopes.append(self._scope(record))
        # Waits first: each finds the queues empty, and so keeps its own partition busy.
        halted = [self._wait(each) for each in frontier.halted]
        for each in frontier.edges:
            for frozen in each.items:
                self._queue(each.edge, self._item(each.edge, frozen))
        for window in frontier.windows:
            self._window(window)
        for node in frontier.nodes:
            state = board.nodes[node.node]
            state.turn = node.turn
            state.backlog.extend(
                Output(edge, self._item(edge, frozen)) for edge, frozen in node.backlog
            )
        for group in self._groups:
            group.open = sum(scope.live > 0 for scope in group.scopes)
        board.dropped.update(frontier.dropped)
        board.dead.extend(frontier.dead)
        # Tables of joins first: what went back to their edges must not count against the room.
        for state in sorted(board.nodes, key=lambda each: each.matching is None):
            board.wake(state.plan.index)
        return halted

    def _scope(self, record: FrozenScope) -> Scope:
        """Make scopes in the order of the record: parents stand before what is below them."""
        if record.group is None:
            return Scope(record.number)
        if record.group == len(self._groups):
            frozen = self._frontier.groups[record.group]
            self._groups.append(Group(frozen.node, self._scopes[frozen.parent], frozen.size))
            self._board.nodes[frozen.node].groups += 1
        group = self._groups[record.group]
        scope = group.scopes[record.element]
        expand = self._board.nodes[group.node].plan.expand
        if record.taken:
            scope.taken, scope.result = True, record.result
            if expand is not None and expand.exit is not None:
                scope.result = self._decode.of_node(expand.exit, record.result)
        return scope

    def _item(self, edge: int, frozen: FrozenItem) -> Item:
        value = frozen.value
        if frozen.spilled is not None:
            value = frozen.spilled
        elif not frozen.closed:  # a whole window is JSON already
            value = self._decode.on_edge(edge, value)
        turns = tuple((node, count) for node, count in frozen.turns)
        item = Item(value, self._scopes[frozen.scope], turns=turns, closed=frozen.closed)
        item.lane, item.at = frozen.lane, self._now
        if frozen.left_s is not None:
            item.deadline = self._now + max(0.0, frozen.left_s)
        return item

    def _queue(self, edge: int, item: Item) -> None:
        board = self._board
        board.queues[edge].put(item)
        if board.plan.edges[edge].timeout_s is not None:
            board.alarm(item.deadline, board.plan.edges[edge].to, item)

    def _window(self, frozen: FrozenWindow) -> None:
        board = self._board
        windows, source = board.windows[frozen.edge], board.plan.edges[frozen.edge].source
        windows.newest.update(frozen.newest)
        for each in frozen.items:
            item = self._item(frozen.edge, each)
            try:
                windows.add(item, windows.plan.time(board.view(source, item.value)))
            except Missing as missing:
                raise ValueError(f"an item of a window has no time: {missing}") from None

    def _wait(self, frozen: FrozenWait) -> Invocation:
        board, state = self._board, self._board.nodes[frozen.node]
        pairs = zip(frozen.edges, frozen.items, strict=True)
        items = tuple(self._item(edge, each) for edge, each in pairs)
        if state.matching is None:
            lanes = board.queues[frozen.edges[0]]
            lanes.put(items[0])
            lanes.take()
        for edge in state.plan.outputs:
            board.queues[edge].reserved += 1
        board.promised += state.plan.captures
        state.running += 1
        invocation = Invocation(
            board.serial(), frozen.node, items, tuple(frozen.edges), _input(state, items)
        )
        board.active[invocation.number] = invocation
        return invocation


def _input(state: NodeState, items: tuple[Item, ...]) -> Any:
    gather, values = state.plan.gather, [item.value for item in items]
    if gather is None:
        return values[0]
    return values if gather.kind == "zip" else dict(zip(gather.names, values, strict=True))
