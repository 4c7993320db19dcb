"""Writing a stream of events to one client.

Promise: items go out in their order, each with an id, as fast as the client takes them and no
faster; where nothing is to be said for a while, a comment keeps the connection open; a client that
takes nothing for too long counts as gone. Refusal: no item is read ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.types import Send

from conductor_flows.host.failures import Failed
from conductor_flows.host.streams import held
from conductor_flows.host.web.answers import STREAM, RawHeaders, encoded, error_event
from conductor_flows.host.web.live import LiveRun, event_id
from conductor_flows.host.web.presence import ClientGone, Presence
from conductor_flows.host.web.site import Choices

KEEP_ALIVE: Final = b": keepalive\n\n"
TURN: Final = 32
"""After so many events others have their turn, however fast the flow and the client are."""


class EventWriter:
    """For one answer."""

    def __init__(self, send: Send, presence: Presence, choices: Choices) -> None:
        self._send = send
        self._presence = presence
        self._choices = choices
        self._loop = asyncio.get_running_loop()
        self._beat: asyncio.TimerHandle | None = None
        self._comment: asyncio.Task[None] | None = None
        self._last = 0.0
        self._sending_since: float | None = None
        self._speaks = True

    async def begin(self, more: RawHeaders) -> None:
        """Send the head and when to come back."""
        self._last = self._loop.time()
        head = {"type": "http.response.start", "status": 200, "headers": [*STREAM, *more]}
        await self._send(head)
        await self._write(b"retry: %d\n\n" % self._choices.retry_ms)
        self._expect()

    async def items(self, run_id: bytes, items: AsyncIterator[Any]) -> None:
        """Send the items of a run; closing the iterator, however it goes, ends the run."""
        number = 0
        async with held(items) as pieces:
            async for item in pieces:
                number += 1
                await self._event(event_id(run_id, number), encoded(item))
                if number % TURN == 0:
                    await asyncio.sleep(0)

    async def live(self, run: LiveRun, after: int) -> None:
        """Send the events of a live run after a number."""
        async with held(run.events(after)) as events:
            async for number, data in events:
                await self._event(event_id(run.run_id, number), data)

    async def _event(self, name: bytes, data: bytes) -> None:
        await self._write(b"id: " + name + b"\ndata: " + data + b"\n\n")

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        self._sending_since = self._loop.time()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self._sending_since, self._last = None, self._loop.time()

    async def end(self, failed: Failed | None = None) -> None:
        """Send how it ended, if it went wrong, and close."""
        await self._quiet()
        last = b"" if failed is None else error_event(failed)
        await self._write(last, more=False)
        await self.stop()

    async def stop(self) -> None:
        """Watch no more. Idempotent."""
        if self._beat is not None:
            self._beat.cancel()
        await self._quiet()

    async def _quiet(self) -> None:
        """Send no more comments."""
        self._speaks = False
        if self._comment is not None:
            self._comment.cancel()
            await asyncio.wait({self._comment})

    # Keeping the connection

    def _expect(self) -> None:
        self._beat = self._loop.call_at(self._last + self._choices.keep_alive_s, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        since = self._sending_since
        if since is not None:
            if now - since >= self._choices.stall_s:
                self._presence.end(ClientGone())
                return
            self._beat = self._loop.call_at(
                min(since + self._choices.stall_s, now + self._choices.keep_alive_s), self._look
            )
            return
        if self._speaks and now - self._last >= self._choices.keep_alive_s:
            self._last = now
            self._comment = self._loop.create_task(self._write(KEEP_ALIVE), name="flow.keepalive")
        self._expect()
