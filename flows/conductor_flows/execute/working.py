"""The tasks that run the functions of a flow.

Promise: one task runs whatever can run one after the other, and another is asked for only while
there is more to begin: a function that does not wait costs no task and no turn of the loop.
Refusal: nothing is decided here about what runs, or what becomes of a failure (`core` does).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from conductor_flows.execute.calling import Calls
from conductor_flows.execute.durability import Keeper, Running
from conductor_flows.execute.errors import (
    Cancelled,
    FlowError,
    KeyCollision,
    NodeFailed,
    TimeBudget,
    Unroutable,
    said_by,
)
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.scheduling.core import Core
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.execute.scheduling.settling import NOTHING, Again

TURN: Final = 100
"""Calls after which a task lets others have the loop, though nothing waits."""


class Owner(Running, Protocol):
    """The run that tasks work for."""

    keeper: Keeper | None
    error: FlowError | None

    def following(self) -> Invocation | None:
        """Begin the next invocation, if one may begin."""
        ...

    def settled(self, node: int) -> None:
        """A node has ended."""
        ...

    def unroutable(self, failed: NodeFailed) -> None:
        """A surface could not choose."""
        ...

    def set_alarm(self) -> None:
        """Wake up when the next thing is due."""
        ...

    def drive(self) -> None:
        """A task has ended."""
        ...


class Workers:
    """The tasks of one run."""

    def __init__(self, core: Core, caller: Calls, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = core
        self._caller = caller
        self._owner = owner
        self._helping = False
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Begin the next invocation, if one may begin; what can run beside it comes by itself."""
        if (invocation := self._owner.following()) is not None:
            task = self._loop.create_task(self._work(invocation), name="flow.worker")
            self.tasks.add(task)
            task.add_done_callback(self._ended)

    def _help(self) -> None:
        """Begin something beside what waits."""
        self._helping = False
        self.begin()
        self._owner.set_alarm()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task.cancelled():
            if self._owner.error is None:  # by a function, not by the run: what it was at is lost
                self._owner.abort(Cancelled("external"))
        elif (error := task.exception()) is not None:
            said = f"{type(error).__name__}: {said_by(error)}"
            self._owner.abort(error if isinstance(error, FlowError) else FlowError(said))
        self._owner.drive()

    async def _work(self, invocation: Invocation) -> None:
        """Run an invocation, then whatever can run because of it."""
        board, owner = self._core.board, self._owner
        current: Invocation | None = invocation
        count = 0
        while current is not None:
            if board.runnable and not self._helping:
                self._helping = True
                self._loop.call_soon(self._help)
            slid = await self._perform(current)
            if owner.error is not None:
                return
            if not slid:
                owner.settled(current.node)
                current = owner.following()
            count += 1
            if not count % TURN:
                await asyncio.sleep(0)

    async def _perform(self, invocation: Invocation) -> bool:
        """Run an invocation to its end; whether it has become that of the next node."""
        owner = self._owner
        while True:
            try:
                value = await self._caller.call(invocation)
                if owner.error is not None:
                    return False
                if isinstance(value, Halt):
                    owner.halted.append((invocation, value))
                elif value is None and invocation.value is not None:
                    self._core.done(invocation, NOTHING, self._loop.time())
                elif self._slides(invocation, value):
                    return True
                else:
                    self._core.done(invocation, value, self._loop.time())
                break
            except KeyCollision as failed:
                owner.abort(failed)  # nothing passes over it
                return False
            except (NodeFailed, Unroutable) as failed:
                if owner.error is not None:
                    return False  # it failed because it was cancelled: that is not repeated
                again = self._failed(invocation, failed)
                if again is None:
                    break
                await asyncio.sleep(max(0.0, again.at - self._loop.time()))
                self._core.again(invocation, self._loop.time())
        if owner.keeper is not None and owner.error is None:
            await owner.keeper.settled(owner, invocation)
        return False

    def _slides(self, invocation: Invocation, value: Any) -> bool:
        owner = self._owner
        free = owner.keeper is None and not owner.halted
        return free and self._core.slide(invocation, value)

    def _failed(self, invocation: Invocation, failed: NodeFailed | Unroutable) -> Again | None:
        """Repeat, pass over (None), or end the run (None)."""
        if isinstance(failed, Unroutable):
            failed = failed.of_node(self._core.board.plan.nodes[invocation.node].alias)
            self._owner.unroutable(failed)
        now = self._loop.time()
        verdict = self._core.failed(invocation, failed.failure, failed.said, now)
        if isinstance(verdict, NodeFailed):
            # The failure itself says more than the verdict, unless that is about time.
            self._owner.abort(verdict if isinstance(verdict, TimeBudget) else failed)
            return None
        return verdict
