"""One payload along a chain: node after node, in the task that asked for the run.

Promise: the answer, the failure, the repetitions and the halts are those of an `Instance`; nothing
is left behind when it returns, since nothing was begun beside it. Refusal: `plain` says which plans
are chains; whatever needs a queue, a store, a stream or a second way is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.calling import Calls
from conductor_flows.execute.errors import (
    Cancelled,
    DeadlineExceeded,
    KeyCollision,
    MissingOutput,
    NodeFailed,
    TimeBudget,
)
from conductor_flows.execute.outcomes import Halt, Halted, Value
from conductor_flows.execute.planning.plan import NodePlan
from conductor_flows.execute.scheduling.items import NEVER, Invocation, Item, Scope
from conductor_flows.execute.scheduling.settling import NOTHING, Again, next_attempt, verdict
from conductor_flows.execute.watching import Watch
from conductor_flows.execute.working import TURN


class Straight:
    """One for a run; `Bound.straight` must not be empty."""

    __slots__ = ("_alone", "_bound", "_caller", "_late", "_loop", "_spread", "_task", "_watch")

    def __init__(
        self, bound: Bound, caller: Calls, watch: Watch, *, spread: Callable[[], float]
    ) -> None:
        """Prepare a run, to be made by the task that calls this.

        Args:
            bound: A chain.
            caller: Calls its functions.
            watch: Counts what does not come to its end.
            spread: Random numbers from 0 to 1, for the jitter of retries.
        """
        self._bound = bound
        self._caller = caller
        self._watch = watch
        self._spread = spread
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._alone = self._cancelling
        self._late = False

    @property
    def _cancelling(self) -> int:
        return 0 if self._task is None else self._task.cancelling()

    async def run(self, payload: Any, deadline_s: float | None) -> Value | Halted:
        """Send a payload (JSON) along the chain. Raises as `Runner.run`."""
        try:
            outcome = await self._in_time(payload, deadline_s)
        except NodeFailed as failed:
            self._watch.cut_off(failed)
            raise
        except (DeadlineExceeded, asyncio.CancelledError) as error:
            late = isinstance(error, DeadlineExceeded)
            self._watch.cut_off(Cancelled("deadline" if late else "external"))
            raise
        if isinstance(outcome, Halted):
            self._watch.cut_off(Cancelled("halt"))
        return outcome

    async def _in_time(self, payload: Any, deadline_s: float | None) -> Value | Halted:
        if deadline_s is None:
            return await self._walk(payload)
        # As `asyncio.timeout`, but for what a function does to the cancellation.
        alarm = self._loop.call_later(deadline_s, self._expire)
        try:
            return await self._walk(payload)
        except asyncio.CancelledError:
            if not self._late or self._also_cancelled():
                raise
            raise DeadlineExceeded(f"after {deadline_s:g} s") from None
        finally:
            alarm.cancel()

    def _expire(self) -> None:
        self._late = True
        if self._task is not None:
            self._task.cancel()

    def _also_cancelled(self) -> bool:
        """Take back what the deadline has cancelled; whether somebody else has cancelled too."""
        if self._task is not None and self._cancelling > self._alone:
            self._task.uncancel()
        return self._cancelling > self._alone

    async def _walk(self, payload: Any) -> Value | Halted:
        caller, bound = self._caller, self._bound
        nodes, chain = bound.plan.nodes, bound.straight
        caller.check(payload)
        item = Item(payload, Scope(0))
        invocation = Invocation(1, chain[0], (item,), (0,), payload)
        for count, number in enumerate(chain, 1):
            plan = nodes[number]
            invocation.node, invocation.edges, invocation.attempt = number, plan.inputs, 1
            invocation.value = item.value
            given = await self._perform(invocation)
            if given is NOTHING:
                break
            if isinstance(given, Halt):
                return Halted(plan.alias, given.payload)
            item.value = given
            if not count % TURN:
                await asyncio.sleep(0)
        else:
            return Value(bound.view(bound.plan.capture, item.value))
        raise MissingOutput(f"nothing reached {nodes[bound.plan.capture].alias!r}")

    async def _perform(self, invocation: Invocation) -> Any:
        """Call a node's function until it has given something, or has failed for good."""
        plan, loop = self._bound.plan.nodes[invocation.node], self._loop
        while True:
            invocation.deadline = NEVER if plan.timeout_s is None else loop.time() + plan.timeout_s
            try:
                value = await self._caller.call(invocation)
            except KeyCollision:
                self._go_on()
                raise  # nothing passes over it
            except NodeFailed as failed:
                self._go_on()
                again = self._again(plan, invocation, failed)
                await asyncio.sleep(max(0.0, again.at - loop.time()))
            else:
                self._go_on()
                return NOTHING if value is None and invocation.value is not None else value

    def _go_on(self) -> None:
        """Look whether a function has kept a cancellation for itself; the run ends all the same."""
        # It may even have taken it back.
        if self._late or self._cancelling > self._alone:
            raise asyncio.CancelledError

    def _again(self, plan: NodePlan, invocation: Invocation, failed: NodeFailed) -> Again:
        """Say when the next attempt is; raises what ends the run."""
        again = next_attempt(plan, invocation, failed.failure, self._loop.time(), self._spread)
        if again is not None:
            return again
        ended = verdict(plan, failed.failure, failed.said)
        # The failure itself says more than the verdict, unless that is about time.
        if isinstance(ended, TimeBudget):
            raise ended from failed
        raise failed
