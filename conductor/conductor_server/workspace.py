"""One workspace at the conductor: how far its history goes and who serves it now.

Promise: at most one session serves a workspace; a newer one takes over and the older link is
closed first. Refusal: nothing durable is kept here; the history is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from conductor_protocol.messages import Head, PackNotice
from conductor_sdk.clock import Clock, epoch_ms
from conductor_server.activity import Feed
from conductor_server.ports import Anchor, History

TAKEN_OVER = "TAKEN_OVER"
"""The code of the fatal error that ends a link whose workspace connected again."""


class Serving(Protocol):
    """A session that can be told to end."""

    def stop(self, code: int, reason: str, error_code: str | None = None) -> None:
        """Ask it to close its link; it ends soon after."""
        ...

    async def ended(self) -> None:
        """Wait until it has let go of the workspace."""
        ...


class WorkspaceView(msgspec.Struct, frozen=True):
    """What `conductor dev workspaces` shows of one workspace."""

    workspace: str
    connected: bool
    session: str | None
    software: str
    packs: list[PackNotice]
    first: int
    last: int
    sent: int
    """The highest sequence written to the present link."""
    acked: int
    journal: Head | None
    journal_problem: str | None


class Workspace:
    """The live half of a workspace."""

    def __init__(self, name: str, last: int) -> None:
        self.name = name
        self.last = last
        """The last sequence of the history."""
        self.sent = 0
        self.acked = 0
        self.session: str | None = None
        self.software = ""
        self.packs: list[PackNotice] = []
        self.wake = asyncio.Event()
        """Set when there may be more to send; whoever sends clears it."""
        self.journal: Head | None = None
        self.journal_problem: str | None = None
        self._serving: Serving | None = None
        self._handover = asyncio.Lock()

    def grow(self, last: int) -> None:
        """Note that the history now ends at `last`."""
        if last > self.last:
            self.last = last
            self.wake.set()

    async def take_over(self, serving: Serving) -> bool:
        """Make `serving` the one session; waits until the older one has let go.

        Returns:
            Whether there was an older one.
        """
        async with self._handover:
            older = self._serving
            if older is not None:
                older.stop(1008, "the workspace connected again", TAKEN_OVER)
                await older.ended()
            self._serving = serving
            return older is not None

    def greeted(self, session: str, software: str, packs: Sequence[PackNotice], start: int) -> None:
        """Note who says hello, and after which sequence its events begin."""
        self.session, self.software, self.packs = session, software, list(packs)
        self.sent = self.acked = start

    def release(self, serving: Serving) -> None:
        """Let go, if it is `serving` that holds the workspace."""
        if self._serving is serving:
            self._serving = None
            self.session = None

    @property
    def serving(self) -> Serving | None:
        """The session that serves now."""
        return self._serving

    async def view(self, history: History) -> WorkspaceView:
        """Describe the workspace."""
        first, last = await history.bounds(self.name)
        return WorkspaceView(
            workspace=self.name,
            connected=self._serving is not None,
            session=self.session,
            software=self.software,
            packs=self.packs,
            first=first,
            last=last,
            sent=self.sent,
            acked=self.acked,
            journal=self.journal,
            journal_problem=self.journal_problem,
        )

    async def anchor(self, head: Head, history: History, clock: Clock, feed: Feed) -> None:
        """Keep a journal head, unless it contradicts the one that is kept.

        A journal only grows: a smaller one, or another hash at the same size, was rewritten. Then
        the kept head stays the reference, and the contradiction is told once.
        """
        if head == self.journal:
            return
        kept = self.journal or await self._kept_head(history)
        if kept is not None and head.size < kept.size:
            problem = f"the journal shrank from {kept.size} to {head.size} entries"
        elif kept is not None and head.size == kept.size and head.hash != kept.hash:
            problem = f"the journal's head changed at {kept.size} entries"
        else:
            self.journal, self.journal_problem = head, None
            if head != kept:
                now_ms = epoch_ms(clock.now())
                await history.put_anchor(Anchor(self.name, head.size, head.hash, now_ms))
            return
        if problem != self.journal_problem:
            self.journal, self.journal_problem = kept, problem
            feed.tell("anchor_flagged", self.name, problem)

    async def _kept_head(self, history: History) -> Head | None:
        anchors = await history.anchors(self.name)
        return Head(anchors[-1].size, anchors[-1].hash) if anchors else None
