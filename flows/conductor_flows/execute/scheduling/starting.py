"""Which invocation begins next.

Promise: one begins only when its inputs are there, its node is free, a token is left and its
outputs have room, which is kept for it; so a slow node is felt at the input, through every branch.
Refusal: it ends nothing.
"""

from __future__ import annotations

from conductor_flows.execute.planning.plan import GROUPS_MAX, Gather
from conductor_flows.execute.scheduling.board import Board, NodeState
from conductor_flows.execute.scheduling.items import NEVER, Invocation, Item
from conductor_flows.execute.scheduling.matching import Matching

Found = tuple[tuple[Item, ...], tuple[int, ...]]


class Starter:
    """Begins invocations on a board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def next(self, now: float) -> Invocation | None:
        """Begin the next invocation; None where nothing can begin now."""
        board = self._board
        while board.runnable:
            node = board.runnable.popleft()
            board.looked(node)
            invocation = self._begin(board.nodes[node], now)
            if invocation is not None:
                board.wake(node)
                return invocation
        return None

    def _begin(self, state: NodeState, now: float) -> Invocation | None:
        board, plan = self._board, state.plan
        if state.backlog:
            board.flush(state, now)
        if state.backlog or state.running >= plan.concurrency or state.groups >= GROUPS_MAX:
            return None
        if not self._board.takes_outputs(plan) or not self._inputs_there(state, now):
            return None
        if state.bucket is not None:
            if wait_s := state.bucket.wait_s(now):
                board.alarm(now + wait_s, plan.index, None)
                if state.bucket.stalled(now):
                    board.saturated.append(plan.index)
                return None
            state.bucket.take()
        found = self._take(state)
        return None if found is None else self._start(state, found, now)

    def _inputs_there(self, state: NodeState, now: float) -> bool:
        if state.matching is not None and state.plan.gather is not None:
            self._absorb(state.matching, state.plan.gather, now)
            return bool(state.matching.matches)
        queues = self._board.queues
        return any(queues[edge].ready for edge in state.plan.inputs)

    def _absorb(self, matching: Matching, gather: Gather, now: float) -> None:
        board = self._board
        for edge in gather.edges:
            lanes = board.queues[edge]
            while matching.room and (item := lanes.take()) is not None:
                lanes.release(item.lane)
                key: object = (id(item.scope), item.turns)
                if gather.kind == "zip":
                    key = None
                elif gather.key is not None:
                    key = gather.key(board.view(lanes.plan.source, item.value))
                matching.add(edge, item, key)
                board.freed(edge)
                if gather.timeout_s is not None:
                    board.alarm(now + gather.timeout_s, lanes.plan.to, item)

    def _take(self, state: NodeState) -> Found | None:
        if state.matching is not None and state.plan.gather is not None:
            return state.matching.matches.popleft(), state.plan.gather.edges
        inputs, board = state.plan.inputs, self._board
        first = 0 if state.plan.first_first else state.turn
        for step in range(len(inputs)):
            edge = inputs[(first + step) % len(inputs)]
            item = board.queues[edge].take()
            if item is not None:
                state.turn += 1
                board.freed(edge)
                return (item,), (edge,)
        return None

    def _start(self, state: NodeState, found: Found, now: float) -> Invocation:
        board, plan, gather = self._board, state.plan, state.plan.gather
        items, edges = found
        value = items[0].value
        if gather is not None:
            values = [item.value for item in items]
            value = values if gather.kind == "zip" else dict(zip(gather.names, values, strict=True))
        for edge in plan.outputs:
            board.queues[edge].reserved += 1
        board.promised += plan.captures
        state.running += 1
        invocation = Invocation(board.serial(), plan.index, items, edges, value)
        invocation.deadline = self.due(invocation, now)
        board.active[invocation.number] = invocation
        return invocation

    def due(self, invocation: Invocation, now: float) -> float:
        """Return when an attempt that begins now must have ended."""
        timeout_s = self._board.plan.nodes[invocation.node].timeout_s
        first = NEVER if timeout_s is None else now + timeout_s
        for item in invocation.items:
            first = min(first, item.deadline)
        return first
