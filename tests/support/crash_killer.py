"""Death at a named point, for child processes only."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from conductor_adapters.transport import Transport

PREFIX = b'{"type":"'


class Killer:
    """Kills this process with SIGKILL at the n-th hit of one point."""

    def __init__(self, point: str = "", hit: int = 1) -> None:
        self.point = point
        self.left = hit

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalLink:
    """A link with a crash point before and after each message, by its type.

    `<name>.<type>.before_send`, `.after_send` and `.received`.
    """

    def __init__(self, inner: Transport, name: str, crash_point: Callable[[str], None]) -> None:
        self._inner = inner
        self._name = name
        self._crash_point = crash_point

    async def receive(self, limit: int) -> list[bytes]:
        frames = await self._inner.receive(limit)
        self._pass(frames, "received")
        return frames

    async def send(self, frames: list[bytes]) -> None:
        self._pass(frames, "before_send")
        await self._inner.send(frames)
        self._pass(frames, "after_send")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code, reason)

    def _pass(self, frames: list[bytes], moment: str) -> None:
        for frame in frames:
            kind = frame[len(PREFIX) :].split(b'"', 1)[0].decode()
            self._crash_point(f"{self._name}.{kind}.{moment}")
