"""One flow at work: payloads in, results out, functions called.

Promise: at most `capture_capacity` payloads are outstanding, so whoever sends waits for whoever
reads; a failure or a cancellation reaches every function that is running; nothing runs after
`close` or `cancel` has returned. Refusal: it writes nothing down (`conductor_flows.durable` does).

One task runs everything that can run one after the other: a chain of nodes needs no switch between
tasks. What can run beside it gets tasks of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.calling import Calls
from conductor_flows.execute.core import Core
from conductor_flows.execute.durability import Keeper
from conductor_flows.execute.errors import (
    Cancelled,
    Failure,
    FlowError,
    MissingOutput,
    NodeFailed,
    Unroutable,
)
from conductor_flows.execute.frontier import Frontier
from conductor_flows.execute.items import Invocation
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.settling import NOTHING, Again
from conductor_flows.execute.spilled import SPILL_LOAD_FAILED
from conductor_flows.execute.thawing import Decode, thaw


class Instance:
    """Begin with `async with`; send, read, close."""

    def __init__(
        self, bound: Bound, caller: Calls, *, spread: Callable[[], float],
        keeper: Keeper | None = None,
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._bound = bound
        self._caller = caller
        self.keeper = keeper
        self.core = Core(bound.plan, view=bound.view, spread=spread, now=self._loop.time())
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0
        self._outstanding: dict[int, int] = {}
        """Results not yet taken, by payload, until it has ended and none is left."""
        self._over: set[int] = set()
        self._results: deque[tuple[int, Any]] = deque()
        self._closing = False
        self._error: FlowError | None = None
        self.halted: list[tuple[Invocation, Halt]] = []
        """Invocations that wait for something from outside; nothing new begins meanwhile."""
        self.given: list[tuple[int, Any]] = []
        """Results that the owner has taken and not handed on; a checkpoint has them."""
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        # A window holds its items until it closes, so counting payloads would stop the flow.
        self._counted = not self.core.board.windows
        self._permits = bound.plan.capture_capacity

    # Sending and reading

    async def send(self, value: Any) -> int:
        """Send a payload (JSON); waits until there is room; returns its number, from 0.

        Raises:
            PortRefused: It does not fit the trigger's port.
            FlowError: The run has failed.
        """
        self._caller.check(value)
        while not self._room:
            await self._change()
        number, self._sent = self._sent, self._sent + 1
        self._outstanding[number] = 0
        self.core.offer(value, number, self._loop.time())
        self.drive()
        return number

    @property
    def _room(self) -> bool:
        return self.core.room and (not self._counted or len(self._outstanding) < self._permits)

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
        number, value = self._results.popleft()
        if number in self._outstanding:
            self._outstanding[number] -= 1
            self._let_go(number)
        self.drive()
        return number, value

    @property
    def _done(self) -> bool:
        return self._closing and self.core.still and not self._tasks and not self._results

    async def finish(self) -> None:
        """Say that no more payloads come, and wait until nothing moves any more."""
        self._closing = True
        self.drive()
        while not (self.core.still and not self._tasks):
            if self.halted and not self._tasks:
                return
            if self.core.board.captured or self._full:
                return  # the reader's turn
            await self._change()

    @property
    def _full(self) -> bool:
        return len(self._results) >= self._permits

    async def _change(self) -> None:
        if self._error is not None:
            raise self._error
        self._changed.clear()
        await self._changed.wait()
        if self._error is not None:
            raise self._error

    def _tell(self) -> None:
        self._changed.set()

    # Running

    def drive(self) -> None:
        """Begin everything that can begin, each in a task of its own."""
        for invocation in self._advance():
            self._spawn(invocation)
        self._look()

    def _spawn(self, invocation: Invocation) -> None:
        task = self._loop.create_task(self._work(invocation), name="flow.worker")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _advance(self) -> list[Invocation]:
        """Take what came out, then begin what can begin."""
        self._collect()
        found: list[Invocation] = []
        held = self.halted or (self.keeper is not None and self.keeper.busy)
        if self._error is None and not held:
            now, begin = self._loop.time(), self.core.next
            while (invocation := begin(now)) is not None:
                found.append(invocation)
        return found

    async def _work(self, invocation: Invocation) -> None:
        """Run an invocation, then whatever can run because of it."""
        current: Invocation | None = invocation
        while current is not None:
            await self._perform(current)
            begun = self._advance()
            current = begun.pop(0) if begun else None
            for other in begun:
                self._spawn(other)

    async def _perform(self, invocation: Invocation) -> None:
        while True:
            try:
                value = await self._caller.call(invocation)
                if isinstance(value, Halt):
                    self.halted.append((invocation, value))
                else:
                    given = NOTHING if value is None else value
                    self.core.done(invocation, given, self._loop.time())
                break
            except (NodeFailed, Unroutable) as failed:
                kind, said = Failure.PERMANENT, failed.detail
                if isinstance(failed, NodeFailed):
                    kind, said = failed.failure, failed.said
                verdict = self.core.failed(invocation, kind, said, self._loop.time())
                if verdict is None:
                    break
                if isinstance(verdict, NodeFailed):
                    lost = isinstance(failed, NodeFailed) and failed.kind == SPILL_LOAD_FAILED
                    self.abort(failed if lost else verdict)
                    return
                await self._pause(verdict)
                self.core.again(invocation, self._loop.time())
        if self.keeper is not None:
            await self.keeper.settled(self, invocation)

    async def _pause(self, verdict: Again) -> None:
        await asyncio.sleep(max(0.0, verdict.at - self._loop.time()))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.abort(error if isinstance(error, FlowError) else FlowError(repr(error)))
        self.drive()

    def _collect(self) -> None:
        core = self.core
        while not self._full and (found := core.captured()) is not None:
            scope, value = found
            self._results.append((scope.number, value))
            if scope.number in self._outstanding:
                self._outstanding[scope.number] += 1
            self._tell()
        ended = core.board.ended
        while ended:
            number = ended.popleft().number
            self._over.add(number)
            self._let_go(number)

    def _look(self) -> None:
        """See what is left to wait for: a time, more input, or nothing any more."""
        self._set_alarm()
        if self.halted and not self._tasks:
            self._tell()
        if self._closing and not self._tasks and self.core.still and not self.halted:
            if self.core.finish(self._loop.time()):
                self._loop.call_soon(self.drive)
            self._tell()

    def _let_go(self, number: int) -> None:
        """Give a payload's place to the next, once it is over and all its results are taken."""
        if number in self._over and not self._outstanding.get(number):
            self._over.discard(number)
            self._outstanding.pop(number, None)
            self._tell()

    def _set_alarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.core.board.wake_at
        if at is not None and self._error is None:
            self._timer = self._loop.call_at(at, self._alarm)

    def _alarm(self) -> None:
        self._timer = None
        if (error := self.core.tick(self._loop.time())) is not None:
            self.abort(error)
        self.drive()

    # Going on from a checkpoint

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
        self.given = [(each, decode.of_node(capture, value)) for each, value in frontier.captured]
        self._sent, self._outstanding = 1, {0: 0}
        if not frontier.scopes:
            self._over.add(0)
        return found

    # Ending

    def abort(self, error: FlowError) -> None:
        """End the run: whatever still runs is cancelled."""
        if self._error is None:
            self._error = error
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._tell()

    async def cancel(self, reason: str) -> None:
        """Stop everything, and wait until it has stopped. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        self.abort(Cancelled(reason))
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def over(self) -> bool:
        """Whether everything that was sent is over and no task runs."""
        return self.core.still and not self._tasks
