"""What becomes of events that a sidecar sends up.

Promise: an id is answered `accepted` or `duplicate` only when the history holds it durably and,
where there is a further sink, the sink does too. Refusal: an event whose `from` is not the
subject of its credential is never stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from conductor_protocol.effects import Arrived, Refused
from conductor_protocol.messages import PushResult
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Outgoing
from conductor_server.activity import EventRef, Feed
from conductor_server.ports import History, HistoryEvent

PushSink = Callable[[str, Sequence[KernelEvent]], Awaitable[None]]
"""Called with the workspace and its stored events, duplicates included, before they are
confirmed. It raises to withhold the confirmation; then it is called again with the same events."""

SUBJECT_MISMATCH = "subject_mismatch"


class Intake:
    """Stores pushed events, from a link or over HTTP."""

    def __init__(self, feed: Feed, sink: PushSink | None = None) -> None:
        self._feed = feed
        self._sink = sink
        self.stored = asyncio.Event()
        """Set, and replaced by a new one, when pushed events were stored."""

    async def store(
        self, history: History, subject: str, events: Sequence[Arrived]
    ) -> list[PushResult]:
        """Store the events that are the subject's own, durably.

        Returns:
            One result per event, in the order in which they were pushed.
        """
        if not events:
            return []
        # A version 1 event carries no `from`: the credential alone says whose it is.
        kept = [arrived for arrived in events if arrived.event.from_ in (subject, "")]
        fresh = await history.record_push(
            subject, [Outgoing(a.event.event_id, a.event.kind, a.body) for a in kept]
        )
        if self._sink is not None and kept:
            await self._sink(subject, [arrived.event for arrived in kept])
        results = [
            PushResult(a.event.event_id, "accepted" if new else "duplicate")
            for a, new in zip(kept, fresh, strict=True)
        ]
        if len(kept) < len(events):
            stored = iter(results)
            results = [
                next(stored)
                if a.event.from_ in (subject, "")
                else PushResult(a.event.event_id, "rejected", SUBJECT_MISMATCH)
                for a in events
            ]
        self._tell(subject, events, results)
        self.stored.set()
        self.stored = asyncio.Event()
        return results

    async def page(
        self, read: Callable[[], Awaitable[list[HistoryEvent]]], wait_s: float
    ) -> list[HistoryEvent]:
        """Read stored events; with none there, wait up to `wait_s` for one."""
        stored = self.stored
        events = await read()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not events and wait_s:
                    await stored.wait()
                    stored = self.stored
                    events = await read()
        return events

    def tell_refused(self, subject: str, refused: Sequence[Refused]) -> None:
        """Tell the watchers of events that broke a limit or the event shape."""
        for event in refused:
            self._feed.tell(
                "rejected", subject, f"{event.event_id or '?'} {event.code} {event.detail}"
            )

    def _tell(self, subject: str, events: Sequence[Arrived], results: Sequence[PushResult]) -> None:
        if self._feed.watched:
            refs = [
                EventRef(r.event_id, a.event.kind, note=_note(r))
                for a, r in zip(events, results, strict=True)
            ]
            self._feed.tell("pushed", subject, events=refs)


def _note(result: PushResult) -> str:
    return "" if result.status == "accepted" else result.reason or result.status
