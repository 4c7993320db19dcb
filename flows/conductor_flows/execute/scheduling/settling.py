"""What becomes of an invocation that has ended.

Promise: outputs are placed before inputs are let go, so nothing is ever nowhere; a failure is
repeated, passed over or ends the run, as the node's plan says, and by nobody else. Refusal: it
begins nothing and waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from conductor_flows.execute.errors import Failure, NodeFailed, TimeBudget, Unroutable
from conductor_flows.execute.planning.plan import Loop, NodePlan
from conductor_flows.execute.scheduling.board import Board, NodeState
from conductor_flows.execute.scheduling.items import NEVER, Group, Invocation, Item
from conductor_flows.execute.scheduling.routing import Output, chosen, elements, follow

NOTHING: Final = object()
"""What a node gives that gives nothing."""


@dataclass(frozen=True, slots=True)
class Again:
    """The invocation is to be run again at that time."""

    at: float


def next_attempt(
    plan: NodePlan, invocation: Invocation, failure: Failure, now: float,
    spread: Callable[[], float],
) -> Again | None:  # fmt: skip
    """Say when a failed invocation is tried again, and count the attempt; None: not again."""
    retry = plan.retry
    if retry is None or not failure.repeats or invocation.attempt >= retry.attempts:
        return None
    if min(item.deadline for item in invocation.items) <= now:
        return None
    delay_s = retry.delay_s(invocation.attempt, spread())
    invocation.attempt += 1
    return Again(now + delay_s)


def verdict(plan: NodePlan, failure: Failure, detail: str) -> NodeFailed:
    """Return what a run ends with, where nothing passes over a failure."""
    if failure is Failure.TIMEOUT:
        return TimeBudget(plan.alias, detail)
    return NodeFailed(plan.alias, detail, failure=failure)


class Settler:
    """Ends invocations on a board."""

    def __init__(self, board: Board, spread: Callable[[], float]) -> None:
        self._board = board
        self._spread = spread

    def done(self, invocation: Invocation, value: Any, now: float) -> None:
        """Place what an invocation gave.

        Raises:
            Unroutable: A surface cannot choose; the invocation is still active, and `failed` is
                the answer.
        """
        board = self._board
        state = board.nodes[invocation.node]
        outputs = [] if value is NOTHING else self._route(state, invocation, value)
        if state.plan.branch is not None and not outputs and value is not NOTHING:
            board.untaken = invocation.node
        self._release(state, invocation)
        loop = state.plan.loop
        goes_round = loop is not None and any(out.edge == loop.back_edge for out in outputs)
        if state.plan.captures and value is not NOTHING and not goes_round:
            board.captured.append((invocation.scope, value))
        reserved = set(state.plan.outputs)
        for output in outputs:
            # The first on each edge has its place; the rest waits for one.
            if output.edge in reserved and not state.backlog:
                reserved.discard(output.edge)
                board.put(output.edge, output.item, now)
            else:
                state.backlog.append(output)
        board.consume(invocation.items)
        for edge in reserved:
            board.freed(edge)

    def _route(self, state: NodeState, invocation: Invocation, value: Any) -> list[Output]:
        board, plan, scope = self._board, state.plan, invocation.scope
        turns = invocation.items[0].turns
        late = board.late_edges
        edges = [edge for edge in chosen(plan, value, board.view) if edge not in late]
        if plan.loop is not None:
            again = self._round(state, plan.loop, invocation, value)
            if again is not None:
                return [again]
            turns = tuple(turn for turn in turns if turn[0] != plan.index)
            edges = [edge for edge in edges if edge != plan.loop.back_edge]
        outputs: list[Output] = []
        if plan.expand is not None:
            outputs += self._expand(state, invocation, value)
            edges = [edge for edge in edges if edge != plan.expand.edge]
        if plan.collects is not None and scope.group is not None:
            expand = board.nodes[plan.collects].plan.expand
            scope.result, scope.taken = value, True
            edges = [edge for edge in edges if expand is None or edge != expand.collect]
        return outputs + [Output(edge, Item(value, scope, turns=turns)) for edge in edges]

    def _round(
        self, state: NodeState, loop: Loop, invocation: Invocation, value: Any
    ) -> Output | None:
        """Send an item round a loop again, if it is to go on."""
        plan, item = state.plan, invocation.items[0]
        if follow(loop.go_on, self._board.view(plan.index, value), "loop") is not True:
            return None
        counts = dict(item.turns)
        counts[plan.index] = counts.get(plan.index, 1) + 1
        if counts[plan.index] > loop.max_iterations:
            raise Unroutable(f"more than {loop.max_iterations} rounds", surface="loop")
        turns = tuple(counts.items())
        return Output(loop.back_edge, Item(value, item.scope, turns=turns))

    def _expand(self, state: NodeState, invocation: Invocation, value: Any) -> list[Output]:
        expand = state.plan.expand
        if expand is None:
            return []
        found = elements(expand.items, self._board.view(state.plan.index, value))
        group = Group(state.plan.index, invocation.scope, len(found))
        state.groups += 1
        if not found:
            self._board.complete(group)
        turns = invocation.items[0].turns
        pairs = zip(found, group.scopes, strict=True)
        return [Output(expand.edge, Item(each, scope, turns=turns)) for each, scope in pairs]

    def _release(self, state: NodeState, invocation: Invocation) -> None:
        """Give back everything that an invocation had for itself."""
        board = self._board
        del board.active[invocation.number]
        state.running -= 1
        board.promised -= state.plan.captures
        for edge in state.plan.outputs:
            board.queues[edge].reserved -= 1
        for edge, item in zip(invocation.edges, invocation.items, strict=True):
            board.queues[edge].release(item.lane)
        board.wake(state.plan.index)

    def failed(
        self, invocation: Invocation, failure: Failure, detail: str, now: float
    ) -> Again | NodeFailed | None:
        """Decide about a failure: again, the end of the run, or None: passed over."""
        board, state = self._board, self._board.nodes[invocation.node]
        plan = state.plan
        again = next_attempt(plan, invocation, failure, now, self._spread)
        if again is not None:
            return again
        if plan.on_failure == "fail":
            return verdict(plan, failure, detail)
        if plan.on_failure == "dead_letter":
            board.dead.append((plan.index, invocation.value, detail))
        board.dropped[plan.on_failure] += 1
        self._release(state, invocation)
        board.consume(invocation.items)
        for edge in plan.outputs:
            board.freed(edge)
        return None

    def expired(self, node: int, item: Item, now: float) -> NodeFailed | None:
        """Give up an item that waited too long before a node; an error ends the run."""
        board, state = self._board, self._board.nodes[node]
        if item.gone:
            return None
        if state.matching is not None and state.matching.withdraw(item):
            timeout_s = state.matching.plan.timeout_s or 0.0
            detail = f"an item waited for its others longer than {timeout_s:g} s"
            return self._give_up(state.plan, item, detail)
        if item.deadline > now or item.deadline == NEVER:
            return None
        waiting = (board.queues[edge] for edge in state.plan.inputs)
        lanes = next((queue for queue in waiting if item in queue.waiting()), None)
        if lanes is None:
            return None  # it is being worked on: the attempt has the same deadline
        detail = f"an item waited longer than {lanes.plan.timeout_s:g} s"
        error = self._give_up(state.plan, item, detail)
        if error is None:
            lanes.withdraw(item)
            board.freed(lanes.plan.index)
        return error

    def _give_up(self, plan: NodePlan, item: Item, detail: str) -> NodeFailed | None:
        board = self._board
        if plan.on_failure == "fail":
            return TimeBudget(plan.alias, detail)
        if plan.on_failure == "dead_letter":
            board.dead.append((plan.index, item.value, f"TIME015: {detail}"))
        board.dropped["timeout"] += 1
        board.consume((item,))
        return None
