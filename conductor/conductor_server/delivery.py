"""One session of one sidecar: what the conductor's half of the protocol decides, done.

Promise: events leave in the order of the history, a page at a time and never beyond the credit;
a push is confirmed after it is durable. Refusal: nothing about the protocol is decided here, and
a session ends for one reason only, which the watchers are told.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from typing import NamedTuple, NoReturn, assert_never

from conductor_protocol.conductor_session import ConductorConfig, ConductorSession
from conductor_protocol.effects import (
    WS_CODES,
    Acked,
    Anchored,
    Close,
    CloseCode,
    ConductorEffect,
    Counted,
    Departed,
    Opened,
    PeerError,
    PushArrived,
    Send,
)
from conductor_sdk.errors import ConductorError
from conductor_server.activity import EventRef
from conductor_server.house import House
from conductor_server.ports import HistoryEvent, Link, TokenRecord
from conductor_server.resume import resume
from conductor_server.rotation import URL
from conductor_server.workspace import Workspace


class _Over(Exception):
    """The session has ended; how is in `Delivery.over`."""


class Ending(NamedTuple):
    """How a link was ended."""

    code: int
    reason: str


class Delivery:
    """Serves a workspace over one link. `run` once."""

    def __init__(
        self, house: House, workspace: Workspace, link: Link,
        credential: TokenRecord | None = None,
    ) -> None:  # fmt: skip
        settings = house.settings
        self._house = house
        self._workspace = workspace
        self._link = link
        self._credential = credential
        self._session = ConductorSession(
            ConductorConfig(
                limits=settings.limits,
                beat_s=settings.beat_s,
                hello_timeout_s=settings.hello_s,
            )
        )
        self._sending = asyncio.Lock()
        self._open = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop: tuple[int, str, str | None] = (1001, "", None)
        self._ending = Ending(1011, "the conductor failed")
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Serve until the link, the session or `stop` ends it; the link is closed on return."""
        name = self._workspace.name
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name=f"conductor-read-{name}")
                group.create_task(self._pump(), name=f"conductor-pump-{name}")
                group.create_task(self._beat(), name=f"conductor-beat-{name}")
                group.create_task(self._until_stopped(), name=f"conductor-stop-{name}")
        except* _Over:
            pass
        except* ConductorError as failed:
            self._ending = Ending(1011, str(failed.exceptions[0]))
        finally:
            await self._leave()

    def stop(self, code: int, reason: str, error_code: str | None = None) -> None:
        """Ask the session to end; with `error_code` the sidecar is told by a fatal error."""
        if not self._stopping.is_set():
            self._stop = (code, reason, error_code)
            self._stopping.set()

    @property
    def workspace(self) -> str:
        """Whom it serves."""
        return self._workspace.name

    async def rotate(self) -> None:
        """Tell the sidecar that a credential waits for it, if one does."""
        version = await self._house.rotations.waiting(self.workspace, self._credential)
        if version is not None:
            with contextlib.suppress(_Over, ConductorError):
                await self._perform(self._session.rotate(version, URL, self._now()))

    async def ended(self) -> None:
        """Wait until the link is closed and the workspace released."""
        await self._done.wait()

    async def drain(self, retry_after_s: float, address: str | None) -> None:
        """Announce the end, give what is in flight a moment, then end the session."""
        with contextlib.suppress(_Over, ConductorError, TimeoutError):
            async with asyncio.timeout(self._house.settings.drain_s):
                await self._perform(self._session.drain(retry_after_s, address, self._now()))
                await self._done.wait()
        self.stop(1001, "drain")
        await self._done.wait()

    async def _read(self) -> NoReturn:
        await self._perform(self._session.start(self._now()))
        limit = self._house.settings.receive_frames
        while True:
            frames = await self._link.receive(limit)
            await self._perform(self._session.received(frames, self._now()))

    async def _pump(self) -> NoReturn:
        await self._open.wait()
        workspace, session, settings = self._workspace, self._session, self._house.settings
        while True:
            workspace.wake.clear()
            first = session.next_sequence
            room = min(session.credit_limit, workspace.last) - first + 1
            if room <= 0:
                await workspace.wake.wait()
                continue
            page = await self._house.history.read(
                workspace.name, first - 1, min(room, settings.page_events), settings.page_bytes
            )
            if not page or page[0].sequence != first:
                code = WS_CODES[CloseCode.RESUME]
                self._end(code, f"event {first} is not kept any more")
            # The sidecar may have taken credit back while the page was read.
            page = page[: max(0, session.credit_limit - first + 1)]
            await self._perform(
                session.send_events(first, [event.body for event in page], self._now())
            )
            self._sent(page)

    async def _beat(self) -> NoReturn:
        while True:
            now = self._now()
            deadline = self._session.next_deadline(now)
            delay_s = self._house.settings.hello_s if deadline is None else deadline - now
            if self._open.is_set():
                await asyncio.sleep(delay_s)
            else:
                # Not wait_for: on Python 3.11 it may lose a cancellation that comes with the event.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await self._open.wait()
            self._session.advance(self._workspace.last)
            await self._perform(self._session.tick(self._now()))

    async def _until_stopped(self) -> NoReturn:
        await self._stopping.wait()
        code, reason, error_code = self._stop
        if error_code is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._house.settings.close_s):
                    await self._perform(self._session.refuse(error_code, reason, self._now()))
        self._end(code, reason)

    async def _perform(self, effects: Sequence[ConductorEffect]) -> None:
        feed, name = self._house.feed, self._workspace.name
        for effect in effects:
            match effect:
                case Send(frames):
                    # One writer at a time, in the order in which the session decided.
                    async with self._sending:
                        await self._link.send(frames)
                case PushArrived():
                    await self._store(effect)
                case Acked(sequence):
                    self._workspace.acked = sequence
                    self._workspace.wake.set()
                    feed.tell("acked", name, str(sequence))
                case Opened():
                    await self._welcome(effect)
                case Anchored(journal):
                    house = self._house
                    await self._workspace.anchor(journal, house.history, house.clock, feed)
                case Departed(reason):
                    feed.tell("departed", name, reason)
                case PeerError(code, message, fatal):
                    feed.tell("peer_error", name, f"{code}: {message}" + " (fatal)" * fatal)
                case Counted(code, detail, count):
                    feed.tell("complaint", name, f"{code} {detail}" + f" x{count}" * (count > 1))
                case Close(code, detail, ws_code):
                    self._end(ws_code, f"{code} {detail}".strip())
                case _:
                    assert_never(effect)

    async def _welcome(self, hello: Opened) -> None:
        house, workspace = self._house, self._workspace
        older = await workspace.take_over(self)
        first, last = await house.history.bounds(workspace.name)
        workspace.grow(last)
        begin = resume(
            epoch=house.history.epoch,
            first=first,
            last=last,
            known_epoch=hello.epoch,
            known_cursor=hello.cursor,
        )
        session = hello.session if hello.session and begin.resumed else new_session_id()
        workspace.greeted(session, hello.software, hello.packs, begin.start)
        if older:
            house.feed.tell("taken_over", workspace.name)
        again = begin.resumed and hello.session
        house.feed.tell(
            "resumed" if again else "connected",
            workspace.name,
            f"{hello.software}, after {begin.start}",
        )
        if not begin.resumed:
            gap = "" if begin.gap_from is None else f" {begin.gap_from} to {begin.gap_to}"
            house.feed.tell("gap", workspace.name, f"history {house.history.epoch}{gap}")
        await self._perform(
            self._session.welcome(
                self._now(),
                session=session,
                subject=workspace.name,
                epoch=house.history.epoch,
                resumed=begin.resumed,
                start=begin.start,
                gap_from=begin.gap_from,
                gap_to=begin.gap_to,
            )
        )
        self._open.set()
        await self.rotate()

    async def _store(self, push: PushArrived) -> None:
        house, name = self._house, self._workspace.name
        house.intake.tell_refused(name, push.refused)
        results = await house.intake.store(house.history, name, push.events)
        await self._perform(self._session.pushed(results, self._now()))

    def _sent(self, page: Sequence[HistoryEvent]) -> None:
        if page:
            self._workspace.sent = page[-1].sequence
            if self._house.feed.watched:
                refs = [EventRef(e.event_id, e.kind, e.sequence) for e in page]
                self._house.feed.tell("delivered", self._workspace.name, events=refs)

    def _end(self, code: int, reason: str) -> NoReturn:
        self._ending = Ending(code, reason)
        raise _Over

    async def _leave(self) -> None:
        ending = self._ending
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._house.settings.close_s):
                    await self._link.close(ending.code, ending.reason[:100])
        finally:
            self._workspace.release(self)
            self._done.set()
            self._house.feed.tell("disconnected", self._workspace.name, ending.reason)

    def _now(self) -> float:
        return self._house.clock.monotonic()


def new_session_id() -> str:
    """Make the id of a session."""
    return "ses-" + secrets.token_hex(8)
