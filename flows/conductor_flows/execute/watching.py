"""What a run tells while it goes on: numbers and notices.

Promise: each stall is told once, and what was cut off is counted once. Refusal: it changes nothing
about the run; without a recorder only stalls are watched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from conductor_flows.execute.errors import Cancelled, FlowError, NodeFailed
from conductor_flows.execute.measuring import WHOLE, Depths, Measures
from conductor_flows.execute.notices import Notice, Tell
from conductor_flows.execute.planning.plan import STALL_S, Plan
from conductor_flows.execute.scheduling.board import Board


class Watch:
    """One for a run."""

    __slots__ = ("_depths", "_measures", "_plan", "_tell", "measured")

    def __init__(self, plan: Plan, measures: Measures | None, tell: Tell) -> None:
        self._plan = plan
        self._measures = measures
        self._depths = None if measures is None else Depths(measures)
        self._tell = tell
        self.measured = measures is not None

    @contextmanager
    def blocked(self, loop: asyncio.AbstractEventLoop) -> Generator[None]:
        """Watch over a wait of whoever sends a payload."""
        begun = loop.time()
        stalled = loop.call_later(STALL_S, self._stalled)
        try:
            yield
        finally:
            stalled.cancel()
            if self._measures is not None:
                self._measures.blocked((loop.time() - begun) * 1000)

    def _stalled(self) -> None:
        capture = self._plan.nodes[self._plan.capture].alias
        detail = f"a payload has waited {STALL_S:g} s for room"
        self._tell(Notice("RUN030", self._plan.name, f"capture::{capture}", detail))

    def notices(self, board: Board) -> None:
        """Tell of rate limits that are always spent."""
        while board.saturated:
            alias = self._plan.nodes[board.saturated.pop()].alias
            detail = f"its rate limit has been spent for {STALL_S:g} s"
            self._tell(Notice("RUN030", self._plan.name, alias, detail))

    def levels(self, board: Board, node: int, results: int) -> None:
        """Tell what waits before and behind a node."""
        if self._depths is None:
            return
        plan = self._plan.nodes[node]
        for edge in (*plan.inputs, *plan.outputs):
            self._depths.tell(edge, board.queues[edge].length)
        if plan.captures:
            self._depths.tell(-1, results + len(board.captured))

    def failed(self, failed: NodeFailed) -> None:
        """Count what no function did."""
        if self._measures is not None:
            self._measures.failed(failed.alias, failed.kind)

    def streams(self) -> None:
        """Count a stream that is handed out."""
        if self._measures is not None:
            self._measures.streaming()

    def missed(self, board: Board) -> None:
        """Count a run that lost its way at a `switch`."""
        if self._measures is not None and board.untaken is not None:
            alias = self._plan.nodes[board.untaken].alias
            self._measures.cancelled("switch_no_target", alias)

    def cut_off(self, error: FlowError) -> None:
        """Count a run that did not come to its end."""
        if self._measures is None:
            return
        reason, alias = "run_error", WHOLE
        if isinstance(error, NodeFailed):
            reason, alias = "node_error", error.alias
        elif isinstance(error, Cancelled):
            reason = error.reason
        self._measures.cancelled(reason, alias)

    def over(self) -> None:
        """Nothing waits any more."""
        if self._depths is not None:
            self._depths.clear()
