"""A moment in which nothing is begun, so that everything can be exchanged.

Promise: between `begin` and `end` no turn runs and nobody is behind the door. Refusal: nothing that
runs is cut short; if it takes too long, there is no pause.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Pause:
    """One for a dispatcher's life."""

    def __init__(self) -> None:
        self.on = False
        """Whether no turn may begin."""
        self.door = asyncio.Lock()
        """Held by whoever must not be in the middle of something when the pause begins."""
        self._turns = 0
        self._calm = asyncio.Event()
        self._calm.set()

    async def begin(self, timeout_s: float) -> bool:
        """Let nothing begin, and wait for what runs; False: it took longer than `timeout_s`."""
        self.on = True
        try:
            async with asyncio.timeout(timeout_s):
                await self.door.acquire()
                try:
                    await self._calm.wait()
                except BaseException:
                    self.door.release()
                    raise
        except TimeoutError:
            self.on = False
            return False
        except BaseException:
            self.on = False
            raise
        return True

    def end(self) -> None:
        """Let things begin again."""
        self.on = False
        self.door.release()

    def turn(self) -> Self:
        """Return what a turn runs in."""
        return self

    def __enter__(self) -> Self:
        self._turns += 1
        self._calm.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._turns -= 1
        if not self._turns:
            self._calm.set()
