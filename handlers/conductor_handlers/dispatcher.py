"""The dispatcher: stored events to handlers, outcomes to the store.

Promise: claimed before run, committed after; order per key, keys in parallel; a key that is stuck
holds its own lane only; a clean stop costs no attempt. Refusal: it knows no link and no database,
and it never acknowledges anything.

Life of an event: `submit` claims a batch in one commit and puts its jobs into lanes; workers take
lanes and run jobs one after the other; answers go through the settlement table; a single settler
writes everything that has come together in one commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from conductor_handlers.attempt import Attempt, call_handler, current_attempt
from conductor_handlers.deadlines import keep_deadlines
from conductor_handlers.decision import decide
from conductor_handlers.intake import Intake
from conductor_handlers.lanes import Job, Lane, Lanes
from conductor_handlers.outcomes import OutcomeWriter
from conductor_handlers.pause import Pause
from conductor_handlers.ports import ClaimStore, DispatchObserver, HandlerTimes, Tracer
from conductor_handlers.preparation import prepare
from conductor_handlers.rebinding import rebind
from conductor_handlers.settlement import Answer
from conductor_handlers.subscribers import Joint, Routes, done_key
from conductor_handlers.traced import TracedCalls
from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.errors import ConductorError
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Buried, Delivered, Pending, RetryLater

TURN_JOBS = 64
"""Jobs that a lane may run before other lanes get a turn."""
CANCEL_S = 1.0
"""Seconds that cancelled handlers are given to clean up."""
STORE_RETRY_S = 1.0
"""Seconds until a lane is tried again whose event the store could not count or load."""
SLICE_S = 0.005
"""Seconds that workers may keep the event loop without giving others a chance."""


class DispatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much at once."""

    concurrency: int = 64
    """Handlers that may be in progress at the same time."""
    held_in_memory: int = 32
    """Events of a held-up lane that keep their body in memory; later ones are loaded again."""


