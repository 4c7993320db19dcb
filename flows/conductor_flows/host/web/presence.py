"""Who is still there: the client of a request, and the host that serves it.

Promise: a run ends with the client that asked for it, and with the host, after a time of grace; the
end is felt where the run stands. Refusal: a run that is quicker than a disconnect can matter is not
watched at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Final, Self

from starlette.types import Receive

from conductor_flows.execute.errors import Cancelled
from conductor_flows.host.errors import Draining

WATCH_AFTER_S: Final = 0.01


class ClientGone(Exception):
    """There is nobody to be answered."""


class Guests:
    """The requests that a host is serving."""

    def __init__(self) -> None:
        self.draining = False
        self._there: set[Presence] = set()
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._there)

    def enter(self, presence: Presence) -> None:
        """Count a request in.

        Raises:
            Draining: The host is stopping.
        """
        if self.draining:
            raise Draining
        self._there.add(presence)

    def leave(self, presence: Presence) -> None:
        """Count a request out. Idempotent."""
        self._there.discard(presence)
        if not self._there:
            self._empty.set()

    async def drain(self, grace_s: float) -> None:
        """Let nobody in any more, and wait for those inside; after a while send them away.

        Args:
            grace_s: How long they have.
        """
        self.draining = True
        if not await self._emptied(grace_s):
            self.send_all_away()
            await self._emptied(grace_s)

    def send_all_away(self) -> None:
        """End all runs because the host stops."""
        for presence in list(self._there):
            presence.send_away()

    async def _emptied(self, within_s: float) -> bool:
        self._empty.clear()
        if self._there:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._empty.wait()
        return not self._there


class Presence:
    """Around a run: cancels it when the client goes, or the host does.

    Raises on leaving:
        ClientGone: The client has gone. Cancelled: the host stops. Draining: on entering.
    """

    __slots__ = ("_guests", "_receive", "_task", "_timer", "_watcher", "_why")

    def __init__(self, guests: Guests, receive: Receive) -> None:
        self._guests = guests
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._why: Exception | None = None

    async def __aenter__(self) -> Self:
        """Count in; the client is watched after a moment."""
        self._guests.enter(self)
        self._task = asyncio.current_task()
        # Most runs end within the moment, and need no second task.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_S, self._begin_to_watch)
        return self

    def _begin_to_watch(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch(), name="flow.client")

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.end(ClientGone())

    def send_away(self) -> None:
        """End the run because the host stops."""
        self.end(Cancelled("the host is stopping"))

    def end(self, why: Exception) -> None:
        """Cancel the run; whoever leaves the block gets `why`. The first reason counts."""
        if self._why is None and self._task is not None:
            self._why = why
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Count out, and tell our own cancellation from others'."""
        self._guests.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})
        ours = self._why is not None and task is not None and task.uncancel() == 0
        if ours and self._why is not None and isinstance(error, asyncio.CancelledError):
            raise self._why from error
