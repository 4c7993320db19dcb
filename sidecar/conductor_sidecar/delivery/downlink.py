"""The way down: events from the conductor to the replay log, then to the dispatcher.

Promise (the delivery contract, downward):
- stored before acknowledged: `stored` is called only after the commit that holds the batch;
- a resend is counted, never stored twice and never run twice once settled;
- a gap in the history is an event, a journal entry and a count before anything after it runs;
- credit is granted only for what is stored, and shrinks while handlers are behind.

Refusal: it knows no socket and runs no handler.

The line that acknowledges an event is in `Downlink._deliver`, right below the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from conductor_handlers.dispatcher import Dispatcher
from conductor_protocol.backpressure import credit, worth_granting
from conductor_protocol.effects import Deliver, GapDetected
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.records import Arrival, Position
from conductor_sidecar.ports import Journal, ReplayLog

PIPELINE = 2
"""Batches that may wait between two stages: one is committed while the next is decoded."""
STORE_RETRY_S = 1.0
GAP_KIND = "conductor:gap_detected"


class Acknowledger(Protocol):
    """The link's half: tells the conductor what is stored. None of these raises."""

    async def stored(self, last: int, credit: int) -> None:
        """Acknowledge everything up to `last`, and grant `credit` beyond it."""
        ...

    async def grant(self, credit: int) -> None:
        """Grant credit beyond what is acknowledged."""
        ...

    def fail(self, error: ConductorError) -> None:
        """End the link: a batch of it could not be stored."""
        ...


class DownlinkObserver(Protocol):
    """Told of stored batches, for the live tail and the status."""

    def received(self, deliver: Deliver, positions: Sequence[Position | None]) -> None:
        """Take note of a batch that is durable now; None: known already."""
        ...

    def trouble(self, error: Exception) -> None:
        """Take note that the store refused; it is tried again."""
        ...


class BatchSpan(Protocol):
    """The recorded receipt of a batch."""

    def stored(self, positions: Sequence[Position | None]) -> None:
        """Finish it: the batch is durable; None stands for an event that was known already."""
        ...


class BatchTracer(Protocol):
    """Records receipts."""

    def receive(self, deliver: Deliver) -> BatchSpan | None:
        """Begin the span of a batch; None if no trace in it is recorded."""
        ...


