"""The way to one client, which ends when the client does.

Promise: what is written when the connection is on its way out goes nowhere and is told to nobody:
the loop would write a line into the log for each piece; what a client sends beyond the request that
is at work stays in its own machine. Refusal: no byte is looked at here.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.flow_control import FlowControl

AHEAD_MAX: Final = 64 * 1024
"""Bytes of requests that wait for the answer to one before them."""


class Way(asyncio.Transport):
    """A transport above another one."""

    __slots__ = ("_below",)

    def __init__(self, below: asyncio.Transport) -> None:
        """Stand on a transport that is connected."""
        super().__init__()
        self._below = below

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, if anybody is there."""
        if not self._below.is_closing():
            self._below.write(data)

    def close(self) -> None:
        """End the connection when everything is sent."""
        self._below.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._below.abort()

    def is_closing(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._below.is_closing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the client has still to take."""
        return self._below.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Take nothing more for a while."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Take what comes again."""
        self._below.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        return self._below.get_extra_info(name, default)


class Flow(FlowControl):
    """Who may send how far."""

    def __init__(self, transport: asyncio.Transport, conn: h11.Connection) -> None:
        """Begin with everything allowed."""
        super().__init__(transport)
        self._conn = conn

    def resume_reading(self) -> None:
        """Take what comes, but for requests while enough of them wait.

        Each run that is watched for its client asks for this, and would take some more.
        """
        if self.read_paused and self._conn.their_state is h11.DONE:
            waiting, _ = self._conn.trailing_data
            if len(waiting) > AHEAD_MAX:
                return
        super().resume_reading()
