"""One request: a run, and its outcome as an answer.

Promise: a value is 200, a halt 202, a stream a stream of events, an error its status and envelope;
the place that the run took is free when it has ended, whoever ended it. Refusal: nothing is known
here of how a payload was read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, assert_never

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from conductor_flows.execute.errors import DeadlineExceeded
from conductor_flows.execute.notices import Notice, Tell, logged
from conductor_flows.execute.outcomes import Halted, Outcome, Streamed, Value
from conductor_flows.host.errors import HttpRefusal
from conductor_flows.host.streams import held
from conductor_flows.host.web.answers import (
    RawHeaders,
    encoded,
    send_failure,
    send_json,
    told,
    wants_events,
)
from conductor_flows.host.web.events import EventWriter
from conductor_flows.host.web.gate import Gate
from conductor_flows.host.web.live import LiveRun, LiveRuns
from conductor_flows.host.web.measuring import Meter
from conductor_flows.host.web.presence import ClientGone, Presence
from conductor_flows.host.web.site import Site

GONE = 499
"""The status that a request is counted under whose client did not wait; nobody is told it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests of one route stand."""

    site: Site
    flow: str
    gate: Gate
    meter: Meter
    live: LiveRuns = field(default_factory=LiveRuns)
    resumable_s: float = 0.0
    tells_token: bool = True
    tell: Tell = logged


class Exchange:
    """One request and its answer."""

    __slots__ = ("_begun", "_counted", "_events", "_place", "_writer", "headers", "receive",
                 "run_id", "scope", "send", "tells_token")  # fmt: skip

    def __init__(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        self._place = place
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.run_id = b""
        """Of the run that it is about, once that is known."""
        self.tells_token = place.tells_token
        self._begun = time.monotonic()
        self._counted = False
        self._events = wants_events(self.headers.get(b"accept"))
        self._writer: EventWriter | None = None

    async def serve(self, answer: Callable[[], Awaitable[None]]) -> None:
        """Answer a request, whatever happens while that is done."""
        meter = self._place.meter
        meter.begun()
        try:
            await answer()
        except ClientDisconnect:
            self._count(GONE)
        except ClientGone:
            self._gone()
        except Exception as error:  # noqa: BLE001  # nothing is above this but the server
            await self._fail(error)
        finally:
            meter.ended()

    async def run(self, invoke: Callable[[], Awaitable[Outcome]]) -> None:
        """Run, and answer with the outcome."""
        place, left = self._place, False
        async with Presence(place.site.guests, self.receive) as presence:
            await place.gate.enter()
            try:
                outcome = await invoke()
                if isinstance(outcome, Streamed):
                    if place.resumable_s:
                        left = True  # the run leaves when it ends
                        await self._first(self._kept(outcome), presence)
                    else:
                        await self._stream(outcome, presence)
                    return
            finally:
                if not left:
                    place.gate.leave()
        await self._whole(outcome)

    async def _whole(self, outcome: Value | Halted) -> None:
        match outcome:
            case Value(value):
                await self._json(encoded(value), 200)
            case Halted():
                shown: dict[str, Any] = {
                    "halted": True, "node": outcome.alias, "payload": outcome.payload
                }  # fmt: skip
                if outcome.checkpoint_id is not None:
                    shown["checkpoint_id"] = outcome.checkpoint_id
                if outcome.token is not None and self.tells_token:
                    shown["token"] = outcome.token
                await self._json(encoded(shown), 202)
            case _:
                assert_never(outcome)

    @property
    def _named(self) -> RawHeaders:
        return [(b"x-run-id", self.run_id)] if self.run_id else []

    async def _json(self, body: bytes, status: int) -> None:
        self._count(status)
        await send_json(self.send, body, status, self._named)

    # Streams

    async def _stream(self, outcome: Streamed, presence: Presence) -> None:
        # Held from here on: a client may go before it has taken the head.
        async with held(outcome.items) as items, self._written(presence) as writer:
            await writer.items(self.run_id, items)

    def _kept(self, outcome: Streamed) -> LiveRun:
        place = self._place
        run = LiveRun(self.run_id, outcome.items, place.resumable_s, place.gate.leave)
        place.live.add(run)
        return run

    async def _first(self, run: LiveRun, presence: Presence) -> None:
        try:
            await self._live(run, 0, presence)
        finally:
            run.unread()

    async def follow(self, run: LiveRun, after: int) -> None:
        """Go on with a run for a client that has come back."""
        async with Presence(self._place.site.guests, self.receive) as presence:
            await self._live(run, after, presence)

    async def _live(self, run: LiveRun, after: int, presence: Presence) -> None:
        async with self._written(presence) as writer:
            await writer.live(run, after)

    @contextlib.asynccontextmanager
    async def _written(self, presence: Presence) -> AsyncGenerator[EventWriter]:
        self._count(200)
        self._place.meter.streams(1)
        self._writer = writer = EventWriter(self.send, presence, self._place.site.choices)
        try:
            await writer.begin(self._named)
            yield writer
            await writer.end()
        finally:
            self._place.meter.streams(-1)
            await writer.stop()

    # Errors

    async def _fail(self, error: Exception) -> None:
        site = self._place.site
        failed = told(error, reveal=site.choices.reveal)
        # A refusal is told to whoever asked and counted: a crowd must not write our log.
        ours = failed.status >= 500 and not isinstance(error, HttpRefusal)  # noqa: PLR2004  # the first status that says it was us
        if ours:
            site.failed(self._place.flow, error)
        if isinstance(error, DeadlineExceeded):
            self._place.meter.late()
        self._count(failed.status)
        if self._writer is not None:
            await self._writer.end(failed)
            return
        await send_failure(self.send, failed, events=self._events, more=self._named)

    def _gone(self) -> None:
        place = self._place
        goes_on = place.resumable_s > 0 and self._writer is not None
        if not goes_on:
            took_ms = (time.monotonic() - self._begun) * 1000
            where = f"{self.scope['method']} {place.meter.route}"
            said = f"connection closed after {took_ms:.0f} ms"
            place.tell(Notice("WEB201", place.flow, where, said))
        self._count(GONE)

    def _count(self, status: int) -> None:
        if not self._counted:
            self._counted = True
            self._place.meter.answered(status, time.monotonic() - self._begun)
