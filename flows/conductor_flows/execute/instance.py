"""One flow at work: payloads in, results out, functions called.

Promise: at most `capture_capacity` payloads are outstanding, so whoever sends waits for whoever
reads; a failure or a cancellation reaches every function that is running; nothing runs after
`close` or `cancel` has returned. Refusal: it writes nothing down (`conductor_flows.durable` does).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.calling import Calls
from conductor_flows.execute.durability import Keeper
from conductor_flows.execute.errors import (
    Cancelled,
    FlowError,
    MissingOutput,
    NodeFailed,
)
from conductor_flows.execute.measuring import Measures
from conductor_flows.execute.notices import Tell, logged
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.results import Results
from conductor_flows.execute.scheduling.core import Core
from conductor_flows.execute.scheduling.frontier import Frontier
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.execute.scheduling.thawing import Decode, thaw
from conductor_flows.execute.watching import Watch
from conductor_flows.execute.working import Workers


class Instance:
    """Send, read, `finish`, `cancel`."""

    def __init__(
        self, bound: Bound, caller: Calls, *, spread: Callable[[], float],
        keeper: Keeper | None = None, measures: Measures | None = None, tell: Tell = logged,
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._bound = bound
        self._caller = caller
        self.keeper = keeper
        self.core = Core(bound.plan, view=bound.view, spread=spread, now=self._loop.time())
        self._workers = Workers(self.core, caller, self)
        self._tasks = self._workers.tasks
        self._sent = 0
        # A window holds its items until it closes, so counting payloads would stop the flow.
        counted = not self.core.board.windows
        self._results = Results(bound.plan.capture_capacity, counted=counted)
        self._closing = False
        self.error: FlowError | None = None
        """What has ended the run before its end."""
        self.halted: list[tuple[Invocation, Halt]] = []
        """Invocations that wait for something from outside; nothing new begins meanwhile."""
        self.taken: list[tuple[int, Any]] = []
        """Results that the owner has taken and not handed on."""
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._watch = Watch(bound.plan, measures, tell)

    # Sending and reading

    async def send(self, value: Any) -> int:
        """Send a payload (JSON); waits until there is room; returns its number, from 0.

        Raises:
            PortRefused: It does not fit the trigger's port.
            FlowError: The run has failed.
        """
        self._caller.check(value)
        if not self._room:
            with self._watch.blocked(self._loop):
                while not self._room:
                    await self._change()
        number, self._sent = self._sent, self._sent + 1
        self._results.begin(number)
        self.core.offer(value, number, self._loop.time())
        if self._watch.measured:
            self._watch.levels(self.core.board, self._bound.plan.trigger, len(self._results))
        self.drive()
        return number

    @property
    def _room(self) -> bool:
        return self.core.room and self._results.room

    async def next(self) -> tuple[int, Any]:
        """Take the next result: the payload's number and what the capture gave.

        Raises:
            MissingOutput: Nothing is left that could give one.
            FlowError: The run has failed.
        """
        while not self._results:
            if self._done:
                raise MissingOutput
            await self._change()
        found = self._results.take()
        self._tell()
        self.drive()
        return found

    @property
    def _done(self) -> bool:
        return self._closing and self.core.still and not self._tasks and not self._results

    def close(self) -> None:
        """Say that no more payloads come."""
        self._closing = True
        self.drive()

    async def finish(self) -> None:
        """Say that no more payloads come, and wait until nothing moves any more."""
        self.close()
        while not (self.core.still and not self._tasks):
            if self.halted and not self._tasks:
                return
            if self.core.board.captured or self._results.full:
                return  # the reader's turn
            await self._change()

    async def _change(self) -> None:
        if self.error is not None:
            raise self.error
        self._changed.clear()
        await self._changed.wait()
        if self.error is not None:
            raise self.error

    def _tell(self) -> None:
        self._changed.set()

    # Running

    def drive(self) -> None:
        """Begin what can begin: one task now, and more as long as there is more."""
        self._collect()
        self._workers.begin()
        self._look()

    def following(self) -> Invocation | None:
        """Begin the next invocation, if one may begin."""
        held = self.halted or (self.keeper is not None and self.keeper.busy)
        if self.error is not None or held:
            return None
        return self.core.next(self._loop.time())

    def settled(self, node: int) -> None:
        """A node has ended: take what came out."""
        if self._watch.measured:
            self._watch.levels(self.core.board, node, len(self._results))
        self._collect()
        if self.core.board.timed:
            self.set_alarm()

    def unroutable(self, failed: NodeFailed) -> None:
        """A surface could not choose."""
        self._watch.failed(failed)

    def _collect(self) -> None:
        board = self.core.board
        if board.captured:
            while not self._results.full and (found := self.core.captured()) is not None:
                self._results.came(found[0].number, found[1])
                self._tell()
        ended = board.ended
        while ended:
            self._results.over(ended.popleft().number)
            self._tell()

    def _look(self) -> None:
        """See what is left to wait for: a time, more input, or nothing any more."""
        self.set_alarm()
        if self.halted and not self._tasks:
            self._tell()
        if self._closing and not self._tasks and self.core.still and not self.halted:
            if self.core.finish(self._loop.time()):
                self._loop.call_soon(self.drive)
            self._tell()

    def set_alarm(self) -> None:
        """Wake up when the next thing is due."""
        at = self.core.board.wake_at if self.error is None else None
        if self._timer is not None:
            if self._timer.when() == at:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self._loop.call_at(at, self._alarm)

    def _alarm(self) -> None:
        self._timer = None
        if (error := self.core.tick(self._loop.time())) is not None:
            self.abort(error)
        self._watch.notices(self.core.board)
        self.drive()

    def streams(self) -> None:
        """A stream of this run is handed out."""
        self._watch.streams()

    def broke(self, failed: NodeFailed) -> None:
        """The stream has failed."""
        self._watch.failed(failed)
        self.abort(failed)

    def missed(self) -> None:
        """The run has ended without a result."""
        self._watch.missed(self.core.board)

    # Going on from a checkpoint

    @property
    def given(self) -> list[tuple[int, Any]]:
        """Results that have left the board and were not handed on; a checkpoint has them."""
        return [*self.taken, *self._results]

    @property
    def now(self) -> float:
        """The time of the board."""
        return self._loop.time()

    def restore(self, frontier: Frontier, decode: Decode) -> list[Invocation]:
        """Take up what a frontier holds, instead of `send`; returns what was halted in it.

        End each of those with `core.done`, or put it into `halted`; then call `drive`.
        """
        found = thaw(self.core.board, frontier, decode, self.now)
        capture = self._bound.plan.capture
        self.taken = [(each, decode.of_node(capture, value)) for each, value in frontier.captured]
        self._sent = 1
        self._results.begin(0)
        if not frontier.scopes:
            self._results.over(0)
        return found

    # Ending

    def abort(self, error: FlowError) -> None:
        """End the run: whatever still runs is cancelled."""
        if self.error is None:
            self.error = error
            if self.core.board.holds:
                self._watch.cut_off(error)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tell()

    async def cancel(self, reason: str) -> None:
        """Stop everything, and wait until it has stopped. Idempotent."""
        self.abort(Cancelled(reason))
        self.set_alarm()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        self._watch.over()

    @property
    def over(self) -> bool:
        """Whether everything that was sent is over and no task runs."""
        return self.core.still and not self._tasks
