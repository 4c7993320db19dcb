"""A link that fails on demand.

Promise: every fault follows from a script, a seed or a call; the same inputs fail the same way.
Refusal: nothing sleeps and no clock is read: what is delayed waits until it is released.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol, assert_never

from conductor_adapters.link_end import ABNORMAL, CLOSED_HERE, LinkEnd
from conductor_adapters.transport import LinkClosed, Transport

_RESET = LinkEnd("the connection was reset", ABNORMAL, clean=False)
_HALF_CLOSED = LinkEnd("the peer's half of the connection is closed", ABNORMAL, clean=False)


class Fate(Enum):
    """What becomes of one frame."""

    PASS = "pass"  # noqa: S105  a fate, not a password
    DROP = "drop"
    DUPLICATE = "duplicate"
    SWAP = "swap"
    """Comes after the next frame that passes."""
    DELAY = "delay"
    """Waits for `release`."""


class Plan(Protocol):
    """Decides the fate of each frame of one direction."""

    def fate(self, index: int, frame: bytes) -> Fate:
        """Decide on frame number `index`, from 0, of this direction; asked once, in order."""
        ...


class Script:
    """Fates by frame number; frames that it does not name pass."""

    def __init__(self, fates: Mapping[int, Fate] | None = None) -> None:
        self._fates = dict(fates or {})

    def fate(self, index: int, frame: bytes) -> Fate:  # noqa: ARG002  a script counts only
        """Look the frame's number up."""
        return self._fates.get(index, Fate.PASS)


class Dice:
    """Fates by chance; the same seed throws the same sequence."""

    def __init__(
        self,
        seed: int,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        swap: float = 0.0,
        delay: float = 0.0,
    ) -> None:
        """Take the seed and the share of frames, 0 to 1, that each fate gets."""
        self._random = random.Random(seed)  # noqa: S311  repeatable on purpose
        self._shares = (
            (Fate.DROP, drop),
            (Fate.DUPLICATE, duplicate),
            (Fate.SWAP, swap),
            (Fate.DELAY, delay),
        )

    def fate(self, index: int, frame: bytes) -> Fate:  # noqa: ARG002  chance does not look
        """Throw once."""
        throw = self._random.random()
        for fate, share in self._shares:
            if throw < share:
                return fate
            throw -= share
        return Fate.PASS


class Lane:
    """One direction of a faulty link."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        """May be replaced at any time; frame numbers go on."""
        self.black_hole = False
        self.counts: Counter[Fate] = Counter()
        """Frames by fate; what a black hole swallowed counts as dropped."""
        self._index = 0
        self._delayed: list[bytes] = []
        self._swapped: list[bytes] = []

    def through(self, frames: Iterable[bytes]) -> list[bytes]:
        """Return what comes out when `frames` go in."""
        out: list[bytes] = []
        for frame in frames:
            fate = Fate.DROP if self.black_hole else self.plan.fate(self._index, frame)
            self._index += 1
            self.counts[fate] += 1
            match fate:
                case Fate.PASS:
                    self._emit(out, frame)
                case Fate.DROP:
                    pass
                case Fate.DUPLICATE:
                    self._emit(out, frame)
                    out.append(frame)
                case Fate.SWAP:
                    self._swapped.append(frame)
                case Fate.DELAY:
                    self._delayed.append(frame)
                case _:
                    assert_never(fate)
        return out

    def release(self) -> list[bytes]:
        """Return what waits, oldest first within each fate; swapped frames come first."""
        out = self._swapped + self._delayed
        self._swapped, self._delayed = [], []
        return out

    def _emit(self, out: list[bytes], frame: bytes) -> None:
        out.append(frame)
        out += self._swapped
        self._swapped = []


class FaultyTransport:
    """A transport around another: frames pass through `down` (received) and `up` (sent)."""

    def __init__(
        self, inner: Transport, *, down: Plan | None = None, up: Plan | None = None
    ) -> None:
        self._inner = inner
        self.down = Lane(down or Script())
        self.up = Lane(up or Script())
        self._ready: list[bytes] = []
        self._end: LinkEnd | None = None
        self._half_closed = False
        self._pull: asyncio.Task[list[bytes]] | None = None
        self._changed = asyncio.Event()

    async def receive(self, limit: int) -> list[bytes]:
        """Receive what the faults leave, at most `limit` frames.

        Raises:
            LinkClosed: When the inner link or a fault ended it.
        """
        while not self._ready:
            if self._end is not None or self._half_closed:
                raise (self._end or _HALF_CLOSED).error()
            if self._pull is None:
                self._pull = asyncio.create_task(self._inner.receive(limit), name="faulty pull")
                self._pull.add_done_callback(lambda _: self._changed.set())
            self._changed.clear()
            if not self._pull.done():
                # The pull outlives a cancelled receive, so that no frame is lost with it.
                await self._changed.wait()
            self._collect()
        taken = self._ready[:limit]
        del self._ready[:limit]
        return taken

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send what the faults leave.

        Raises:
            LinkClosed: When the inner link or a fault ended it.
        """
        if self._end is not None:
            raise self._end.error()
        await self._inner.send(self.up.through(frames))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the inner link; whatever was delayed is lost."""
        self._end = self._end or CLOSED_HERE
        self._ready.clear()
        self._changed.set()
        await self._inner.close(code, reason)
        pull, self._pull = self._pull, None
        if pull is not None:
            pull.cancel()
            await asyncio.wait({pull})

    def black_hole(self) -> None:
        """Let frames vanish both ways from now on, without a sign."""
        self.up.black_hole = self.down.black_hole = True

    def heal(self) -> None:
        """End a black hole; what vanished stays lost."""
        self.up.black_hole = self.down.black_hole = False

    async def release(self) -> None:
        """Let what is delayed go on, both ways.

        Raises:
            LinkClosed: If there is something to send and the link is closed.
        """
        self._ready += self.down.release()
        self._changed.set()
        waiting = self.up.release()
        if waiting:
            await self._inner.send(waiting)

    def half_close(self) -> None:
        """End receiving, as if the peer had closed its half; sending goes on."""
        self._half_closed = True
        self._changed.set()

    async def reset(self) -> None:
        """End both directions at once, without a goodbye; the peer notices too."""
        self._end = self._end or _RESET
        await self.close(ABNORMAL)

    def _collect(self) -> None:
        if self._pull is None or not self._pull.done():
            return
        pull, self._pull = self._pull, None
        try:
            self._ready += self.down.through(pull.result())
        except LinkClosed as error:
            self._end = LinkEnd(error.detail, error.close_code, clean=error.clean)
