"""Running foreign code: under a deadline, in a slot, whatever it does.

Promise: a tool that raises, hangs, exits or ignores its cancellation ends the call with a code,
and its slot is free again. Refusal: nothing is checked, stored or retried here.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from conductor_handlers.errors import describe, trace
from conductor_handlers.toolhost.current import Within, current_call
from conductor_sdk.context import Log
from conductor_sdk.pack_errors import ScopeDenied
from conductor_sdk.tool_output import ToolOutput, failed

GRACE_S = 0.25
"""How long a tool may take to end once it is cancelled."""


class Dispatcher:
    """Runs tools; at most so many at a time."""

    def __init__(self, max_concurrency: int, log: Log | None = None) -> None:
        self._slots = asyncio.Semaphore(max_concurrency)
        self._log = log
        self._stuck: set[asyncio.Task[object]] = set()
        """Tools that would not end; held so that they are not collected while they run."""

    async def run(
        self,
        name: str,
        tool: Callable[[], Awaitable[object]],
        within: Within,
        deadline_s: float,
        began: Callable[[asyncio.Task[object]], None],
    ) -> object:
        """Run a tool; its answer, whatever that is, or a failure.

        Args:
            name: The tool's, for messages.
            tool: Starts it.
            within: The call; a call from inside of another one takes no slot of its own, or the
                outer ones could hold all slots and wait for the inner ones.
            deadline_s: From now, waiting for a slot included.
            began: Is told the task that can be cancelled.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + deadline_s
        outermost = within.depth == 1
        if outermost and not await self._slot(deadline_s):
            return failed("TOOL_TIMEOUT", f"{name} found no free slot within {deadline_s:g} s")
        try:
            task = loop.create_task(_guarded(name, tool, within), name=f"tool {name}")
            began(task)
            await asyncio.wait((task,), timeout=max(0.0, ends - loop.time()))
            if task.done():
                return task.result()
            return await self._expire(name, task, deadline_s)
        finally:
            if outermost:
                self._slots.release()

    async def _slot(self, timeout_s: float) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _expire(self, name: str, task: asyncio.Task[object], deadline_s: float) -> ToolOutput:
        task.cancel()
        await asyncio.wait((task,), timeout=GRACE_S)
        if not task.done():
            self._stuck.add(task)
            task.add_done_callback(self._stuck.discard)
            if self._log is not None:
                self._log.error("tool_stuck", tool=name)
        return failed("TOOL_TIMEOUT", f"{name} did not end within {deadline_s:g} s")


async def _guarded(name: str, tool: Callable[[], Awaitable[object]], within: Within) -> object:
    """Call a tool so that nothing but an answer comes out of its task."""
    current_call.set(within)
    try:
        answer: Any = tool()
        return await answer if inspect.isawaitable(answer) else answer
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            return failed("TOOL_EXECUTION_FAILED", f"{name} failed: CancelledError of its own")
        return failed("CALL_INTERRUPTED", f"{name} was cancelled; it may have had an effect")
    except ScopeDenied as error:
        return failed("SCOPE_DENIED", error.message)
    except (KeyboardInterrupt, GeneratorExit):
        raise  # the interpreter's own, not the tool's
    except BaseException as error:  # noqa: BLE001  foreign code: anything may come
        return failed("TOOL_EXECUTION_FAILED", f"{name} failed: {describe(error)} [{trace(error)}]")
