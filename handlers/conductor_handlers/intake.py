"""Intake: from stored events to jobs in lanes.

Promise: one claim per batch of fresh events; events without a subscriber are settled at once.
Refusal: it runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from conductor_handlers.errors import StoredEventUnreadable
from conductor_handlers.lanes import Job, Lane, Lanes, LaneState
from conductor_handlers.ports import ClaimStore
from conductor_handlers.subscribers import Joint, Routes, Subscriber
from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.errors import EventMalformed
from conductor_sdk.event import KernelEvent, parse_event
from conductor_sdk.records import Buried, Delivered, Pending, Settled

UNHANDLED = "no enabled pack subscribes to the kind"


class Intake:
    """Routes events to subscribers and their keys to lanes."""

    def __init__(
        self, store: ClaimStore, routes: Routes, clock: Clock, lanes: Lanes, held_in_memory: int
    ) -> None:
        self.routes = routes
        self._store = store
        self._clock = clock
        self._lanes = lanes
        self._held = held_in_memory

    async def fresh(self, batch: Sequence[tuple[int, KernelEvent]]) -> list[Settled]:
        """Claim and queue fresh events; returns the outcomes of those that nobody wants."""
        routes = self.routes
        wanted = batch
        if not routes.keys() >= {event.kind for _, event in batch}:
            wanted = [(position, event) for position, event in batch if event.kind in routes]
        if wanted:
            await self._store.claim([position for position, _ in wanted])
        for position, event in wanted:
            subscribers = routes[event.kind]
            joint = Joint(len(subscribers)) if len(subscribers) > 1 else None
            for subscriber in subscribers:
                # By position: this runs once an event, and names cost half of it.
                job = Job(position, event, subscriber, 1, True, 0, False, joint, None, event.kind,
                          True)  # fmt: skip
                self._put(job, event)
        if len(wanted) == len(batch):
            return []
        return [
            Delivered(position, "unhandled", UNHANDLED)
            for position, event in batch
            if event.kind not in routes
        ]

    def stored(
        self, pending: Sequence[Pending], settle: Callable[[Sequence[Settled]], None]
    ) -> Iterator[tuple[Lane, float]]:
        """Queue stored events; yields the lanes to hold, with the seconds that are left."""
        now_ms = epoch_ms(self._clock.now())
        for item in pending:
            subscribers = self.routes.get(item.kind, ())
            if not subscribers:
                settle([Delivered(item.position, "unhandled", UNHANDLED)])
                continue
            try:
                event = parse_event(item.body)
            except EventMalformed as error:
                code = StoredEventUnreadable.code
                settle([Buried(item.position, item.attempts, code, error.message)])
                continue
            left_s = (item.not_before_ms - now_ms) / 1000
            for lane in self._queue(item, event, subscribers):
                if left_s > 0 and lane.state is LaneState.READY and len(lane.jobs) == 1:
                    # The wall clock may have jumped: never wait longer than one retry may take.
                    self._lanes.unready(lane)
                    yield lane, min(left_s, subscribers[0].policy.cap_s)

    def _queue(
        self, item: Pending, event: KernelEvent, subscribers: tuple[Subscriber, ...]
    ) -> list[Lane]:
        joint = Joint(len(subscribers)) if len(subscribers) > 1 else None
        return [
            self._put(
                Job(
                    item.position, event, subscriber, attempts=item.attempts,
                    redriven=item.redriven, joint=joint, kind=event.kind,
                ),
                event,
            )
            for subscriber in subscribers
        ]  # fmt: skip

    def _put(self, job: Job, event: KernelEvent) -> Lane:
        subscriber = job.subscriber
        key = event.from_ if subscriber.partition_key is None else _key(subscriber, event)
        lane = self._lanes.add((subscriber.slug, key), job)
        if lane.state is LaneState.WAITING and len(lane.jobs) > self._held:
            job.event = None
        return lane


def _key(subscriber: Subscriber, event: KernelEvent) -> str:
    """Return the partition key; a pack's own function may fail, the event must still run."""
    if subscriber.partition_key is None:
        return event.from_
    try:
        return str(subscriber.partition_key(event))
    except Exception:  # noqa: BLE001  foreign code: fall back to the default key
        return event.from_
