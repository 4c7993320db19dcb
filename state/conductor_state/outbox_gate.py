"""Where concurrent puts meet: they share a commit, and those without room wait their turn.

Promise: calls are committed in the order in which they came; of the calls that wait for one pool
the oldest goes first, and nobody else waits for them. A cancelled waiting call stores nothing.
Refusal: it knows neither caps nor storage; the store's verdicts decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, assert_never

from conductor_sdk.records import Outgoing, PutResult
from conductor_state.outbox_verdicts import Refused, Stored, Verdict, Waits

GROUP_EVENTS = 4096
"""Events of newly arrived calls in one commit, about; a single call may be larger."""


class PutCall:
    """One call of `put` on its way."""

    __slots__ = ("done", "events")

    def __init__(self, events: Sequence[Outgoing], done: asyncio.Future[list[PutResult]]) -> None:
        self.events = events
        self.done = done


Commit: TypeAlias = Callable[[list[PutCall]], Awaitable[list[Verdict]]]
"""Decides the calls in order and stores what is stored, in one commit; one verdict each."""


class Gate:
    """The queue in front of the commits. Lives on one event loop."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._arrived: list[PutCall] = []
        self._waiting: list[PutCall] = []
        self._retry = False
        self._task: asyncio.Task[None] | None = None

    async def put(self, events: Sequence[Outgoing]) -> list[PutResult]:
        """Bring a call through; returns when its commit is durable.

        Cancelling takes a waiting call out; one whose commit has begun may still be stored.
        """
        call = PutCall(events, asyncio.get_running_loop().create_future())
        self._arrived.append(call)
        if self._task is None:
            self._wake()
        try:
            return await call.done
        except asyncio.CancelledError:
            self.room_made()  # whoever stood behind it may fit
            raise

    def room_made(self) -> None:
        """Let the waiting calls try again: something left the outbox, or the caps changed."""
        if self._waiting or self._task is not None:
            self._retry = True
            self._wake()

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="outbox puts")

    async def _run(self) -> None:
        try:
            while self._arrived or (self._retry and self._waiting):
                await self._one_commit()
        finally:
            self._task = None
            self._retry = False

    async def _one_commit(self) -> None:
        # Waiting calls go along even when only newcomers woke us: order per pool depends on it.
        calls = [call for call in self._waiting if not call.done.done()]
        self._waiting = []
        self._retry = False
        calls += self._newcomers()
        if not calls:
            return
        try:
            verdicts = await self._commit(calls)
        except Exception as error:  # noqa: BLE001  every caller of the group learns why it failed
            for call in calls:
                if not call.done.done():
                    call.done.set_exception(error)
            return
        pairs = zip(calls, verdicts, strict=True)
        self._waiting = [call for call, verdict in pairs if not _resolve(call, verdict)]
        # What was stored may have evicted something larger: look again, once nothing more is.
        self._retry |= any(isinstance(verdict, Stored) for verdict in verdicts)

    def _newcomers(self) -> list[PutCall]:
        taken, events = 0, 0
        while taken < len(self._arrived) and events < GROUP_EVENTS:
            events += len(self._arrived[taken].events)
            taken += 1
        calls, self._arrived = self._arrived[:taken], self._arrived[taken:]
        return [call for call in calls if not call.done.done()]


def _resolve(call: PutCall, verdict: Verdict) -> bool:
    match verdict:
        case Waits():
            return False
        case Stored(results):
            if not call.done.done():
                call.done.set_result(results)
        case Refused(error):
            if not call.done.done():
                call.done.set_exception(error)
        case _:
            assert_never(verdict)
    return True
