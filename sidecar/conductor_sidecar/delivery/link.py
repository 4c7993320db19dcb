"""One open link: the shell around a session.

Promise: effects are performed in the order in which the session gave them; one batch is stored
while the next is being read, and a peer that does not read never keeps us from reading. Refusal:
it decides nothing about the protocol, and it does not reconnect.

Five tasks live and die together: `reader` (bytes to session, batches to the downlink), `writer`
(frames to the transport), `pusher` (outbox to session), `confirmer` (results to the outbox),
`ticker` (beats and deadlines). What was read belongs to the downlink, which stores it even if the
link ends meanwhile. A link can `rest` while another takes its place; then it is not the one that
downlink and uplink know, and its end is nobody's loss.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

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
from conductor_protocol.liveness import Heard
from conductor_protocol.messages import Head, PackNotice
from conductor_protocol.sidecar_session import SidecarSession
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Cursor
from conductor_sidecar.delivery.downlink import Downlink
from conductor_sidecar.delivery.late_acks import LateAcks
from conductor_sidecar.delivery.link_ended import LinkEnded, first_leaf
from conductor_sidecar.delivery.link_pushes import Pushes
from conductor_sidecar.delivery.link_writer import Writer
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.feed import Feed

READ_FRAMES = 512
FLUSH_S = 1.0
"""How long a link that we end may take to write what is still to be said."""


class Link:
    """One transport with one session, from hello to the end."""

    def __init__(
        self, transport: Transport, *, downlink: Downlink, uplink: Uplink, feed: Feed,
        clock: Clock, head: Callable[[], Awaitable[Head | None]],
        opened: Callable[[Connected], None], drained: Callable[[Draining], None] = lambda _: None,
        before: Link | None = None, rotate: Callable[[RotateAsked], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._transport = transport
        self._carrier = LateAcks(transport)
        self._downlink = downlink
        self._uplink = uplink
        self._feed = feed
        self._clock = clock
        self._head = head
        self._opened = opened
        self._drained = drained
        self._rotate = rotate
        self._before = before
        """The link whose place this one takes when it is connected."""
        self._session = SidecarSession()
        self._retime = asyncio.Event()
        self._writer = Writer(transport)
        self._pushes = Pushes(
            self._session, uplink, self._writer, self._perform, clock.monotonic, self._retime
        )
        self._turn = asyncio.Lock()
        """Held while frames that were read are worked on, and while the link rests."""
        self._group: asyncio.TaskGroup | None = None
        self._serves = False
        """Whether downlink and uplink speak through this link."""
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
            self._why = self._why or first_leaf(ended).close
        except* ConductorError as failed:
            error = first_leaf(failed)
            self._feed.failed(error)
            if not error.retryable:
                raise  # a broken store must end the daemon, not look healthy
            # The outbox still has what was not confirmed: the next link tries again.
            self._why = self._why or Close(error.code, error.message, 1011)
        finally:
            tasks.cancel()
            await asyncio.gather(tasks, return_exceptions=True)
            if self.stand_down():
                self._downlink.link = None
                await self._uplink.disconnected()
            await self._transport.close()
        return self._why or Close(CloseCode.NORMAL, "ended")

    async def leave(self, reason: str) -> None:
        """Say goodbye; `run` returns."""
        await self._outside(self._session.bye(reason, self._now))

    async def rest(self) -> None:
        """Read and push no more; what was read is stored, what was pushed is answered or waits.

        Until `go_on`, or for good: then another link takes its place.
        """
        await self._pushes.rest()
        await self._turn.acquire()
        self._session.paused(True, self._now)
        await self._downlink.idle()

    def go_on(self) -> None:
        """Read and push again: no other link came about."""
        self._turn.release()
        self._session.paused(False, self._now)
        if self._group is not None:
            self._pushes.start(self._group)

    def stand_down(self) -> bool:
        """Serve downlink and uplink no more; tells whether it did until now."""
        served, self._serves = self._serves, False
        return served

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
    def heard(self) -> Heard:
        """What was heard of the conductor so far."""
        return self._session.heard

    @property
    def _now(self) -> float:
        return self._clock.monotonic()

    async def _run_tasks(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name="link.reader")
                group.create_task(self._writer.run(), name="link.writer")
                group.create_task(self._watch(), name="link.end")
                self._pushes.start(group)
                group.create_task(self._pushes.confirm(), name="link.confirmer")
                group.create_task(self._tick(), name="link.ticker")
                self._group = group
        finally:
            self._group = None

    async def _read(self) -> None:
        while True:
            try:
                frames = await self._transport.receive(READ_FRAMES)
            except LinkClosed as closed:
                code = CloseCode.NORMAL if closed.clean else closed.code
                raise LinkEnded(Close(code, closed.detail, closed.close_code)) from None
            async with self._turn:
                effects = self._session.received(frames, self._now)
                self._carrier.read(len(frames), effects)
                await self._perform(effects)
            self._retime.set()
            if self._writer.full:
                await self._writer.flushed()

    async def _watch(self) -> None:
        await self._over.wait()
        close = self._why or Close(CloseCode.NORMAL, "ended")
        await self._transport.close(close.ws_code, close.detail[:100])
        raise LinkEnded(close)

    async def _tick(self) -> None:
        while True:
            self._retime.clear()
            deadline = self._session.next_deadline(self._now)
            wait_s = None if deadline is None else max(0.0, deadline - self._now)
            try:
                # Not wait_for: on Python 3.11 it can swallow a cancellation that comes with it.
                async with asyncio.timeout(wait_s):
                    await self._retime.wait()
            except TimeoutError:
                if (head := await self._head()) is not None:
                    self._session.anchor(head)
                await self._perform(self._session.tick(self._now))

    async def _perform(self, effects: Sequence[SidecarEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(frames):
                    self._writer.put(frames)
                case Deliver():
                    await self._hand_over(effect)
                case GapDetected():
                    self._feed.note("gap", detail=f"history goes on after #{effect.start}")
                    await self._hand_over(effect)
                case Connected():
                    await self._connect(effect)
                    # Handlers may have caught up while there was nobody to tell.
                    await self._downlink.regrant()
                case Confirmed(results):
                    await self._pushes.answered(results)
                case Draining():
                    self.draining = effect
                    self._feed.note("link", detail=f"conductor drains: {effect.retry_after_s:g} s")
                    self._drained(effect)
                case RotateAsked(version):
                    self._feed.note("link", detail=f"credential {version} is waiting")
                    self._rotate(effect)
                case PeerError(code, message):
                    self._feed.refused(f"PEER_{code}", message)
                case Counted(code, detail):
                    self._feed.refused(code, detail)
                case Close():
                    self._why = self._why or effect
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(FLUSH_S):
                            await self._writer.flushed()
                    await self._transport.close(effect.ws_code, effect.detail[:100])
                    raise LinkEnded(effect)
                case _:
                    assert_never(effect)

    async def _hand_over(self, effect: Deliver | GapDetected) -> None:
        if not self._downlink.full:
            await self._downlink.arrived(effect, self)
            return
        # Reading stops here: the silence that follows is ours, not the conductor's.
        self._session.paused(True, self._now)
        await self._downlink.arrived(effect, self)
        self._session.paused(False, self._now)

    async def _connect(self, connected: Connected) -> None:
        self.connected = connected
        before, self._before = self._before, None
        self._serves, self._downlink.link = True, self
        if before is not None and before.stand_down():
            await self._uplink.moved()
        else:
            self._uplink.connected()
        self._pushes.opened()
        self._opened(connected)
