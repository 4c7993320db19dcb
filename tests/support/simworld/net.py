"""The network of a world: connections that keep their order and may do everything else wrong.

Promise: what arrives, arrives whole and in order, after a time that the seed gives; a connection
can be cut in the middle of a write, fall silent in one direction or both, or crawl, and neither end
is told more than a socket would tell it. Refusal: no frame is made up, changed or repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from conductor_adapters.link_end import ABNORMAL, CLOSED_HERE, LinkEnd, closed_by_peer
from conductor_adapters.transport import (
    ConductorBusy,
    ConnectFailed,
    CredentialRefused,
    LinkOptions,
    Transport,
)
from conductor_sdk.secret import Secret
from simworld.life import Life, present
from simworld.trace import Trace

LOST = LinkEnd("the connection was lost", ABNORMAL, clean=False)
BUFFER_BYTES = 65_536
"""What one direction takes before a writer waits."""


class Wire:
    """One direction of a connection."""

    def __init__(self, net: Net, name: str) -> None:
        self._net = net
        self._name = name
        self._free_at = 0.0
        self.silent = False
        """What is written is swallowed, and nobody is told."""
        self.slow_s = 0.0
        """More seconds for each frame."""
        self.unread = 0
        self.to: End | None = None
        self.room = asyncio.Event()
        self.room.set()
        self._under_way: list[tuple[asyncio.TimerHandle, bytes | LinkEnd]] = []

    def put(self, item: bytes | LinkEnd) -> None:
        """Send a frame, or the end, on its way."""
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time() + self._net.latency_s()) + self.slow_s
        if isinstance(item, bytes):
            self.unread += len(item)
            self._net.trace.frame(f"{self._name} sent", item)
            self._mark()
        if not self.silent:
            handle = loop.call_at(self._free_at, self._arrive)
            self._under_way.append((handle, item))

    def taken(self, size: int) -> None:
        """Note that the reader took so many bytes."""
        self.unread -= size
        self._mark()

    def silence(self) -> None:
        """Swallow everything from now on, and what is under way."""
        self.silent = True
        self._drop(0)

    def lose(self, share: float) -> None:
        """Let a part of what is under way arrive now, and lose the rest: a write cut in two."""
        kept = int(len(self._under_way) * share)
        for _, item in self._under_way[:kept]:
            self._hand(item)
        self._drop(0)

    def _arrive(self) -> None:
        _, item = self._under_way.pop(0)
        self._hand(item)

    def _hand(self, item: bytes | LinkEnd) -> None:
        if self.to is None:
            return
        if isinstance(item, LinkEnd):
            self.to.end(item)
        else:
            self._net.trace.frame(f"{self._name} arrived", item)
            self.to.arrived(item)

    def _drop(self, first: int) -> None:
        for handle, _ in self._under_way[first:]:
            handle.cancel()
        del self._under_way[first:]

    def _mark(self) -> None:
        (self.room.set if self.unread < BUFFER_BYTES else self.room.clear)()


class End:
    """One end of a connection: a `Transport`, and the conductor's `Link`."""

    def __init__(self, outgoing: Wire, incoming: Wire, name: str, life: Life) -> None:
        self._out = outgoing
        self._in = incoming
        self._name = name
        self._life = life
        self._inbox: list[bytes] = []
        self._readable = asyncio.Event()
        self._end: LinkEnd | None = None
        incoming.to = self

    async def receive(self, limit: int) -> list[bytes]:
        self._life.check()
        while not self._inbox:
            if self._end is not None:
                raise self._end.error()
            self._readable.clear()
            await self._readable.wait()
            self._life.check()
        taken, self._inbox = self._inbox[:limit], self._inbox[limit:]
        self._in.taken(sum(map(len, taken)))
        if not self._life.reach(f"{self._name}.received"):
            raise asyncio.CancelledError
        return taken

    async def send(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._life.check()
            if self._end is not None:
                raise self._end.error()
            self._out.put(frame)
            self._life.reach(f"{self._name}.sent")
        while not self._out.room.is_set() and self._end is None:
            await self._out.room.wait()
        self._life.check()
        if self._end is not None:
            raise self._end.error()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._life.dead or self._end is CLOSED_HERE:
            return
        if self._end is None:
            self._out.put(LOST if code == ABNORMAL else closed_by_peer(code, reason))
        self._inbox.clear()
        self.end(CLOSED_HERE)

    def arrived(self, frame: bytes) -> None:
        if self._end is None:
            self._inbox.append(frame)
            self._readable.set()

    def end(self, end: LinkEnd) -> None:
        """End this end; what arrived before can still be read."""
        if self._end is None or end is CLOSED_HERE:
            self._end = end
        self._readable.set()
        self._out.room.set()


class Connection:
    """Both ends and both wires."""

    def __init__(self, net: Net, number: int, near: Life, far: Life) -> None:
        self.up, self.down = Wire(net, f"up {number}"), Wire(net, f"down {number}")
        self.near = End(self.up, self.down, "sidecar", near)
        self.far = End(self.down, self.up, "conductor", far)
        self._dice = net.dice
        near.at_death(lambda: self._abandoned(near, self.up, self.down))
        far.at_death(lambda: self._abandoned(far, self.down, self.up))

    def _abandoned(self, life: Life, outgoing: Wire, incoming: Wire) -> None:
        """A process is gone: its kernel resets the connection, unless the power went too."""
        incoming.silence()
        if life.cut_power:
            outgoing.silence()
        else:
            outgoing.put(LOST)

    def cut(self) -> None:
        """Reset both ends; of what is under way, a part arrives."""
        for wire in (self.up, self.down):
            wire.lose(self._dice.random())
            if wire.to is not None:
                wire.to.end(LOST)

    def black_hole(self) -> None:
        """Swallow everything, both ways."""
        self.up.silence()
        self.down.silence()

    def slow(self, seconds: float) -> None:
        """Let each frame take longer, both ways."""
        self.up.slow_s = self.down.slow_s = seconds


class Net:
    """Between one sidecar and one conductor; also the adapter that the sidecar finds."""

    name = "simulated"
    schemes = ("sim",)

    def __init__(self, dice: Random, trace: Trace) -> None:
        self.dice = dice
        self.trace = trace
        self.accept: Callable[[End], None] | None = None
        """What the conductor does with a connection; None: nobody listens."""
        self.listener: Life | None = None
        self.refusal: Callable[[], Exception] | None = None
        self.deaf = False
        """Connections are not answered."""
        self.ghosts = 0
        """So many next connections are accepted, and the sidecar never learns of it."""
        self.connections: list[Connection] = []
        self._number = 0

    def latency_s(self) -> float:
        """Throw for one frame."""
        return self.dice.uniform(0.0002, 0.02)

    @property
    def latest(self) -> Connection | None:
        """The connection that was made last."""
        return self.connections[-1] if self.connections else None

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        """Connect as an adapter does."""
        del address, credential
        life = present()
        life.check()
        self.trace.add("connect")
        await asyncio.sleep(options.open_timeout_s if self.deaf else self.latency_s())
        if self.deaf:
            raise ConnectFailed("no answer")
        if self.refusal is not None:
            raise self.refusal()
        if self.accept is None or self.listener is None:
            raise ConnectFailed("nobody listens")
        self._number += 1
        connection = Connection(self, self._number, life, self.listener)
        self.accept(connection.far)
        if self.ghosts:
            self.ghosts -= 1
            connection.black_hole()
            await asyncio.sleep(options.open_timeout_s)
            raise ConnectFailed("the answer was lost")
        del self.connections[:-4]
        self.connections.append(connection)
        return connection.near


def busy(seconds: float) -> Callable[[], Exception]:
    """Refuse with a time to come back."""
    return lambda: ConductorBusy(retry_after_s=seconds)


def unknown_credential() -> Exception:
    """Refuse the credential."""
    return CredentialRefused("revoked")
