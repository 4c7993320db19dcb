"""What runs when: the scheduler of a flow, without a clock, a task or a wait.

Promise: every item that goes in is captured, consumed, dropped with a count, or still held; the
same calls in the same order give the same answers. Refusal: it calls no function of a flow: `next`
says what to run, `done` and `failed` say what became of it.

Times are seconds of any monotonic clock; the caller gives them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conductor_flows.execute.errors import Failure, NodeFailed
from conductor_flows.execute.planning.plan import Plan
from conductor_flows.execute.scheduling.board import Board
from conductor_flows.execute.scheduling.items import Invocation, Item, Scope
from conductor_flows.execute.scheduling.routing import View
from conductor_flows.execute.scheduling.settling import Again, Settler
from conductor_flows.execute.scheduling.sliding import Slider
from conductor_flows.execute.scheduling.starting import Starter


class Core:
    """One run, or one stream of payloads through one flow."""

    def __init__(self, plan: Plan, *, view: View, spread: Callable[[], float], now: float) -> None:
        """Begin with nothing in the flow.

        Args:
            plan: What runs.
            view: For pointers of surfaces and partitions.
            spread: Random numbers from 0 to 1, for the jitter of retries.
            now: The time.
        """
        self.board = Board(plan, view, now)
        self._starter = Starter(self.board)
        self._settler = Settler(self.board, spread)
        self.slide = Slider(self.board).slide
        """Place what an invocation gave and begin the next with it, where nothing is between."""
        self.next = self._starter.next
        """Begin the next invocation; None where nothing can begin now."""
        self.done = self._settler.done
        """Place what an invocation gave."""

    @property
    def room(self) -> bool:
        """Whether a payload may be sent in."""
        return self.board.queues[0].room

    def offer(self, value: Any, number: int, now: float) -> Scope:
        """Send a payload in; ask `room` first."""
        scope = Scope(number)
        self.board.put(0, Item(value, scope), now)
        return scope

    def failed(
        self, invocation: Invocation, failure: Failure, detail: str, now: float
    ) -> Again | NodeFailed | None:
        """Decide about a failure: again, the end of the run, or None: passed over."""
        return self._settler.failed(invocation, failure, detail, now)

    def again(self, invocation: Invocation, now: float) -> None:
        """Begin a further attempt: its time counts from now."""
        invocation.deadline = self._starter.due(invocation, now)

    def tick(self, now: float) -> NodeFailed | None:
        """Do what is due; an error ends the run."""
        for node, item in self.board.due(now):
            if item is None:
                self.board.wake(node)
            elif (error := self._settler.expired(node, item, now)) is not None:
                return error
        return None

    def captured(self) -> tuple[Scope, Any] | None:
        """Take what came out first; makes room for another."""
        board = self.board
        if not board.captured:
            return None
        found = board.captured.popleft()
        board.wake(board.plan.capture)
        return found

    @property
    def still(self) -> bool:
        """Whether nothing runs, can run or is set to a time: only input or the end can help."""
        board = self.board
        return not (board.active or board.runnable or board.wake_at is not None)

    def finish(self, now: float) -> bool:
        """No more input will come: close windows, give up what waits for others.

        Call when `still`; returns whether anything moved, and is to be called again then.
        """
        board, moved = self.board, False
        for edge, windows in board.windows.items():
            closed = windows.flush()
            board.close_windows(edge, closed, now)
            moved = moved or bool(closed)
        if moved:
            return True
        for state in board.gathering:
            lost = state.matching.give_up() if state.matching is not None else []
            board.dropped["unmatched"] += len(lost)
            board.consume(lost)
            moved = moved or bool(lost)
        return moved
