"""Pushing queued events by HTTP while no link can be had.

Promise: in order, oldest first; an event leaves the outbox only when the reply confirms its id, so
a link that comes back meanwhile repeats at most what the conductor knows already. Refusal: nothing
comes down this way, and ephemeral events do not go up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from conductor_adapters.transport import ConductorBusy, TransportError
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Queued
from conductor_sidecar.feed import Feed
from conductor_sidecar.ports import Outbox

PAGE_EVENTS = 100
PAGE_BYTES = 262_144
LOOK_S = 1.0
PAUSE_FIRST_S = 5.0
PAUSE_CAP_S = 300.0


class PushAnswer(Protocol):
    """What the conductor said of one pushed event."""

    @property
    def event_id(self) -> str:
        """The event."""
        ...

    @property
    def status(self) -> str:
        """accepted, duplicate, rejected or unconfirmed."""
        ...

    @property
    def reason(self) -> str | None:
        """Why it was rejected."""
        ...


class Pusher(Protocol):
    """Pushes a batch by HTTP."""

    async def push(self, workspace: str, events: Sequence[bytes]) -> Sequence[PushAnswer]:
        """Push events in order; one answer each."""
        ...


class LinkView(Protocol):
    """Whether a link is open."""

    @property
    def open(self) -> bool:
        """Whether a session is open now."""
        ...


class PushTracer(Protocol):
    """Records what went up without a link."""

    def pushed_by_http(self, rows: Sequence[Queued], said: Mapping[str, str]) -> None:
        """Take note of events that the conductor answered; `said` is the status by event id."""
        ...


class HttpFallback:
    """Watches the link; drains the outbox by HTTP when there has been none for long."""

    def __init__(
        self, pusher: Pusher, outbox: Outbox, link: LinkView, clock: Clock, feed: Feed, *,
        subject: str, after_s: Callable[[], float | None], tracer: PushTracer | None = None,
    ) -> None:  # fmt: skip
        """Prepare; `after_s` gives the seconds without a link, or None for never, at each look."""
        self._pusher = pusher
        self._outbox = outbox
        self._link = link
        self._clock = clock
        self._feed = feed
        self._subject = subject
        self._after_s = after_s
        self._tracer = tracer

    async def run(self) -> None:
        """Watch until cancelled."""
        lost_at, pause_s = self._clock.monotonic(), PAUSE_FIRST_S
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._clock.monotonic()
            if self._link.open:
                lost_at, pause_s = now, PAUSE_FIRST_S
                continue
            after_s = self._after_s()
            if after_s is None or now - lost_at < after_s:
                continue
            try:
                await self.drain()
                pause_s = PAUSE_FIRST_S
            except ConductorError as error:
                asked = error.retry_after_s if isinstance(error, ConductorBusy) else None
                if isinstance(error, TransportError):
                    self._feed.note("http_fallback", detail=error.message)
                await asyncio.sleep(pause_s if asked is None else asked)
                pause_s = min(PAUSE_CAP_S, pause_s * 2)

    async def drain(self) -> int:
        """Push what is queued until it is empty or a link is open; returns how many went.

        Raises:
            TransportError: The conductor was not reached, or refused; the rest stays queued.
        """
        gone = 0
        while not self._link.open:
            page = await self._outbox.take(0, PAGE_EVENTS, PAGE_BYTES)
            if not page:
                break
            answers = await self._pusher.push(self._subject, [row.body for row in page])
            said = {answer.event_id: answer for answer in answers}
            sure = [r for r in page if said[r.event_id].status != "unconfirmed"]
            rejected = {
                row.position: said[row.event_id].reason or "rejected"
                for row in sure
                if said[row.event_id].status == "rejected"
            }
            await self._outbox.confirm([row.position for row in sure], rejected=rejected)
            if self._tracer is not None:
                statuses = {event_id: answer.status for event_id, answer in said.items()}
                self._tracer.pushed_by_http(sure, statuses)
            gone += len(sure)
            if len(sure) < len(page):
                break
        return gone


def http_base(link: str) -> str:
    """Return the conductor's HTTP address of a link's address: ws://host/link, http://host."""
    parts = urlsplit(link)
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, parts.path.removesuffix("/link"), "", ""))
