"""A conductor that misbehaves on purpose: links that lose, repeat, delay, cut or swallow frames.

Promise: with one seed, the same connections and the same frames meet the same faults, and every
fault is counted. Refusal: a fault touches frames and connections only; what is stored stays true.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from conductor_server.errors import LinkEnded, RefusingConnections
from conductor_server.fault_plan import FaultPlan, FrameFaults, parse_faults
from conductor_server.ports import Link

Sleep = Callable[[float], Awaitable[None]]


class FaultBoard:
    """The switches of one conductor; a change holds for links that are already open."""

    def __init__(
        self, plan: FaultPlan | None = None, *, seed: int = 0, sleep: Sleep = asyncio.sleep
    ) -> None:
        """Build a board.

        Args:
            plan: The switches to begin with.
            seed: Decides which frames meet a fault.
            sleep: Waits out a delay; a test hands in its own.
        """
        self.plan = plan or FaultPlan()
        self.seed = seed
        self.sleep = sleep
        self.counts: Counter[str] = Counter()
        self._links = 0

    def set(self, texts: Iterable[str]) -> FaultPlan:
        """Turn switches on top of those that are on; all or nothing.

        Raises:
            FaultSyntax: A text is not a fault.
        """
        self.plan = parse_faults(texts, self.plan)
        return self.plan

    def clear(self) -> None:
        """Turn every switch off; counters stay."""
        self.plan = FaultPlan()

    def admit(self) -> None:
        """Let a new connection pass.

        Raises:
            RefusingConnections: The switch `refuse` is on.
        """
        if self.plan.refuse is not None:
            self.counts["refused"] += 1
            raise RefusingConnections(
                status=self.plan.refuse, retry_after_s=self.plan.retry_after_s
            )

    def wrap(self, link: Link) -> Link:
        """Put the switches between a session and its link."""
        self._links += 1
        return FaultyLink(link, self, self._links)


class FaultyLink:
    """A link under a fault board. It changes nothing while the plan is a good day's."""

    def __init__(self, link: Link, board: FaultBoard, number: int) -> None:
        self._link = link
        self._board = board
        self._down = _Mangler(random.Random(f"{board.seed}/{number}/down"), board.counts)  # noqa: S311  repeatable, not secret
        self._up = _Mangler(random.Random(f"{board.seed}/{number}/up"), board.counts)  # noqa: S311  repeatable, not secret
        self._ready: deque[bytes] = deque()
        self._delay_s = 0.0
        self._frames = 0

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for frames that survive; cancelling loses none."""
        while not self._ready:
            frames = await self._link.receive(limit)
            await self._count(frames)
            if self._board.plan.black_hole:
                self._board.counts["swallowed"] += len(frames)
                continue
            passed, self._delay_s = self._up.mangle(self._board.plan.up, frames)
            self._ready.extend(passed)
        if self._delay_s:
            await self._board.sleep(self._delay_s)
            self._delay_s = 0.0
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write the frames that survive."""
        await self._count(frames)
        if self._board.plan.black_hole:
            self._board.counts["swallowed"] += len(frames)
            return
        passed, delay_s = self._down.mangle(self._board.plan.down, frames)
        if delay_s:
            await self._board.sleep(delay_s)
        if passed:
            await self._link.send(passed)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the link below."""
        await self._link.close(code, reason)

    async def _count(self, frames: Sequence[bytes]) -> None:
        self._frames += len(frames)
        last = self._board.plan.close_after
        if last is not None and self._frames > last:
            self._board.counts["cut"] += 1
            await self._link.close(1011, "fault: close_after")
            raise LinkEnded("fault: close_after", close_code=1011)


class _Mangler:
    """One direction of one link. Draws four numbers per frame, whatever the plan says."""

    def __init__(self, source: random.Random, counts: Counter[str]) -> None:
        self._draw = source.random
        self._counts = counts
        self._held: list[bytes] = []

    def mangle(self, faults: FrameFaults, frames: Sequence[bytes]) -> tuple[list[bytes], float]:
        """Return the frames that go on now, and the seconds that they wait first."""
        passed: list[bytes] = []
        delay_s = 0.0
        for frame in frames:
            drop, duplicate, reorder, delay = (self._draw() for _ in range(4))
            if drop < faults.drop:
                self._counts["dropped"] += 1
                continue
            if delay < faults.delay_p:
                self._counts["delayed"] += 1
                delay_s = max(delay_s, faults.delay_s)
            copies = [frame]
            if duplicate < faults.duplicate:
                self._counts["duplicated"] += 1
                copies = [frame, frame]
            if reorder < faults.reorder and not self._held:
                self._counts["reordered"] += 1
                self._held = copies
                continue
            passed += copies + self._held
            self._held = []
        return passed, delay_s
