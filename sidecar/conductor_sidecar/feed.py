"""What happens, for people who watch: the live tail and the last errors.

Promise: watching costs nothing while nobody watches, and a slow watcher loses records, counted,
rather than slow the daemon. Refusal: nothing here is durable; `explain` reads the stores.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import assert_never

import msgspec

from conductor_protocol.effects import Deliver
from conductor_protocol.messages import PushResult
from conductor_sdk.clock import Clock, wire_time
from conductor_sdk.context import PushReceipt
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Buried, Delivered, Outgoing, Position, RetryLater, Settled

WATCH_WINDOW = 4096
ERRORS_KEPT = 20


class Activity(msgspec.Struct, frozen=True):
    """One line of the live tail."""

    at: str
    what: str
    """received, handled, replayed, ignored, unhandled, retry, dead_letter, queued, sent, dropped,
    confirmed, rejected, link, gap, lost_view."""
    kind: str = ""
    event_id: str = ""
    detail: str = ""


class LastError(msgspec.Struct, frozen=True):
    """A recent failure, for `status`."""

    at: str
    code: str
    message: str


class Feed:
    """Collects activity from all parts; implements their observer protocols."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watchers: list[_Watcher] = []
        self.errors: deque[LastError] = deque(maxlen=ERRORS_KEPT)
        self.failures: Counter[str] = Counter()
        """Failures by code, since the start."""
        self.gaps = 0
        """Gaps in the conductor's history, since the start."""
        self.refusals: dict[str, int] = {}
        """Protocol refusals by code, since the start."""
        self.on_settled: Callable[[Sequence[Settled]], None] | None = None
        self._names: OrderedDict[Position | str, tuple[str, str]] = OrderedDict()
        """Kind and id of what was shown, so that what becomes of it can be named: by position on
        the way down, by id on the way up."""

    @property
    def watched(self) -> bool:
        """Whether anybody looks."""
        return bool(self._watchers)

    def note(self, what: str, *, kind: str = "", event_id: str = "", detail: str = "") -> None:
        """Show one activity to whoever watches."""
        self.gaps += what == "gap"
        if self._watchers:
            now = wire_time(self._clock.now())
            self._show([Activity(now, what, kind, event_id, detail)])

    def failed(self, error: ConductorError) -> None:
        """Remember a failure for `status`."""
        now = wire_time(self._clock.now())
        self.failures[error.code] += 1
        self.errors.append(LastError(now, error.code, error.message))

    def refused(self, code: str, detail: str) -> None:
        """Count a protocol refusal."""
        self.refusals[code] = self.refusals.get(code, 0) + 1
        self.note("refused", detail=f"{code}: {detail}")

    def trouble(self, error: Exception) -> None:
        """Remember that a store refused a write which is tried again."""
        if isinstance(error, ConductorError):
            self.failed(error)

    def received(self, deliver: Deliver, positions: Sequence[Position | None]) -> None:
        """Show a stored batch; None stands for an event that was known already."""
        for refusal in deliver.refused:
            self.refused(refusal.code, refusal.detail)
        if self._watchers:
            now = wire_time(self._clock.now())
            for position, arrived in zip(positions, deliver.events, strict=True):
                event, detail = arrived.event, f"#{arrived.sequence}"
                if position is None:
                    detail += " again"
                else:
                    self._remember(position, event.kind, event.event_id)
                self._show([Activity(now, "received", event.kind, event.event_id, detail)])

    def settled(self, outcomes: Sequence[Settled]) -> None:
        """Show settled events and pass them on."""
        if self.on_settled is not None:
            self.on_settled(outcomes)
        if self._watchers:
            now = wire_time(self._clock.now())
            self._show(
                [
                    _activity(now, outcome, *self._names.get(outcome.position, ("", "")))
                    for outcome in outcomes
                ]
            )

    def published(self, receipts: Sequence[PushReceipt]) -> None:
        """Show what became of pushed events."""
        if self._watchers:
            now = wire_time(self._clock.now())
            self._show([Activity(now, r.status, r.kind, r.event_id, r.reason or "")
                        for r in receipts])  # fmt: skip

    def sending(self, batch: Sequence[Outgoing]) -> None:
        """Remember the kinds of events that go up, so that their answers can be named."""
        if self._watchers:
            for item in batch:
                self._remember(item.event_id, item.kind, item.event_id)

    def answered(self, results: Sequence[PushResult]) -> None:
        """Show what the conductor said of pushed events."""
        if self._watchers:
            now = wire_time(self._clock.now())
            self._show([_answer(now, result, *self._names.get(result.event_id, ("", "")))
                        for result in results])  # fmt: skip

    def lost(self, kinds: Mapping[str, str]) -> None:
        """Show ephemeral events that were dropped with their link."""
        for event_id, kind in kinds.items():
            self.note("dropped", kind=kind, event_id=event_id, detail="link_lost")

    async def watch(self) -> AsyncIterator[list[Activity]]:
        """Yield activity in batches until closed; `lost_view` says how many were not shown."""
        mine = _Watcher()
        self._watchers.append(mine)
        try:
            while True:
                yield await mine.take()
        finally:
            self._watchers.remove(mine)

    def _remember(self, position: Position | str, kind: str, event_id: str) -> None:
        self._names[position] = (kind, event_id)
        if len(self._names) > WATCH_WINDOW:
            self._names.popitem(last=False)

    def _show(self, batch: list[Activity]) -> None:
        for watcher in self._watchers:
            watcher.put(batch)


class _Watcher:
    """What one watcher has not taken yet; the oldest is lost first, and counted."""

    def __init__(self) -> None:
        self._waiting: deque[Activity] = deque()
        self._lost = 0
        self._news = asyncio.Event()

    def put(self, batch: Sequence[Activity]) -> None:
        self._waiting.extend(batch)
        while len(self._waiting) > WATCH_WINDOW:
            self._waiting.popleft()
            self._lost += 1
        self._news.set()

    async def take(self) -> list[Activity]:
        await self._news.wait()
        self._news.clear()
        batch, self._waiting = list(self._waiting), deque()
        if self._lost:
            text = f"{self._lost} records came too fast to be shown"
            batch.insert(0, Activity(batch[0].at, "lost_view", detail=text))
            self._lost = 0
        return batch


def _answer(now: str, result: PushResult, kind: str, _: str) -> Activity:
    what = "rejected" if result.status == "rejected" else "confirmed"
    detail = "it had it already" if result.status == "duplicate" else result.reason or ""
    return Activity(now, what, kind, result.event_id, detail)


def _activity(now: str, outcome: Settled, kind: str, event_id: str) -> Activity:
    match outcome:
        case Delivered():
            return Activity(now, outcome.status, kind, event_id, outcome.action)
        case RetryLater():
            text = f"attempt {outcome.attempts}: {outcome.error}"
            return Activity(now, "retry", kind, event_id, text)
        case Buried():
            text = f"{outcome.error_code} after {outcome.attempts} attempts"
            return Activity(now, "dead_letter", kind, event_id, text)
        case _:
            assert_never(outcome)
