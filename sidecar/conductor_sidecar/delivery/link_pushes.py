"""What one link pushes, and what the conductor answers.

Promise: as much is in flight as the session has room for, and a result is written down before it
is forgotten. Refusal: it keeps no event; what is unanswered is still in the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from conductor_protocol.effects import SidecarEffect
from conductor_protocol.messages import PushResult
from conductor_protocol.sidecar_session import SidecarSession
from conductor_sidecar.delivery.link_writer import Writer
from conductor_sidecar.delivery.uplink import Uplink

CONFIRM_QUEUE = 16
ANSWERS_S = 0.15
"""How long a link that is to rest waits for the results of what it has pushed."""


class Pushes:
    """One for each link; `push` and `confirm` as tasks."""

    def __init__(
        self, session: SidecarSession, uplink: Uplink, writer: Writer,
        perform: Callable[[Sequence[SidecarEffect]], Awaitable[None]],
        now: Callable[[], float], retime: asyncio.Event,
    ) -> None:  # fmt: skip
        self._session = session
        self._uplink = uplink
        self._writer = writer
        self._perform = perform
        self._now = now
        self._retime = retime
        self._room = asyncio.Event()
        self._results: asyncio.Queue[Sequence[PushResult]] = asyncio.Queue(CONFIRM_QUEUE)
        self._task: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Push, from now on."""
        self._task = group.create_task(self._push(), name="link.pusher")

    def opened(self) -> None:
        """Take note that the session has room now."""
        self._room.set()

    async def answered(self, results: Sequence[PushResult]) -> None:
        """Take results; waits while the disk is behind."""
        self._room.set()
        await self._results.put(results)

    async def rest(self) -> None:
        """Push no more; returns when everything is answered, or after a moment."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWERS_S):
                while self._session.in_flight:
                    self._room.clear()
                    await self._room.wait()
                await self._results.join()

    async def confirm(self) -> None:
        """Write results down, until cancelled."""
        while True:
            results, taken = list(await self._results.get()), 1
            while not self._results.empty():
                results.extend(self._results.get_nowait())
                taken += 1
            await self._uplink.confirmed(results)
            for _ in range(taken):
                self._results.task_done()

    async def _push(self) -> None:
        while True:
            while not self._session.push_room:
                self._room.clear()
                await self._room.wait()
            batch = await self._uplink.next_batch(self._session.push_room)
            await self._perform(self._session.push(batch, self._now()))
            self._retime.set()
            await self._writer.flushed()