class Downlink:
    """One for the daemon's life: links come and go, what they brought is stored to the end."""

    def __init__(
        self, log: ReplayLog, dispatcher: Dispatcher, journal: Journal, clock: Clock, *,
        window: int, observer: DownlinkObserver, subject: str, tracer: BatchTracer | None = None,
    ) -> None:  # fmt: skip
        self._log = log
        self._dispatcher = dispatcher
        self._journal = journal
        self._clock = clock
        self._window = window
        self._observer = observer
        self._subject = subject
        self._tracer = tracer
        self._arrived: asyncio.Queue[tuple[Deliver | GapDetected, Acknowledger]] = asyncio.Queue(
            PIPELINE
        )
        self._stored: asyncio.Queue[list[tuple[Position, KernelEvent]]] = asyncio.Queue(PIPELINE)
        self._over = False
        self._queued = 0
        self._granted = 0
        self._failed: Acknowledger | None = None
        """The link whose batch could not be stored: what else it brought must not be stored."""
        self.link: Acknowledger | None = None
        """The open link, if there is one."""

    @property
    def backlog(self) -> int:
        """Events that are stored and not settled, in this process's hands."""
        return self._queued + self._dispatcher.in_flight

    @property
    def credit(self) -> int:
        """Events that may come beyond what is stored."""
        return credit(self.backlog, self._window)

    def adopt(self, window: int) -> None:
        """Hold the conductor back at another backlog from now on."""
        self._window = window

    def open_credit(self) -> int:
        """Return the credit for a hello; what is granted later is measured against it."""
        self._granted = self.credit
        return self._granted

    @property
    def full(self) -> bool:
        """Whether `arrived` would wait."""
        return self._arrived.full()

    async def arrived(self, item: Deliver | GapDetected, link: Acknowledger) -> None:
        """Take what a link brought, in its order; waits while the disk is behind."""
        await self._arrived.put((item, link))
        if self._over:
            self._give_up()

    async def idle(self) -> None:
        """Wait until everything that arrived is stored or given up."""
        await self._arrived.join()

    async def run(self) -> None:
        """Store and dispatch until cancelled.

        Raises:
            ExceptionGroup: A store is broken; what arrives from then on is given up.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._store(), name="downlink.storer")
                group.create_task(self._dispatch(), name="downlink.dispatcher")
        finally:
            self._over = True
            self._give_up()

    def _give_up(self) -> None:
        """Drop what nobody will store, so that nobody waits for it; it was not acknowledged."""
        while not self._arrived.empty():
            self._arrived.get_nowait()
            self._arrived.task_done()

    async def _store(self) -> None:
        while True:
            item, link = await self._arrived.get()
            try:
                if link is not self._failed:
                    await (self._gap(item) if isinstance(item, GapDetected)
                           else self._deliver(item, link))  # fmt: skip
            except ConductorError as error:
                # Nothing was stored and nothing acknowledged: the conductor will send it again.
                self._failed = link
                self._observer.trouble(error)
                link.fail(error)
                if not error.retryable:
                    raise  # a broken store must end the daemon, not look healthy
            finally:
                self._arrived.task_done()

    async def _dispatch(self) -> None:
        while True:
            batch = await self._stored.get()
            await self._submit(batch)
            self._queued -= len(batch)

    async def _submit(self, batch: list[tuple[Position, KernelEvent]]) -> None:
        while True:
            try:
                await self._dispatcher.submit(batch)
            except ConductorError as error:
                if not error.retryable:
                    raise
                self._observer.trouble(error)
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    async def _deliver(self, deliver: Deliver, link: Acknowledger) -> None:
        span = None if self._tracer is None else self._tracer.receive(deliver)
        arrivals = [
            Arrival(event.event_id, event.kind, arrived.body, event.traceparent)
            for arrived in deliver.events
            for event in (arrived.event,)
        ]
        refused: dict[tuple[str, str], int] = {}
        for refusal in deliver.refused:
            key = ("", refusal.code.lower())
            refused[key] = refused.get(key, 0) + 1
        receipt = await self._log.receive(deliver.epoch, deliver.last, arrivals, refused)
        fresh = [
            (position, arrived.event)
            for position, arrived in zip(receipt.positions, deliver.events, strict=True)
            if position is not None
        ]
        self._queued += len(fresh)
        self._granted = self.credit
        # Committed above: from this line on the conductor may forget the batch.
        await link.stored(deliver.last, self._granted)
        self._observer.received(deliver, receipt.positions)
        if span is not None:
            span.stored(receipt.positions)
        if fresh:
            await self._stored.put(fresh)

    async def regrant(self) -> None:
        """Raise the credit again when handlers have caught up; called as outcomes settle."""
        now = self.credit
        if self.link is not None and worth_granting(self._granted, now, self._window):
            self._granted = now
            await self.link.grant(now)

    async def _gap(self, gap: GapDetected) -> None:
        """Make a gap visible: an entry in the journal and an event for the packs, then go on."""
        known = gap.gap_from is not None and gap.gap_to is not None
        facts = {
            "old_epoch": gap.old_epoch, "old_cursor": gap.old_cursor, "epoch": gap.epoch,
            "start": gap.start, **({"from": gap.gap_from, "to": gap.gap_to} if known else {}),
        }  # fmt: skip
        await self._journal.append("GAP_DETECTED", "sidecar", facts)
        event = build_kernel_event_v2(
            {"kind": GAP_KIND, "from": self._subject, "payload": facts},
            idempotency_key=f"{gap.old_epoch}:{gap.old_cursor}:{gap.epoch}:{gap.start}",
            clock=self._clock,
        )
        arrival = Arrival(event.event_id, event.kind, event.to_json())
        receipt = await self._log.receive(gap.epoch, gap.start, [arrival])
        position = receipt.positions[0]
        if position is not None:
            self._queued += 1
            await self._stored.put([(position, event)])
        # Last: a crash or a failure before this line finds the gap again, with the same event id.
        await self._log.reset_cursor(gap.epoch, gap.start)
