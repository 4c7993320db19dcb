"""An event loop whose time jumps instead of passing.

Whatever a test waits for comes at once, in the order in which it would have come. A test in which
nothing can ever happen any more fails, instead of hanging.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec

P = ParamSpec("P")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class NothingLeft(Exception):
    """Every task waits, and no timer is set: nothing will ever happen."""


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise NothingLeft
            self.loop.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 seconds. No threads and no sockets: their answers take real time."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self._virtual_s = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual_s

    def jump(self, seconds: float) -> None:
        # A timer must be due after the jump, whatever the rounding.
        self._virtual_s += seconds + 1e-9 if seconds > 0 else 0.0


class LoopClock:
    """A `Clock` that shows the loop's time."""

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def virtual(test: Callable[P, Awaitable[None]], *, debug: bool = True) -> Callable[P, None]:
    """Run a coroutine test on a virtual loop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=VirtualLoop, debug=debug) as runner:
            runner.run(bounded())

    return run


virtual_undebugged = functools.partial(virtual, debug=False)
"""As `virtual`, for crowds: the loop's own checks cost ten times what they watch over."""


async def turns(count: int = 50) -> None:
    """Let everything that can happen without time passing happen."""
    for _ in range(count):
        await asyncio.sleep(0)
