"""One link over a broker, seen from either end.

Promise: frames whole and in order, never one of another link; an end sends only what the other has
room for, so that no broker has to queue more than a window; a hole in the numbers ends the link.
Refusal: it connects to nothing and subscribes to nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from conductor_adapters.errors import FramesLost, PacketTooLarge
from conductor_adapters.link_end import ABNORMAL, TOO_BIG, closed_by_peer
from conductor_adapters.mqtt_wire import (
    PACKET_OVERHEAD,
    Accept,
    Close,
    Gone,
    Open,
    Refuse,
    Settled,
    correlation,
    encode,
)
from conductor_adapters.transport import LinkClosed, LinkOptions

WINDOW = 256
"""Frames in flight in one direction, at most: a quarter of the smallest common broker queue."""
CONTROL_ROOM = 16
"""What the receive maximum holds beyond a window, so that controls pass a full one."""
_REASON_CHARACTERS = 123


class Publisher(Protocol):
    """The half of a connection that a link speaks through."""

    def publish(
        self, topic: str, payload: bytes, *, correlation: bytes = b"", control: bool = False
    ) -> None:
        """Publish in order; does not wait."""
        ...

    def acknowledge(self, mid: int) -> None:
        """Let the broker forget a message."""
        ...


class LinkFacts(NamedTuple):
    """What names a link."""

    link: bytes
    topic: str
    """Where this end speaks."""


class _End(msgspec.Struct, frozen=True):
    kind: type[LinkClosed]
    detail: str
    close_code: int
    clean: bool

    def error(self) -> LinkClosed:
        return self.kind(self.detail, close_code=self.close_code, clean=self.clean)


class _Unread(NamedTuple):
    frame: bytes
    mid: int
    """0: acknowledged at the broker already."""


class MqttLink:
    """A transport. `release` lets go of what it stands on: (True) at once, (False) in order.

    `close(1006)` aborts: at a sidecar the connection vanishes and the broker publishes the will.
    """

    def __init__(
        self, publisher: Publisher, facts: LinkFacts, options: LinkOptions, *,
        release: Callable[[bool], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.facts = facts
        self._publisher = publisher
        self._options = options
        self._release = release
        self._max_packet_bytes: int | None = None
        self._inbox: deque[_Unread] = deque()
        self._arrived = 0
        self._readable = asyncio.Event()
        self._deferred = False
        self._unsettled: deque[_Unread] = deque()
        self._settled = 0
        self._settled_bytes = 0
        self._told = 0
        self._sent = 0
        self._outstanding: deque[int] = deque()
        self._outstanding_bytes = 0
        self._window = self._window_bytes = self._max_frame_bytes = 0
        self._writable = asyncio.Event()
        self._end: _End | None = None
        self._leaving: asyncio.Task[None] | None = None

    # What the consumer calls: the transport.

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for at least one frame; return everything that has arrived, at most `limit`.

        Raises:
            LinkClosed: After the last frame that arrived has been returned.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        while not self._inbox:
            if self._end is not None:
                raise self._end.error()
            self._readable.clear()
            await self._readable.wait()
        taken = [self._inbox.popleft() for _ in range(min(limit, len(self._inbox)))]
        self._unsettled.extend(taken)
        if not self._deferred:
            self._settle(len(taken))
        return [unread.frame for unread in taken]

    async def send(self, frames: Sequence[bytes]) -> None:
        """Publish frames in order, waiting wherever the peer's window is full.

        Raises:
            LinkClosed: The frames may or may not have left.
        """
        if self._end is not None:
            raise self._end.error()
        for frame in frames:
            if self._too_large(frame):
                return
            self._sent += 1
            self._outstanding.append(len(frame))
            self._outstanding_bytes += len(frame)
            number = correlation(self.facts.link, self._sent)
            self._publisher.publish(self.facts.topic, frame, correlation=number)
            while not self._room():
                self._writable.clear()
                await self._writable.wait()
                if self._end is not None:
                    raise self._end.error()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and release everything within `close_timeout_s`. Idempotent, never raises."""
        self._inbox.clear()
        if self._leaving is None:
            if self._end is None and code != ABNORMAL:
                self._tell(Close(code, reason[:_REASON_CHARACTERS]))
            self._conclude(_End(LinkClosed, "closed here", 1000, clean=False))
            leaving = self._release(code == ABNORMAL)
            self._leaving = asyncio.create_task(_run(leaving), name="mqtt.close")
        await asyncio.shield(self._leaving)

    def defer(self) -> Callable[[int], None]:
        """Leave frames unacknowledged until the returned function counts them as stored.

        From now on the broker keeps what `receive` returned, and the peer's window stays taken,
        until the function is called with how many more frames, oldest first, are done with.
        """
        self._deferred = True
        return self._settle

    # What the owner of the connection calls.

    def opened(self, peer: Open | Accept) -> None:
        """Take note of what the peer has room for."""
        self._window = max(1, min(peer.window, WINDOW))
        self._window_bytes = max(1, peer.window_bytes)
        self._max_frame_bytes = peer.max_frame_bytes

    def limit(self, packet_bytes: int | None) -> None:
        """Take note of the largest packet that the broker takes; None: it names no limit."""
        self._max_packet_bytes = packet_bytes

    def take(self, number: int, frame: bytes, mid: int) -> None:
        """Take a frame that arrived for this link; it is kept, or dropped and acknowledged."""
        if self._end is not None or number <= self._arrived:
            self._acknowledge(mid)
        elif number != self._arrived + 1:
            self._acknowledge(mid)
            lost = f"numbers {self._arrived + 1} to {number - 1}"
            self._conclude(_End(FramesLost, lost, ABNORMAL, clean=False))
        elif len(frame) > self._options.max_frame_bytes:
            self._acknowledge(mid)
            limit = self._options.max_frame_bytes
            self._refuse(LinkClosed, f"frame of {len(frame)} bytes, the limit is {limit}")
        else:
            self._arrived = number
            self._inbox.append(_Unread(frame, mid))
            self._readable.set()

    def hear(self, control: Settled | Close | Gone | Open | Accept | Refuse) -> None:
        """Do what the peer says about this link; what has no place here is ignored."""
        match control:
            case Settled(frames):
                self._give_room(frames)
            case Close(code, reason):
                end = closed_by_peer(code, reason)
                self._conclude(_End(LinkClosed, end.detail, code, clean=True))
            case Gone():
                self.lose(LinkClosed, "the peer has vanished")
            case _:
                pass

    def lose(self, kind: type[LinkClosed], detail: str) -> None:
        """End the link: what it stands on is gone."""
        self._conclude(_End(kind, detail, ABNORMAL, clean=False))

    @property
    def ended(self) -> bool:
        """Whether the end has come."""
        return self._end is not None

    # Between the two.

    def _settle(self, frames: int) -> None:
        for _ in range(min(frames, len(self._unsettled))):
            unread = self._unsettled.popleft()
            self._acknowledge(unread.mid)
            self._settled += 1
            self._settled_bytes += len(unread.frame)
        due = self._settled - self._told >= max(1, self._own_window() // 2)
        if due or self._settled_bytes * 2 >= self._options.receive_window_bytes:
            self._told, self._settled_bytes = self._settled, 0
            if self._end is None:
                self._tell(Settled(self._settled))

    def _own_window(self) -> int:
        return min(self._options.receive_window, WINDOW)

    def _acknowledge(self, mid: int) -> None:
        if mid:
            self._publisher.acknowledge(mid)

    def _give_room(self, settled: int) -> None:
        while self._outstanding and self._sent - len(self._outstanding) < settled:
            self._outstanding_bytes -= self._outstanding.popleft()
        if self._room():
            self._writable.set()

    def _room(self) -> bool:
        return (
            len(self._outstanding) < self._window and self._outstanding_bytes < self._window_bytes
        )

    def _too_large(self, frame: bytes) -> bool:
        broker = self._max_packet_bytes
        if broker is not None and len(frame) + PACKET_OVERHEAD > broker:
            self._refuse(PacketTooLarge, f"{len(frame)} bytes, the broker takes {broker}")
            return True
        if len(frame) > self._max_frame_bytes:
            limit = self._max_frame_bytes
            self._refuse(LinkClosed, f"frame of {len(frame)} bytes, the limit is {limit}")
            return True
        return False

    def _refuse(self, kind: type[LinkClosed], reason: str) -> None:
        self._tell(Close(TOO_BIG, reason))
        self._conclude(_End(kind, f"refused: {reason}", TOO_BIG, clean=False))

    def _tell(self, control: Settled | Close) -> None:
        self._publisher.publish(
            self.facts.topic, encode(control), correlation=correlation(self.facts.link),
            control=True,
        )  # fmt: skip

    def _conclude(self, end: _End) -> None:
        self._end = self._end or end
        self._readable.set()
        self._writable.set()


async def _run(leaving: Awaitable[None]) -> None:
    await leaving


def own_window(options: LinkOptions) -> tuple[int, int, int]:
    """Return what an end tells the other: frames, bytes, and the largest frame."""
    window = max(1, min(options.receive_window, WINDOW))
    return window, options.receive_window_bytes, options.max_frame_bytes
