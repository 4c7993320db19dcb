"""The life of one process of a world, and its end.

Promise: from its death on a process commits nothing, says nothing and hears nothing; its tasks are
ended before the next life begins. Refusal: no clean-up of a dead process reaches disk or network.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar

from simworld.trace import Trace

ROUNDS = 1000
"""Turns of the loop that the tasks of a dead process get to end."""


class Life:
    """One process. `reach` is called where it may die."""

    def __init__(self, name: str, trace: Trace) -> None:
        self.name = name
        self.dead = False
        self.cut_power = False
        """Whether nobody is told of the death: the network only falls silent."""
        self.over = asyncio.Event()
        self.tasks: dict[asyncio.Task[object], None] = {}
        self.reached: Counter[str] = Counter()
        self._trace = trace
        self._fuse: tuple[str, int] | None = None
        self._last_words: list[Callable[[], None]] = []

    def arm(self, point: str, hits: int) -> None:
        """Die at the `hits`-th next time that a point is reached."""
        self._fuse = (point, hits)

    def reach(self, point: str) -> bool:
        """Pass a point; returns whether the process lives on."""
        self.reached[point] += 1
        if self._fuse is not None and self._fuse[0] == point:
            left = self._fuse[1] - 1
            self._fuse = (point, left)
            if left <= 0:
                self.die(f"at {point}")
        return not self.dead

    def check(self) -> None:
        """End whoever asks on behalf of a dead process."""
        if self.dead:
            raise asyncio.CancelledError

    def at_death(self, work: Callable[[], None]) -> None:
        """Do something at the moment of the death, whatever it is."""
        self._last_words.append(work)

    def die(self, why: str) -> None:
        """End here and now."""
        if not self.dead:
            self.dead = True
            self._fuse = None
            self._trace.add("death", f"{self.name} {why}")
            for work in self._last_words:
                work()
            self.over.set()

    async def bury(self) -> None:
        """End the tasks of a dead process; none is left."""
        for _ in range(ROUNDS):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
        names = sorted(task.get_name() for task in self.tasks if not task.done())
        raise AssertionError(f"tasks of a dead {self.name} do not end: {names}")


LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)
"""Whose code runs; None: the world's own."""


def present() -> Life:
    """Return the life whose code runs."""
    life = LIFE.get()
    assert life is not None, "no process runs here"
    return life
