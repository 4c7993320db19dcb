"""Keeping a link open, for ever.

Promise: it always comes back, spread and backed off, at once where the conductor asks to resume;
a refused credential ends the process only before the first session. A link that is to be left, for
the conductor drains or somebody asked to `renew` it, goes on until another one is open in its
place. Refusal: it never gives up, and it never touches the credential.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from conductor_adapters.transport import (
    ConductorBusy,
    CredentialRefused,
    Transport,
    TransportError,
)
from conductor_protocol.backoff import Backoff, Ended, ended_by
from conductor_protocol.effects import Close, Connected, Draining, RotateAsked
from conductor_protocol.liveness import Heard
from conductor_protocol.messages import Head, PackNotice
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.records import Cursor
from conductor_sidecar.delivery.downlink import Downlink
from conductor_sidecar.delivery.link import Link
from conductor_sidecar.delivery.moving import Moving
from conductor_sidecar.delivery.talks import Talk, Talks
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.feed import Feed
from conductor_sidecar.health.answers import LinkState
from conductor_sidecar.logs import get_logger
from conductor_sidecar.report import LinkReport

LOOK_S = 1.0
"""Seconds between two looks at the enrollment while waiting."""
MOVED = "MOVED"
"""The reason of a link's end that costs nothing: another one took its place."""


