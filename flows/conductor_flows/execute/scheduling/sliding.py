"""What goes from one node straight into the next, without standing in a queue.

Promise: after a slide the board is as after `Settler.done` and `Starter.next` of the next node;
where that cannot be, nothing has changed. Refusal: it decides nothing: `plain` says where a slide
is possible at all.
"""

from __future__ import annotations

from typing import Any

from conductor_flows.execute.scheduling.board import Board, NodeState
from conductor_flows.execute.scheduling.items import NEVER, Invocation


class Slider:
    """Slides values along the plain edges of a board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._slides = board.plan.slides

    def slide(self, invocation: Invocation, value: Any) -> bool:
        """End an invocation with a value and begin the next node with it, if nothing is between.

        The invocation becomes that of the next node, under the same number.
        """
        number = self._slides[invocation.node]
        if not number:
            return False
        board = self._board
        queues, state = board.queues, board.nodes[invocation.node]
        lanes, item = queues[number], invocation.items[0]
        follower = board.nodes[lanes.plan.to]
        if state.backlog or item.deadline != NEVER or not lanes.idle or not self._free(follower):
            return False
        lanes.reserved -= 1
        queues[invocation.edges[0]].release(item.lane)
        state.running -= 1
        board.wake(state.plan.index)
        lanes.occupy()
        plan = follower.plan
        for edge in plan.outputs:
            queues[edge].reserved += 1
        board.promised += plan.captures
        follower.running += 1
        follower.turn += 1
        invocation.node, invocation.edges, invocation.attempt = plan.index, plan.inputs, 1
        invocation.deadline = NEVER
        item.value, item.lane, item.closed = value, None, False
        invocation.value = value
        return True

    def _free(self, follower: NodeState) -> bool:
        """Whether a node could begin now, were there an input."""
        plan = follower.plan
        if follower.backlog or follower.running >= plan.concurrency:
            return False
        return self._board.takes_outputs(plan)
