"""The event loop of a world: virtual time, no threads, and the same order in every run.

Promise: tasks and futures in a set come out in an order of their making, not of their addresses;
what would run on a thread runs on the loop. Refusal: nothing real is waited for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from simworld.life import LIFE
from simworld.trace import Trace
from virtual_time import VirtualLoop


class SimFuture(asyncio.Future[Any]):
    """A future whose hash is its number."""

    __slots__ = ("number",)

    def __init__(self, number: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    __eq__ = object.__eq__


class SimTask(asyncio.Task[Any]):
    """A task whose hash is its number; it belongs to the life that made it."""

    def __init__(self, number: int, *args: Any, **options: Any) -> None:
        self.number = number
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self.number

    __eq__ = object.__eq__


class SimLoop(VirtualLoop):
    """A virtual loop for a world."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        super().__init__()
        self.trace = Trace(self.time)
        self.complaints: list[str] = []
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]  # the stub wants a generic
        self.set_exception_handler(self._complain)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> SimTask:
        life = LIFE.get()
        task = SimTask(next(self._numbers), work, loop=loop, **options)
        if life is not None:
            life.tasks[task] = None
            task.add_done_callback(lambda ended: life.tasks.pop(ended, None))
        return task

    def _complain(self, _: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
        self.complaints.append(f"{what.get('message')}: {what.get('exception')!r}")

    def create_future(self) -> SimFuture:
        return SimFuture(next(self._numbers), loop=self)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        self.trace.add("timer", f"{when:.6f}")
        return super().call_at(when, callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run it here; the answer comes at the next turn, as from a thread."""
        life = LIFE.get()
        if life is not None:
            life.check()
        future = self.create_future()
        try:
            answer, error = func(*args), None
        except Exception as failure:  # noqa: BLE001  it is the caller's to handle
            answer, error = None, failure

        def tell() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        self.call_soon(tell)
        return future
