"""Links inside one process, without a network.

Promise: the same order, windows, back-pressure and closing as a link over a network, frame by
frame. Refusal: no bytes leave the process or the event loop; it is not thread-safe; a name is
forgotten when its listener closes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from conductor_adapters.errors import AddressTaken
from conductor_adapters.link_end import ABNORMAL, CLOSED_HERE, TOO_BIG, LinkEnd, closed_by_peer
from conductor_adapters.transport import ConnectFailed, LinkOptions, Transport
from conductor_sdk.secret import Secret

_PREFIX = "memory://"
_listeners: dict[str, Listener] = {}


class _Inbox:
    """One direction: frames that were sent and not yet received, and who waits for which."""

    __slots__ = ("frames", "options", "readable", "size", "writable")

    def __init__(self, options: LinkOptions) -> None:
        self.options = options
        self.frames: list[bytes] = []
        self.size = 0
        self.readable = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def put(self, frames: Sequence[bytes]) -> None:
        self.frames.extend(frames)
        self.size += sum(map(len, frames))
        self._mark()

    def take(self, limit: int) -> list[bytes]:
        taken = self.frames[:limit]
        del self.frames[:limit]
        self.size -= sum(map(len, taken))
        self._mark()
        return taken

    def _mark(self) -> None:
        if self.frames:
            self.readable.set()
        else:
            self.readable.clear()
        if (
            len(self.frames) < self.options.receive_window
            and self.size < self.options.receive_window_bytes
        ):
            self.writable.set()
        else:
            self.writable.clear()

    def release(self) -> None:
        self.readable.set()
        self.writable.set()


class MemoryTransport:
    """One end of a loopback link. `close(1006)` resets it: the peer sees no goodbye."""

    def __init__(self, inbox: _Inbox, outbox: _Inbox, credential: Secret) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._end: LinkEnd | None = None
        self._peer: MemoryTransport | None = None
        self.credential = credential
        """What the connecting side presented; the same value at both ends."""

    @classmethod
    def linked(
        cls, options: LinkOptions, peer_options: LinkOptions, credential: Secret
    ) -> tuple[Self, Self]:
        """Make both ends; `options` are the first one's."""
        first_inbox, second_inbox = _Inbox(options), _Inbox(peer_options)
        first = cls(first_inbox, second_inbox, credential)
        second = cls(second_inbox, first_inbox, credential)
        first._peer, second._peer = second, first
        return first, second

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for at least one frame; return everything that has arrived, at most `limit`.

        Raises:
            LinkClosed: After the last frame that arrived has been returned.
        """
        if limit < 1:
            raise ValueError("limit must be at least 1")
        while not self._inbox.frames:
            if self._end is not None:
                raise self._end.error()
            await self._inbox.readable.wait()
        return self._inbox.take(limit)

    async def send(self, frames: Sequence[bytes]) -> None:
        """Hand the frames over in order; wait until the peer's window has room again.

        Raises:
            LinkClosed: The frames may or may not have been handed over.
        """
        if self._end is not None:
            raise self._end.error()
        largest = self._outbox.options.max_frame_bytes
        for index, frame in enumerate(frames):
            if len(frame) > largest:
                self._outbox.put(frames[:index])
                reason = f"frame of {len(frame)} bytes, the limit is {largest}"
                self._conclude(closed_by_peer(TOO_BIG, reason), _refused(reason))
                return
        self._outbox.put(frames)
        await self._outbox.writable.wait()
        if self._end is not None:
            raise self._end.error()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the link for both; the peer may still read what was sent. Idempotent."""
        if code == ABNORMAL:
            told = LinkEnd("the connection was lost", ABNORMAL, clean=False)
        else:
            told = closed_by_peer(code, reason)
        self._conclude(CLOSED_HERE, told)
        self._inbox.take(len(self._inbox.frames))
        self._inbox.release()

    def _conclude(self, here: LinkEnd, there: LinkEnd) -> None:
        peer, self._peer = self._peer, None
        self._end = self._end or here
        if peer is not None:
            peer._peer = None  # noqa: SLF001  the other end of the same object
            peer._end = peer._end or there  # noqa: SLF001  the other end of the same object
        self._inbox.release()
        self._outbox.release()


