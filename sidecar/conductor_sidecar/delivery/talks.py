"""The link that speaks and, for a moment, the one that is to take its place.

Promise: every link that was begun here is ended here, whatever happens in between. Refusal: when
to begin one, and whether the other one may end, is the keeper's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from conductor_adapters.transport import Transport
from conductor_protocol.effects import Close
from conductor_sidecar.delivery.link import Link

WELCOME_S = 5.0
"""Seconds that a link which is to take another's place has to be welcomed; nothing is read then."""
LEAVE_S = 2.0
"""Seconds that a link whose place was taken has to say goodbye."""


class Talk(NamedTuple):
    """A link that speaks."""

    link: Link
    task: asyncio.Task[Close]


class Talks:
    """One for the keeper's life."""

    def __init__(
        self, make: Callable[[Transport, Link | None], Link],
        speak: Callable[[Link], Awaitable[Coroutine[Any, Any, Close]]],
    ) -> None:  # fmt: skip
        """Begin with none.

        Args:
            make: Makes a link, in the place of another one or of none.
            speak: Says with what it begins; what that returns runs until the link ends.
        """
        self._make = make
        self._speak = speak
        self._talks: list[Talk] = []
        self._welcome = asyncio.Event()

    @property
    def first(self) -> Talk | None:
        """The one that speaks."""
        return self._talks[0] if self._talks else None

    def welcomed(self) -> None:
        """Take note that the youngest one is connected."""
        self._welcome.set()

    async def begin(self, transport: Transport, before: Link | None = None) -> Talk:
        """Begin to speak over a transport; the link before rests."""
        link = self._make(transport, before)
        self._welcome.clear()
        talk = Talk(link, asyncio.create_task(await self._speak(link), name="keeper.link"))
        self._talks.append(talk)
        return talk

    async def succeeds(self, old: Talk, transport: Transport) -> bool:
        """Let another link take the old one's place; tells whether it did. The old one rests.

        The one that did not come about is ended, and the old one goes on.
        """
        new = await self.begin(transport, old.link)
        welcome = asyncio.create_task(self._welcome.wait(), name="keeper.welcome")
        try:
            await asyncio.wait(
                {new.task, welcome}, timeout=WELCOME_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            welcome.cancel()
        if new.link.connected is None:
            await self._end(new)
            old.link.go_on()
            return False
        await old.link.leave("another link took its place")
        await asyncio.wait({old.task}, timeout=LEAVE_S)
        await self._end(old)
        return True

    async def leave(self, reason: str) -> None:
        """Say goodbye over every link."""
        for talk in reversed(self._talks):
            await talk.link.leave(reason)

    async def end(self) -> None:
        """End every link."""
        for talk in list(self._talks):
            await self._end(talk)

    async def _end(self, talk: Talk) -> None:
        talk.task.cancel()
        await asyncio.gather(talk.task, return_exceptions=True)
        if talk in self._talks:
            self._talks.remove(talk)
