"""Keeping a link open, for ever.

Promise: it always comes back, spread and backed off, at once where the conductor asks to resume;
a refused credential ends the process only before the first session. Refusal: it never gives up,
and it never touches the credential.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from conductor_adapters.transport import (
    ConductorBusy,
    CredentialRefused,
    Transport,
    TransportError,
)
from conductor_protocol.backoff import Backoff, Ended, ended_by
from conductor_protocol.effects import Close, Connected
from conductor_protocol.messages import Head, PackNotice
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.records import Cursor
from conductor_sidecar.delivery.downlink import Downlink
from conductor_sidecar.delivery.link import Link
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.feed import Feed
from conductor_sidecar.logs import get_logger
from conductor_sidecar.report import LinkReport, LinkState

LOOK_S = 1.0
"""Seconds between two looks at the enrollment while waiting."""


class Keeper:
    """One for the daemon's life; `run` as a task."""

    def __init__(
        self, connect: Callable[[str | None], Awaitable[Transport]], *, downlink: Downlink,
        uplink: Uplink, feed: Feed, clock: Clock, backoff: Backoff,
        cursor: Callable[[], Awaitable[Cursor]],
        head: Callable[[], Awaitable[Head | None]], packs: Callable[[], Sequence[PackNotice]],
        software: str, adapter: str, address: str, changed: Callable[[], bool] = lambda: False,
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
        self._log = get_logger(part="link")
        self._link: Link | None = None
        self._session: str | None = None
        self._connections = 0
        self._state: LinkState = "connecting"
        self._since = clock.now()
        self._reason = ""
        self._retry_at: float | None = None
        self._stopping = False
        self._hurry = asyncio.Event()

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

    async def leave(self, reason: str) -> None:
        """Say goodbye if a session is open, and let `run` end."""
        self._stopping = True
        self._hurry.set()
        if self._link is not None:
            await self._link.leave(reason)

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
        link = self._link = Link(
            transport, downlink=self._downlink, uplink=self._uplink, feed=self._feed,
            clock=self._clock, head=self._head, opened=self._opened,
        )  # fmt: skip
        try:
            close = await link.run(
                await self._cursor(), self._session, self._packs(), self._software
            )
        finally:
            self._link = None
            # What this link brought is stored first, so that the next cursor is the whole truth.
            await self._downlink.idle()
        return self._closed(close, link)

    def _opened(self, connected: Connected) -> None:
        self._session = connected.session
        self._connections += 1
        self._backoff.connected(self._clock.monotonic())
        self._become("open", "")
        self._log.info("link_open", session=connected.session, resumed=connected.resumed)
        how = "resumed" if connected.resumed else f"from #{connected.start}"
        self._feed.note("link", detail=f"open: session {connected.session}, {how}")

    def _closed(self, close: Close, link: Link) -> float:
        self._reason = f"{close.code}: {close.detail}" if close.detail else str(close.code)
        self._feed.note("link", detail=f"closed: {self._reason}")
        self._log.info("link_closed", reason=self._reason)
        asked = None if link.draining is None else link.draining.retry_after_s
        self._moved_to = None if link.draining is None else link.draining.address
        now = self._clock.monotonic()
        return self._backoff.delay(ended_by(close.code), now, retry_after_s=asked)

    def _failed(self, error: TransportError, ended: Ended, retry_after_s: float | None) -> float:
        self._moved_to = None  # it did not work: back to the address of the enrollment
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
