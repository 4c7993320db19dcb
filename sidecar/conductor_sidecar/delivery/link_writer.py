"""The frames of one link on their way out, in the order in which the session gave them.

Promise: whoever has frames to send never waits for the peer; one write takes everything that has
come together. Refusal: it does not judge a link; the reader learns why it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from conductor_adapters.transport import LinkClosed, Transport

UNSENT_FRAMES = 4096
"""Frames that may wait before reading should stop: only a peer that sends nonsense and reads no
answer gets there."""


class Writer:
    """One for each link; `run` as a task."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._unsent: list[bytes] = []
        self._to_send = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()

    @property
    def full(self) -> bool:
        """Whether so much waits that reading should stop."""
        return len(self._unsent) > UNSENT_FRAMES

    def put(self, frames: Sequence[bytes]) -> None:
        """Take frames; they leave with the next write."""
        self._unsent.extend(frames)
        self._all_sent.clear()
        self._to_send.set()

    async def flushed(self) -> None:
        """Wait until nothing waits any more, or the link is closed."""
        await self._all_sent.wait()

    async def run(self) -> None:
        """Write until the link is closed or the task is cancelled."""
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            frames, self._unsent = self._unsent, []
            try:
                await self._transport.send(frames)
            except LinkClosed:
                self._all_sent.set()
                return  # the reader has the reason, after what arrived before it
            if not self._unsent:
                self._all_sent.set()
