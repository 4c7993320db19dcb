"""When to go over from one link to another: as a draining conductor asks, or because we wish to.

Promise: whoever asked for a new link is told whether it came about, whatever becomes of this one.
Refusal: it connects nothing, and its dice are the caller's.
"""

from __future__ import annotations

import asyncio

from conductor_sdk.clock import Clock


class Moving:
    """One for the keeper's life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: float | None = None
        self._changed = asyncio.Event()
        self._asking: list[asyncio.Future[bool]] = []
        self.drained = False
        """Whether the conductor of the open link is about to close it."""

    @property
    def due(self) -> float | None:
        """When to try, on the monotonic clock; None: there is no reason to."""
        return self._due

    def drain(self, due: float) -> None:
        """Take note that the conductor wants us to leave at a time."""
        self.drained = True
        self._at(due)

    def again(self, due: float) -> None:
        """Take note that a try failed: the next one, if the conductor still wants us to leave."""
        self._answer(came=False)
        self._at(due if self.drained else None)

    async def ask(self) -> bool:
        """Ask for a new link now; returns whether it came about."""
        asking: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asking.append(asking)
        self._at(self._clock.monotonic())
        return await asking

    def moved(self) -> None:
        """Take note that another link is open."""
        self.drained = False
        self._at(None)
        self._answer(came=True)

    def ended(self) -> None:
        """Take note that the open link has ended; what was asked for did not come about."""
        self.drained = False
        self._at(None)
        self._answer(came=False)

    async def wait(self) -> None:
        """Wait until it is time to try."""
        while True:
            self._changed.clear()
            left_s = None if self._due is None else self._due - self._clock.monotonic()
            if left_s is not None and left_s <= 0:
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _at(self, due: float | None) -> None:
        self._due = due
        self._changed.set()

    def _answer(self, *, came: bool) -> None:
        asking, self._asking = self._asking, []
        for one in asking:
            if not one.done():
                one.set_result(came)