class Listener:
    """A name that `connect` reaches; made by `listen`, forgotten by `close`."""

    def __init__(
        self, name: str, options: LinkOptions, admit: Callable[[Secret], None] | None
    ) -> None:
        self.address = _PREFIX + name
        self._name = name
        self._options = options
        self._admit = admit
        self._knocks: deque[_Knock] = deque()
        self._knocked = asyncio.Event()
        self._closed = False

    async def accept(self) -> MemoryTransport:
        """Wait for the next connection and return the near end of its link, in order of arrival.

        Raises:
            LinkClosed: When the listener is closed.
        """
        while not self._knocks:
            if self._closed:
                raise CLOSED_HERE.error()
            self._knocked.clear()
            await self._knocked.wait()
        knock = self._knocks.popleft()
        knock.answer.set_result(None)
        return knock.server_end

    async def close(self) -> None:
        """Free the name and refuse whoever still waits; accepted links go on. Idempotent."""
        if self._closed:
            return
        self._closed = True
        _listeners.pop(self._name, None)
        while self._knocks:
            self._knocks.popleft().answer.set_exception(ConnectFailed(f"{self.address} closed"))
        self._knocked.set()

    async def open(self, credential: Secret, options: LinkOptions) -> MemoryTransport:
        """Connect to this listener: what `adapter.connect` does once it has found it."""
        if self._admit is not None:
            self._admit(credential)
        client_end, server_end = pair(options, self._options, credential=credential)
        knock = _Knock(server_end)
        self._knocks.append(knock)
        self._knocked.set()
        try:
            async with asyncio.timeout(options.open_timeout_s):
                await knock.answer
        except BaseException as error:
            if knock in self._knocks:
                self._knocks.remove(knock)
            await client_end.close(ABNORMAL)
            if isinstance(error, TimeoutError):
                raise ConnectFailed(
                    f"{self.address} did not answer within {options.open_timeout_s:g} s"
                ) from None
            raise
        return client_end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class MemoryAdapter:
    """The entry point `memory` of the group `conductor.adapters`."""

    name = "memory"
    schemes = ("memory",)

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        """Open a link to a listener of this process, `memory://NAME`.

        Raises:
            CredentialRefused: If the listener's `admit` says so.
            ConductorBusy: If the listener's `admit` says so.
            ConnectFailed: If nobody listens there, or nobody accepts within `open_timeout_s`.
        """
        name = address.removeprefix(_PREFIX)
        listener = _listeners.get(name)
        if listener is None or name == address:
            raise ConnectFailed(f"nobody listens at memory://{name} in this process")
        return await listener.open(credential, options)


def listen(
    name: str,
    *,
    options: LinkOptions | None = None,
    admit: Callable[[Secret], None] | None = None,
) -> Listener:
    """Take a name in this process.

    Args:
        name: What follows `memory://`.
        options: Limits and windows of the accepting ends.
        admit: Called with each presented credential; raises to refuse it.

    Raises:
        AddressTaken: If somebody listens there already.
    """
    if name in _listeners:
        raise AddressTaken(_PREFIX + name)
    listener = _listeners[name] = Listener(name, options or LinkOptions(), admit)
    return listener


def pair(
    options: LinkOptions | None = None,
    peer_options: LinkOptions | None = None,
    *,
    credential: Secret | None = None,
) -> tuple[MemoryTransport, MemoryTransport]:
    """Make two connected ends without a listener.

    Args:
        options: Limits and windows of what the first end receives.
        peer_options: The same for the second end; the first's where not given.
        credential: What both ends remember as presented.
    """
    options = options or LinkOptions()
    return MemoryTransport.linked(options, peer_options or options, credential or Secret(""))


def _refused(reason: str) -> LinkEnd:
    return LinkEnd(f"refused: {reason}", TOO_BIG, clean=False)


class _Knock:
    """A connection that waits to be accepted."""

    __slots__ = ("answer", "server_end")

    def __init__(self, server_end: MemoryTransport) -> None:
        self.server_end = server_end
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()


adapter = MemoryAdapter()
