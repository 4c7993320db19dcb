"""One open link: the shell around a session.

Promise: effects are performed in the order in which the session gave them; one batch is stored
while the next is being read, and a peer that does not read never keeps us from reading. Refusal:
it decides nothing about the protocol, and it does not reconnect.

Five tasks live and die together: `reader` (bytes to session, batches to the downlink), `writer`
(frames to the transport), `pusher` (outbox to session), `confirmer` (results to the outbox),
`ticker` (beats and deadlines). What was read belongs to the downlink, which stores it even if the
link ends meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, assert_never

from conductor_adapters.transport import LinkClosed, Transport
from conductor_protocol.effects import (
    Close,
    CloseCode,
    Confirmed,
    Connected,
    Counted,
    Deliver,
    Draining,
    GapDetected,
    PeerError,
    RotateAsked,
    Send,
    SidecarEffect,
)
from conductor_protocol.messages import Head, PackNotice, PushResult
from conductor_protocol.sidecar_session import SidecarSession
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Cursor
from conductor_sidecar.delivery.downlink import Downlink
from conductor_sidecar.delivery.late_acks import LateAcks
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.feed import Feed

E = TypeVar("E", bound=Exception)

READ_FRAMES = 512
CONFIRM_QUEUE = 16
UNSENT_FRAMES = 4096
"""Frames that may wait for the writer before reading stops: only a peer that sends nonsense and
reads no answer gets there."""
FLUSH_S = 1.0
"""How long a link that we end may take to write what is still to be said."""


class LinkEnded(Exception):
    """The link is over; carries why."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.code)
        self.close = close