class Dispatcher:
    """Runs handlers. Use from one event loop: `run()` as a task, `submit()` from others."""

    def __init__(
        self,
        store: ClaimStore,
        routes: Routes,
        clock: Clock,
        *,
        random: Callable[[], float],
        settings: DispatchSettings | None = None,
        observer: DispatchObserver | None = None,
        times: HandlerTimes | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random = random
        self._settings = settings or DispatchSettings()
        self._lanes = Lanes()
        self._intake = Intake(store, routes, clock, self._lanes, self._settings.held_in_memory)
        self._observer = observer
        self._times = times
        self._traced = None if tracer is None else TracedCalls(tracer)
        self._call = call_handler if self._traced is None else self._traced.call
        self._writer = OutcomeWriter(store, observer)
        self._attempts: list[Attempt] = []
        self._idle: list[asyncio.Future[None]] = []
        self._group: asyncio.TaskGroup | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._draining = False
        self._pause = Pause()

    @property
    def in_flight(self) -> int:
        """Events submitted and not settled for good."""
        return self._lanes.jobs + self._writer.waiting

    def lanes(self) -> dict[str, int]:
        """Return counts for `status`: lanes, ready, waiting for a retry, running, jobs."""
        lanes, running = self._lanes, sum(attempt.job is not None for attempt in self._attempts)
        return {"lanes": len(lanes), "ready": lanes.ready, "running": running,
                "waiting": lanes.waiting(), "jobs": lanes.jobs}  # fmt: skip

    async def pause(self, timeout_s: float) -> bool:
        """Begin nothing more and wait for what runs; False: it took longer, and all goes on.

        Until `go_on`, `submit` waits, and no event is claimed.
        """
        paused = await self._pause.begin(timeout_s)
        if not paused:
            self._wake()
        return paused

    def go_on(self) -> None:
        """End a pause."""
        self._pause.end()
        self._wake()

    def adopt(self, routes: Routes, settings: DispatchSettings) -> None:
        """Take over other subscriptions and settings, in a pause.

        Events in lanes go on with their pack's new handler; those whose pack does not subscribe
        any more are unhandled.
        """
        self._intake.routes, self._settings = routes, settings
        self._writer.add_all(rebind(self._lanes, routes))
        for idle in self._idle:  # workers that are too many now look, and end
            if not idle.done():
                idle.set_result(None)
        self._idle.clear()

    async def submit(self, batch: Sequence[tuple[int, KernelEvent]]) -> None:
        """Claim a batch of fresh events, in order of arrival, and queue it for its lanes.

        Raises:
            StateError: The claim could not be stored; nothing was queued.
        """
        if self._draining:
            return  # stored already: they run after the next start
        async with self._pause.door:
            unhandled = await self._intake.fresh(batch)
        if self._draining:
            await self._store.release([job.position for job in self._lanes.drain()])
            return
        self._writer.add_all(unhandled)
        self._wake()

    async def resume(self, pending: Sequence[Pending]) -> None:
        """Queue events that were stored before, after a start or redriven.

        Each is claimed alone right before it runs: one that kills the process costs no neighbour.
        """
        for lane, delay_s in self._intake.stored(pending, self._writer.add_all):
            self._hold(lane, delay_s)
        self._wake()

    async def run(self) -> None:
        """Run until `drain` has finished or the task is cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            keeping = keep_deadlines(self._attempts)
            keeper = group.create_task(keeping, name="dispatcher.deadlines")
            self._wake()
            try:
                await self._writer.run()
            finally:
                keeper.cancel()
                for attempt in self._attempts:
                    if attempt.task is not None:
                        attempt.task.cancel()
                self._group = None

    async def drain(self, deadline_s: float) -> int:
        """Stop taking jobs, give running ones `deadline_s`, release the rest.

        Returns how many events stay stored for the next start. None of them lost an attempt.
        """
        self._draining = True
        for timer in self._timers:
            timer.cancel()
        end = asyncio.get_running_loop().time() + deadline_s
        while any(a.job is not None for a in self._attempts):
            if asyncio.get_running_loop().time() >= end:
                break
            await asyncio.sleep(0.01)
        tasks = [a.task for a in self._attempts if a.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_S)
        left = self._lanes.drain()
        await self._writer.close(release=[job.position for job in left])
        return len({job.position for job in left})

    def _wake(self) -> None:
        if self._group is None or self._draining or self._pause.on:
            return
        wanted = min(self._lanes.ready, self._settings.concurrency)
        while wanted and self._idle:
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)
                wanted -= 1
        for _ in range(min(wanted, self._settings.concurrency - len(self._attempts))):
            attempt = Attempt()
            self._attempts.append(attempt)
            name = f"dispatcher.worker-{len(self._attempts)}"
            attempt.task = self._group.create_task(self._work(attempt), name=name)

    async def _work(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        current_attempt.set(attempt)
        slice_end = loop.time() + SLICE_S
        # A handler may have swallowed the cancellation that was meant for its worker.
        while not (self._draining or (attempt.task is not None and attempt.task.cancelling())):
            if len(self._attempts) > self._settings.concurrency:
                self._attempts.remove(attempt)
                return
            lane = None if self._pause.on else self._lanes.take()
            if lane is None:
                idle = loop.create_future()
                self._idle.append(idle)
                await idle
                slice_end = loop.time() + SLICE_S
                continue
            with self._pause.turn():
                await self._turn(lane, attempt)
            await self._writer.room()
            if loop.time() > slice_end:
                await asyncio.sleep(0)
                slice_end = loop.time() + SLICE_S

    async def _turn(self, lane: Lane, attempt: Attempt) -> None:
        now = 0.0  # when the job before this one ended, if nothing was waited for since
        for _ in range(min(TURN_JOBS, len(lane.jobs))):
            job = lane.jobs[0]
            ready: KernelEvent | Answer | None = job.event
            if ready is None or not job.first:
                now = 0.0
                try:
                    ready = await prepare(job, self._store, self._writer.reached)
                except ConductorError as error:
                    self._put_off(lane, error)
                    return
            if ready is None:
                self._lanes.done(lane)
                continue
            if isinstance(ready, KernelEvent):
                attempt.began = now or attempt.time()
                answer = await self._call(job, ready, attempt)
                if self._times is not None:
                    now = attempt.time()
                    self._times.ran(job.subscriber.slug, ready.kind, answer, now - attempt.began)
            else:
                answer = ready if self._traced is None else self._traced.not_run(job, ready)
            settled = decide(job, answer, self._clock, self._random)
            if type(settled) is RetryLater:  # isinstance: slow with the metaclass of records
                job.after = self._writer.add(settled)
                job.claimed = job.first = False
                self._hold(lane, (settled.not_before_ms - epoch_ms(self._clock.now())) / 1000)
                return
            self._lanes.done(lane)
            if job.joint is None:
                self._writer.add(settled)
            else:
                self._finish(job, job.joint, settled)
            if self._draining or self._pause.on:
                break
        if not self._draining:
            self._lanes.finish(lane)

    def _put_off(self, lane: Lane, error: ConductorError) -> None:
        """Try a lane again later: the store refused, which is no fault of the event.

        Raises:
            StateError: The store is broken: that must end the daemon, not look healthy.
        """
        if not error.retryable:
            raise error
        if self._observer is not None:
            self._observer.trouble(error)
        self._hold(lane, STORE_RETRY_S)

    def _finish(self, job: Job, joint: Joint, settled: Delivered | Buried) -> None:
        """Hand an answer to the writer once the other subscribers of its event have theirs."""
        if isinstance(settled, Delivered) and job.event is not None:
            self._writer.add_keys(
                [*settled.keys, (job.subscriber.slug, done_key(job.event.event_id))]
            )
        if (last := joint.merge(settled)) is not None:
            self._writer.add(last)

    def _hold(self, lane: Lane, delay_s: float) -> None:
        """Keep a lane out of the ready queue for a while; only its own key waits."""
        self._lanes.wait(lane)
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.discard(timer)
            self._lanes.make_ready(lane)
            self._wake()

        timer = loop.call_later(max(0.0, delay_s), due)
        self._timers.add(timer)
