"""The queue between the daemon and the collector: bounded, and emptied by a thread of its own.

Promise: `add` takes about a microsecond whatever the collector does; what finds no room and what
could not be delivered is counted. Refusal: nothing is kept for later runs and nothing is sent
twice by us.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from conductor_sidecar.logs import get_logger
from conductor_sidecar.tracing.spans import FinishedSpan, TraceReport

BATCH = 512
LINGER_S = 1.0
"""How long a span waits for company."""
CLOSE_S = 1.0
"""How long a thread that is told to end is waited for; an answer may still be outstanding."""


class Export(Protocol):
    """Sends spans."""

    def __call__(self, spans: Sequence[FinishedSpan]) -> bool:
        """Send a batch; False: it is lost. May take long, and must not raise."""
        ...

    def stop(self) -> None:
        """Give up what is being tried; called from another thread."""
        ...


class SpanQueue:
    """A `SpanSink` with a thread behind it. `add` from one thread, the event loop's."""

    def __init__(self, opening: Callable[[], Export], *, limit: int) -> None:
        """Build a queue; its thread begins with the first span.

        Args:
            opening: Called once, in the thread: it may import what is slow to import.
            limit: Spans that may wait.
        """
        self._opening = opening
        self._limit = limit
        self._waiting: deque[FinishedSpan] = deque()
        self._sending = 0
        self._wake = threading.Event()
        self._told = threading.Condition()
        self._asked = self._flushed = 0
        """Flushes asked for, and done."""
        self._over = False
        self._dropped = self._exported = self._failed = 0
        self._export: Export | None = None
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def add(self, span: FinishedSpan) -> None:
        """Take a span, or count that there was no room."""
        waiting = self._waiting
        if len(waiting) + self._sending >= self._limit:
            self._dropped += 1
            return
        waiting.append(span)
        if self._thread.ident is None:
            self._thread.start()
        elif len(waiting) == BATCH:
            self._wake.set()

    def report(self) -> TraceReport:
        """Return the counts of this process."""
        queued = len(self._waiting) + self._sending
        return TraceReport(queued, self._exported, self._dropped, self._failed)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all that was added is exported or lost; False when the time is over."""
        if self._thread.ident is None:
            return True
        self._asked += 1
        asked = self._asked
        self._wake.set()
        return await asyncio.to_thread(self._wait, asked, timeout_s)

    async def close(self) -> None:
        """End the thread; what still waits is dropped and counted."""
        self._over = True
        self._wake.set()
        if self._export is not None:
            self._export.stop()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_S)
        self._dropped += len(self._waiting)
        self._waiting.clear()

    def _wait(self, asked: int, timeout_s: float) -> bool:
        with self._told:
            return self._told.wait_for(lambda: self._flushed >= asked, timeout_s)

    def _run(self) -> None:
        try:
            export = self._export = self._opening()
        except Exception as error:  # noqa: BLE001  foreign code: delivery goes on without spans
            get_logger(part="traces").error("traces_off", error=type(error).__name__)
            export = _Nowhere()
        while not self._over:
            if self._asked == self._flushed and len(self._waiting) < BATCH:
                self._wake.wait(LINGER_S)
            self._wake.clear()
            asked = self._asked
            while self._waiting and not self._over:
                self._send(export)
            with self._told:
                self._flushed = asked
                self._told.notify_all()

    def _send(self, export: Export) -> None:
        # Counted before they leave the queue, so that `add` never sees room that is not there.
        self._sending = min(BATCH, len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(self._sending)]
        if export(batch):
            self._exported += len(batch)
        else:
            self._failed += len(batch)
        self._sending = 0


class _Nowhere:
    """Stands for libraries that are there and cannot be loaded."""

    def __call__(self, spans: Sequence[FinishedSpan]) -> bool:
        del spans
        return False

    def stop(self) -> None:
        """Do nothing."""
