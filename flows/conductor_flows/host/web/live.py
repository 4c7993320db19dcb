"""Runs whose streams outlive a connection, where a route asks for it.

Promise: a client that comes back in time goes on after the last event that it has, in order and
without a gap; one that comes too late, or has missed more than is kept, is told so. Refusal: no run
is begun again: its effects would happen twice.

A run has one reader; a second one takes the first one's place.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from conductor_flows.host.errors import HttpRefusal
from conductor_flows.host.streams import held
from conductor_flows.host.web.answers import encoded

KEPT_BYTES: Final = 1024 * 1024
"""Of a run: what was sent already, to be sent again."""
ENDED_BYTES: Final = 32 * 1024 * 1024
ENDED_MAX: Final = 1024
"""Of a route: what is kept of runs that have ended, and of how many; the oldest go first."""
AHEAD: Final = 64
"""Events that a run may be ahead of its reader."""
_ID: Final = re.compile(rb"(run-[0-9a-f-]{36})\.(\d{1,18})")


def event_id(run_id: bytes, number: int) -> bytes:
    """Name an event of a run; numbers count from 1."""
    return b"%b.%d" % (run_id, number)


def parse_event_id(text: bytes | None) -> tuple[bytes, int] | None:
    """Read what `event_id` wrote; None: it is no such thing."""
    found = None if text is None else _ID.fullmatch(text.strip())
    return None if found is None else (found[1], int(found[2]))


class LiveRun:
    """One run that gives events."""

    def __init__(
        self, run_id: bytes, items: AsyncIterator[Any], grace_s: float, over: Callable[[], None]
    ) -> None:
        self.run_id = run_id
        self._grace_s = grace_s
        self._over = over
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._given = self._read = 0
        self._reader = 0
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._grace: asyncio.TimerHandle | None = None
        self._pump = asyncio.get_running_loop().create_task(self._run(items), name="flow.stream")
        self.forget: Callable[[], None] = lambda: None

    async def _run(self, items: AsyncIterator[Any]) -> None:
        try:
            async with held(items) as pieces:
                async for item in pieces:
                    self._keep(encoded(item))
                    while self._ahead:
                        await self._change()
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._over()
            self._tell()

    def _keep(self, data: bytes) -> None:
        self._given += 1
        self._kept.append((self._given, data))
        self._kept_bytes += len(data)
        while self._kept_bytes > KEPT_BYTES and self._kept[0][0] <= self._read:
            self._kept_bytes -= len(self._kept.popleft()[1])
        self._tell()

    @property
    def _ahead(self) -> bool:
        """Whether the run has given as much as may wait for its reader."""
        unread = self._given - self._read
        return unread >= AHEAD or (unread > 0 and self._kept_bytes > KEPT_BYTES)

    def _tell(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    @property
    def left(self) -> bool:
        """Whether it has ended and nobody reads it: it is only kept for one who may come back."""
        return self._pump.done() and self._grace is not None

    @property
    def kept_bytes(self) -> int:
        """What is kept of it."""
        return self._kept_bytes

    def has_all(self, after: int) -> bool:
        """Whether a client that has that event has all there will be."""
        return self._pump.done() and self._error is None and after >= self._given

    async def events(self, after: int) -> AsyncIterator[tuple[int, bytes]]:
        """Give the events after a number, and go on with those that come.

        Raises:
            HttpRefusal: 410: some of them are not kept any more, or never were.
            Exception: What ended the run.
        """
        first = self._kept[0][0] if self._kept else self._given + 1
        if after > self._given or after + 1 < first:
            raise HttpRefusal(410, f"What came after event {after} is not kept any more")
        self._reader += 1
        mine, self._read = self._reader, after
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._tell()
        try:
            while mine == self._reader:
                while self._read < self._given and mine == self._reader:
                    number, data = self._kept[self._read + 1 - self._kept[0][0]]
                    yield number, data
                    self._read = number
                    self._tell()
                if self._pump.done():
                    if self._error is not None:
                        raise self._error
                    return
                await self._change()
        finally:
            if mine == self._reader:
                self._left_alone()

    def unread(self) -> None:
        """Say that its client has gone: one that read nothing has left it alone as well."""
        if not self._reader:
            self._left_alone()

    def _left_alone(self) -> None:
        self._grace = asyncio.get_running_loop().call_later(self._grace_s, self.close)

    def close(self) -> None:
        """End the run, and forget it."""
        if self._grace is not None:
            self._grace.cancel()
        self._pump.cancel()
        self.forget()

    async def closed(self) -> None:
        """Wait until the run has ended."""
        self.close()
        await asyncio.wait({self._pump})


class LiveRuns:
    """Those of a route, by run: no other route leads to them."""

    def __init__(self) -> None:
        self._runs: dict[bytes, LiveRun] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: LiveRun) -> None:
        """Remember a run until it forgets itself, or has to make room."""
        self._make_room()
        self._runs[run.run_id] = run

        def forget() -> None:
            self._runs.pop(run.run_id, None)

        run.forget = forget

    def _make_room(self) -> None:
        # The place of a run is free when it ends, so places do not bound what is kept after that.
        left = [run for run in self._runs.values() if run.left]
        size = sum(run.kept_bytes for run in left)
        for gone, run in enumerate(left):
            if size <= ENDED_BYTES and len(left) - gone <= ENDED_MAX:
                break
            size -= run.kept_bytes
            run.close()

    def get(self, run_id: bytes) -> LiveRun | None:
        """Return a run that is still there."""
        return self._runs.get(run_id)

    async def close(self) -> None:
        """End all of them."""
        for run in list(self._runs.values()):
            await run.closed()