class Link:
    """One transport with one session, from hello to the end."""

    def __init__(
        self, transport: Transport, *, downlink: Downlink, uplink: Uplink, feed: Feed,
        clock: Clock, head: Callable[[], Awaitable[Head | None]],
        opened: Callable[[Connected], None],
    ) -> None:  # fmt: skip
        self._transport = transport
        self._carrier = LateAcks(transport)
        self._downlink = downlink
        self._uplink = uplink
        self._feed = feed
        self._clock = clock
        self._head = head
        self._opened = opened
        self._session = SidecarSession()
        self._results: asyncio.Queue[Sequence[PushResult]] = asyncio.Queue(CONFIRM_QUEUE)
        self._room = asyncio.Event()
        self._retime = asyncio.Event()
        self._unsent: list[bytes] = []
        self._to_send = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._over: asyncio.Event = asyncio.Event()
        self._why: Close | None = None
        self.draining: Draining | None = None
        """What the conductor asked for, if it is about to close."""
        self.connected: Connected | None = None

    async def run(
        self, cursor: Cursor, session: str | None, packs: Sequence[PackNotice], software: str
    ) -> Close:
        """Speak until the link ends; returns why. The transport is closed then."""
        if (head := await self._head()) is not None:
            self._session.anchor(head)
        hello = self._session.start(
            self._now, cursor=cursor, session=session, packs=packs,
            credit=self._downlink.open_credit(), software=software,
        )  # fmt: skip
        await self._perform(hello)
        # A task of its own: a group whose tasks fail drops a cancellation that comes meanwhile.
        tasks = asyncio.create_task(self._run_tasks(), name="link")
        try:
            await asyncio.wait({tasks})
            tasks.result()
        except* LinkEnded as ended:
            self._why = self._why or _first(ended)
        except* ConductorError as failed:
            error = _first_leaf(failed)
            self._feed.failed(error)
            if not error.retryable:
                raise  # a broken store must end the daemon, not look healthy
            # The outbox still has what was not confirmed: the next link tries again.
            self._why = self._why or Close(error.code, error.message, 1011)
        finally:
            tasks.cancel()
            await asyncio.gather(tasks, return_exceptions=True)
            self._downlink.link = None
            await self._uplink.disconnected()
            await self._transport.close()
        return self._why or Close(CloseCode.NORMAL, "ended")

    async def leave(self, reason: str) -> None:
        """Say goodbye; `run` returns."""
        await self._outside(self._session.bye(reason, self._now))

    async def stored(self, last: int, credit: int) -> None:
        """Acknowledge everything up to `last`, and grant `credit` beyond it."""
        self._carrier.stored(last)
        await self._outside(self._session.stored(last, credit, self._now))

    async def grant(self, credit: int) -> None:
        """Grant credit beyond what is acknowledged."""
        await self._outside(self._session.grant(credit, self._now))

    def fail(self, error: ConductorError) -> None:
        """End the link: a batch of it could not be stored."""
        self._end(Close(error.code, error.message, 1011))

    def _end(self, close: Close) -> None:
        self._why = self._why or close
        self._over.set()

    async def _outside(self, effects: Sequence[SidecarEffect]) -> None:
        """Perform effects for a caller that is not one of this link's tasks."""
        try:
            await self._perform(effects)
        except LinkEnded as ended:
            self._end(ended.close)

    @property
    def _now(self) -> float:
        return self._clock.monotonic()

    async def _run_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(), name="link.reader")
            group.create_task(self._write(), name="link.writer")
            group.create_task(self._watch(), name="link.end")
            group.create_task(self._push(), name="link.pusher")
            group.create_task(self._confirm(), name="link.confirmer")
            group.create_task(self._tick(), name="link.ticker")

    async def _read(self) -> None:
        while True:
            try:
                frames = await self._transport.receive(READ_FRAMES)
            except LinkClosed as closed:
                code = CloseCode.NORMAL if closed.clean else closed.code
                raise LinkEnded(Close(code, closed.detail, closed.close_code)) from None
            self._carrier.read(len(frames), effects := self._session.received(frames, self._now))
            await self._perform(effects)
            self._retime.set()
            if len(self._unsent) > UNSENT_FRAMES:
                await self._all_sent.wait()

    async def _write(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            frames, self._unsent = self._unsent, []
            try:
                await self._transport.send(frames)
            except LinkClosed:
                self._all_sent.set()
                return  # the reader has the reason, after what arrived before it
            if not self._unsent:
                self._all_sent.set()

    async def _watch(self) -> None:
        await self._over.wait()
        close = self._why or Close(CloseCode.NORMAL, "ended")
        await self._transport.close(close.ws_code, close.detail[:100])
        raise LinkEnded(close)

    async def _push(self) -> None:
        while True:
            while not self._session.push_room:
                self._room.clear()
                await self._room.wait()
            batch = await self._uplink.next_batch(self._session.push_room)
            await self._perform(self._session.push(batch, self._now))
            self._retime.set()
            await self._all_sent.wait()

    async def _confirm(self) -> None:
        while True:
            results = list(await self._results.get())
            while not self._results.empty():
                results.extend(self._results.get_nowait())
            await self._uplink.confirmed(results)

    async def _tick(self) -> None:
        while True:
            self._retime.clear()
            deadline = self._session.next_deadline(self._now)
            wait_s = None if deadline is None else max(0.0, deadline - self._now)
            try:
                # Not wait_for: on Python 3.11 it can swallow a cancellation that comes with the
                # event.
                async with asyncio.timeout(wait_s):
                    await self._retime.wait()
            except TimeoutError:
                head = await self._head()
                if head is not None:
                    self._session.anchor(head)
                await self._perform(self._session.tick(self._now))

    async def _perform(self, effects: Sequence[SidecarEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(frames):
                    self._send(frames)
                case Deliver():
                    await self._hand_over(effect)
                case GapDetected():
                    self._feed.note("gap", detail=f"history goes on after #{effect.start}")
                    await self._hand_over(effect)
                case Connected():
                    self._connect(effect)
                    # Handlers may have caught up while there was nobody to tell.
                    await self._downlink.regrant()
                case Confirmed(results):
                    self._room.set()
                    await self._results.put(results)
                case Draining():
                    self.draining = effect
                    self._feed.note("link", detail=f"conductor drains: {effect.retry_after_s:g} s")
                case RotateAsked(version):
                    self._feed.note("link", detail=f"credential {version} is waiting")
                case PeerError(code, message):
                    self._feed.refused(f"PEER_{code}", message)
                case Counted(code, detail):
                    self._feed.refused(code, detail)
                case Close():
                    self._why = self._why or effect
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(FLUSH_S):
                            await self._all_sent.wait()
                    await self._transport.close(effect.ws_code, effect.detail[:100])
                    raise LinkEnded(effect)
                case _:
                    assert_never(effect)

    def _send(self, frames: Sequence[bytes]) -> None:
        self._unsent.extend(frames)
        self._all_sent.clear()
        self._to_send.set()

    async def _hand_over(self, effect: Deliver | GapDetected) -> None:
        if not self._downlink.full:
            await self._downlink.arrived(effect, self)
            return
        # Reading stops here: the silence that follows is ours, not the conductor's.
        self._session.paused(True, self._now)
        await self._downlink.arrived(effect, self)
        self._session.paused(False, self._now)

    def _connect(self, connected: Connected) -> None:
        self.connected = connected
        self._downlink.link = self
        self._uplink.connected()
        self._room.set()
        self._opened(connected)


def _first(group: BaseExceptionGroup[LinkEnded]) -> Close:
    """Return why the first of the tasks ended: the others only followed."""
    return _first_leaf(group).close


def _first_leaf(group: BaseExceptionGroup[E]) -> E:
    leaf: E | BaseExceptionGroup[E] = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
