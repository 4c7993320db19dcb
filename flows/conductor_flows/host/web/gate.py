"""How many may pass at once.

Promise: at most so many are inside, and at most so many wait, in the order in which they came and
for a bounded time; whoever gives up leaves no trace. Refusal: nobody waits where waiting is
hopeless.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque

from conductor_flows.host.errors import Overloaded


class Gate:
    """One for each route."""

    def __init__(self, inside: int, waiting: int, wait_s: float) -> None:
        """Open.

        Args:
            inside: How many may be inside.
            waiting: How many may wait.
            wait_s: How long one waits.
        """
        self._free = inside
        self._waiting_max = waiting
        self._wait_s = wait_s
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        """Places left."""
        return self._free

    async def enter(self) -> None:
        """Go in; `leave` when done.

        Raises:
            Overloaded: 503: nobody left in time, or too many wait.
        """
        if self._free > 0:
            self._free -= 1
            return
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded(self._retry_after_s)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise Overloaded(self._retry_after_s) from None
        except BaseException:
            self._give_up(turn)
            raise

    @property
    def _retry_after_s(self) -> int:
        return max(1, math.ceil(self._wait_s))

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.leave()  # the turn came at the same moment: it is the next one's
        elif turn in self._waiting:
            self._waiting.remove(turn)

    def leave(self) -> None:
        """Go out: the first who waits goes in."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