class Keeper:
    """One for the daemon's life; `run` as a task."""

    def __init__(
        self, connect: Callable[[str | None], Awaitable[Transport]], *, downlink: Downlink,
        uplink: Uplink, feed: Feed, clock: Clock, backoff: Backoff,
        cursor: Callable[[], Awaitable[Cursor]],
        head: Callable[[], Awaitable[Head | None]], packs: Callable[[], Sequence[PackNotice]],
        software: str, adapter: str, address: str, changed: Callable[[], bool] = lambda: False,
        welcomed: Callable[[], None] = lambda: None,
        rotate: Callable[[RotateAsked], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._connect = connect
        self._moved_to: str | None = None
        """The address that a draining conductor asked us to use next."""
        self._downlink = downlink
        self._uplink = uplink
        self._feed = feed
        self._clock = clock
        self._backoff = backoff
        self._cursor = cursor
        self._head = head
        self._packs = packs
        self._software = software
        self._adapter = adapter
        self._address = address
        self._changed = changed
        self._welcomed = welcomed
        self._rotate = rotate
        self._log = get_logger(part="link")
        self._talks = Talks(self._made, self._speaking)
        self._moving = Moving(clock)
        self._session: str | None = None
        self._connections = 0
        self._state: LinkState = "connecting"
        self._since = clock.now()
        self._reason = ""
        self._retry_at: float | None = None
        self._stopping = False
        self._hurry = asyncio.Event()
        self.ends: Counter[str] = Counter()
        """Links that ended and tries that failed, by the code of the reason, since the start."""

    @property
    def heard(self) -> Heard | None:
        """What the open link has heard of the conductor; None while none is open."""
        return first.link.heard if (first := self._talks.first) and self.open else None

    def report(self) -> LinkReport:
        """Return the link's part of the status."""
        left = None if self._retry_at is None else self._retry_at - self._clock.monotonic()
        return LinkReport(
            state=self._state, adapter=self._adapter, address=self._address,
            session=self._session, since=wire_time(self._since), connections=self._connections,
            retry_in_s=None if left is None else round(max(0.0, left), 1), reason=self._reason,
        )  # fmt: skip

    @property
    def open(self) -> bool:
        """Whether a session is open now."""
        return self._state == "open"

    def hurry(self) -> None:
        """Try to connect now instead of waiting: something has changed."""
        self._hurry.set()

    async def renew(self) -> bool:
        """Put a new link in the place of the open one, which goes on until then.

        Returns whether it came about. Without an open link the next one is new in any case.
        """
        if not self.open:
            self.hurry()
            return False
        return await self._moving.ask()

    def adopt(self, backoff: Backoff) -> None:
        """Reconnect by another schedule from now on."""
        self._backoff = backoff

    async def run(self) -> None:
        """Connect, speak, wait, and again, until `leave`.

        Raises:
            CredentialRefused: Before any session was open: nothing but enrolling again helps.
        """
        while not self._stopping:
            delay_s = await self._once()
            if self._stopping:
                break
            self._become("waiting", self._reason)
            self._retry_at = self._clock.monotonic() + delay_s
            await self._pause(self._retry_at)
            self._retry_at = None
        self._become("stopped", "")

    async def _pause(self, until: float) -> None:
        """Wait, but not longer than until the enrollment changes or somebody is in a hurry."""
        self._hurry.clear()
        while not self._hurry.is_set() and not self._changed():
            left_s = until - self._clock.monotonic()
            if left_s <= 0:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_S, left_s)):
                    await self._hurry.wait()

    async def reconnect(self, reason: str) -> None:
        """Connect again; the open link is left when another one has taken its place."""
        self._log.info("link_renewed", reason=reason)
        await self.renew()

    async def leave(self, reason: str) -> None:
        """Say goodbye if a session is open, and let `run` end."""
        self._stopping = True
        self._hurry.set()
        await self._talks.leave(reason)

    async def _once(self) -> float:
        """Connect and speak until it ends; returns the seconds to wait before the next try."""
        self._become("connecting", self._reason)
        try:
            transport = await self._connect(self._moved_to)
        except CredentialRefused as error:
            if not self._connections:
                raise
            return self._failed(error, Ended.REFUSED, None)
        except ConductorBusy as error:
            return self._failed(error, Ended.FAILED, error.retry_after_s)
        except TransportError as error:
            return self._failed(error, Ended.FAILED, None)
        talk = await self._stay(await self._talks.begin(transport))
        return self._closed(talk.task.result(), talk.link)

    def _made(self, transport: Transport, before: Link | None) -> Link:
        return Link(
            transport, downlink=self._downlink, uplink=self._uplink, feed=self._feed,
            clock=self._clock, head=self._head, opened=self._opened, drained=self._drained,
            rotate=self._rotate, before=before,
        )  # fmt: skip

    async def _speaking(self, link: Link) -> Coroutine[Any, Any, Close]:
        return link.run(await self._cursor(), self._session, self._packs(), self._software)

    async def _stay(self, talk: Talk) -> Talk:
        """Wait for the end of a link, or of the last one of those that took its place."""
        try:
            while not talk.task.done():
                due = asyncio.create_task(self._moving.wait(), name="keeper.moving")
                try:
                    await asyncio.wait({talk.task, due}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    due.cancel()
                if not talk.task.done():
                    await self._go_over(talk)
                    talk = self._talks.first or talk
            return talk
        finally:
            await self._talks.end()
            # What they brought is stored first, so that the next cursor is the whole truth.
            await self._downlink.idle()

    async def _go_over(self, old: Talk) -> None:
        """Make a link before the old one is broken; where it does not come about, keep that."""
        try:
            transport = await self._connect(self._moved_to)
        except TransportError as error:
            ended = Ended.REFUSED if isinstance(error, CredentialRefused) else Ended.FAILED
            asked = error.retry_after_s if isinstance(error, ConductorBusy) else None
            self._moving.again(self._clock.monotonic() + self._failed(error, ended, asked))
            return
        if self._stopping:
            await transport.close()
            self._moving.ended()
            return
        await old.link.rest()
        if await self._talks.succeeds(old, transport):
            self.ends[MOVED] += 1
            self._moving.moved()
        else:
            wait_s = self._backoff.delay(Ended.FAILED, self._clock.monotonic())
            self._moving.again(self._clock.monotonic() + wait_s)

    def _drained(self, draining: Draining) -> None:
        now = self._clock.monotonic()
        self._moved_to = draining.address
        wait_s = self._backoff.delay(Ended.CLOSED, now, retry_after_s=draining.retry_after_s)
        self._moving.drain(now + wait_s)

    def _opened(self, connected: Connected) -> None:
        self._session = connected.session
        self._talks.welcomed()
        self._connections += 1
        self._backoff.connected(self._clock.monotonic())
        self._become("open", "")
        self._welcomed()
        self._log.info("link_open", session=connected.session, resumed=connected.resumed)
        how = "resumed" if connected.resumed else f"from #{connected.start}"
        self._feed.note("link", detail=f"open: session {connected.session}, {how}")

    def _closed(self, close: Close, link: Link) -> float:
        self.ends[str(close.code)] += 1
        self._reason = f"{close.code}: {close.detail}" if close.detail else str(close.code)
        self._feed.note("link", detail=f"closed: {self._reason}")
        self._log.info("link_closed", reason=self._reason)
        now, due = self._clock.monotonic(), self._moving.due
        self._moving.ended()
        if link.draining is not None and due is not None:
            return max(0.0, due - now)  # as it was decided when the conductor announced it
        self._moved_to = None
        return self._backoff.delay(ended_by(close.code), now)

    def _failed(self, error: TransportError, ended: Ended, retry_after_s: float | None) -> float:
        self._moved_to = None  # it did not work: back to the address of the enrollment
        self.ends[error.code] += 1
        self._reason = f"{error.code}: {error.message}"
        self._feed.failed(error)
        self._feed.note("link", detail=self._reason)
        self._log.warning("link_failed", code=error.code, error=error.message, next=error.hint)
        return self._backoff.delay(ended, self._clock.monotonic(), retry_after_s=retry_after_s)

    def _become(self, state: LinkState, reason: str) -> None:
        if state != self._state:
            self._state = state
            self._since = self._clock.now()
        self._reason = reason
