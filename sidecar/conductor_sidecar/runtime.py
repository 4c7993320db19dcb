"""The daemon's task tree: start, supervise, drain, stop.

Promise: everything starts in one order and stops in the reverse one; whatever ends the process,
nothing that was promised is lost, and a clean stop costs no attempt. Refusal: it names no concrete
store or adapter; `app` hands them in.

    daemon
    ├── dispatcher   workers, deadlines, the settler      ends: drain
    ├── downlink     storer, dispatcher feed              ends: after the link has left
    ├── keeper       one link at a time, and its tasks    ends: bye
    ├── packs        background tasks of packs            ends: first, at drain
    ├── journaler    dead letters into the journal        ends: when its queue is empty
    ├── fallback     the outbox by HTTP, without a link   ends: cancelled
    ├── rotation     a new credential for the old one     ends: cancelled
    ├── credit       grants, as handlers catch up         ends: cancelled
    └── upkeep       retention, expiry                    ends: cancelled
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import msgspec

from conductor_handlers.dispatcher import Dispatcher
from conductor_sdk.clock import Clock, epoch_ms, wire_time
from conductor_sdk.errors import ConductorError
from conductor_sdk.records import Buried, Settled
from conductor_sidecar import __version__
from conductor_sidecar.delivery.burials import Burials
from conductor_sidecar.delivery.downlink import Downlink
from conductor_sidecar.delivery.fallback import HttpFallback
from conductor_sidecar.delivery.keeper import Keeper
from conductor_sidecar.delivery.uplink import Uplink
from conductor_sidecar.desk import StoreDesk
from conductor_sidecar.feed import Feed
from conductor_sidecar.health.progress import Work
from conductor_sidecar.logs import get_logger
from conductor_sidecar.metrics.tallies import Tallies
from conductor_sidecar.packs import BoundPacks, pack_reports
from conductor_sidecar.report import StatusReport
from conductor_sidecar.rotation.fixed import Turning
from conductor_sidecar.settings import Settings
from conductor_sidecar.tools import Tools
from conductor_sidecar.tracing.provider import Tracing

RESUME_PAGE = 1000
UPKEEP_S = 1.0
PRUNE_EVERY = 60
"""Upkeep rounds between two looks at the retention window."""
PRUNE_ROWS = 20_000


@dataclass(slots=True)
class Parts:
    """What a daemon is made of."""

    workspace: str
    subject: str
    settings: Settings
    """In force; a reload replaces them, and nothing else of this."""
    clock: Clock
    desk: StoreDesk
    feed: Feed
    dispatcher: Dispatcher
    downlink: Downlink
    uplink: Uplink
    keeper: Keeper
    fallback: HttpFallback | None
    packs: BoundPacks
    tools: Tools
    tallies: Tallies = field(default_factory=Tallies)
    rotation: Turning | None = None
    tracing: Tracing | None = None


class Daemon:
    """One running sidecar. `run` once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._log = get_logger(part="daemon")
        self._started = parts.clock.now()
        self._stop = asyncio.Event()
        self._burials = Burials(parts.desk, parts.feed)
        self._caught_up = asyncio.Event()
        self._outcomes = 0
        parts.feed.on_settled = self._settled
        self.http: Callable[[], str | None] = lambda: None
        """Where tools are served over TCP now; for the report."""
        self.ready = asyncio.Event()
        """Set when everything runs; a link may still be connecting."""

    def stop(self) -> None:
        """Begin a clean stop; `run` returns when it is done. Idempotent."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether a clean stop has begun."""
        return self._stop.is_set()

    def work(self) -> Work:
        """Return what the watchdog judges the dispatcher by."""
        refused = [error.at for error in self._parts.feed.errors if error.code.startswith("STORE_")]
        mark = (self._outcomes, refused[-1:])
        return Work(self._parts.dispatcher.lanes()["ready"], mark)

    @property
    def longest_deadline_s(self) -> float:
        """Seconds that one attempt of any handler may take."""
        packs = self._parts.packs.registry.packs
        own = [each.deadline_s for pack in packs for each in pack.subscriptions.values()]
        return max(each or self._parts.settings.dispatch.deadline_s for each in [*own, None])

    async def report(self) -> StatusReport:
        """Return a snapshot."""
        parts = self._parts
        facts = await parts.desk.facts()
        return StatusReport(
            workspace=parts.workspace, running=True, version=__version__, pid=os.getpid(),
            started=wire_time(self._started), subject=parts.subject, link=parts.keeper.report(),
            http=self.http(),
            cursor=facts.cursor, backlog=facts.backlog, lanes=parts.dispatcher.lanes(),
            outbox=msgspec.structs.replace(
                facts.outbox, unconfirmed=parts.uplink.unconfirmed
            ),
            dead_letters=facts.dead_letters, approvals_pending=facts.approvals_pending,
            inbound=facts.inbound, outbound=facts.outbound, balanced=facts.balanced,
            packs=pack_reports(parts.packs.registry), refusals=dict(parts.feed.refusals),
            errors=list(parts.feed.errors),
            traces=None if parts.tracing is None else parts.tracing.report(),
        )  # fmt: skip

    async def run(self) -> None:
        """Run until `stop`, or until a part fails for good.

        Raises:
            CredentialRefused: The conductor refused the credential on the first connection.
            StateError: A store is broken.
        """
        parts = self._parts
        async with _supervised(parts.dispatcher.run, "dispatcher") as dispatcher:
            await self._resume()
            async with (
                _supervised(self._burials.run, "journaler"),
                _supervised(parts.downlink.run, "downlink") as downlink,
                _supervised(parts.keeper.run, "keeper") as keeper,
                _supervised(self._fall_back, "fallback"),
                _supervised(self._turn_credentials, "rotation") as rotation,
                _supervised(self._grant, "credit") as credit,
                _supervised(self._keep_up, "upkeep") as upkeep,
                _supervised(parts.packs.run, "packs") as packs,
            ):
                self.ready.set()
                self._log.info("ready", subject=parts.subject, workspace=parts.workspace)
                watched = {dispatcher, downlink, keeper, credit, upkeep, rotation}
                failure = await self._until_stopped(watched)
                packs.cancel()
                await self._drain(dispatcher)
        self._log.info("stopped")
        if failure is not None:
            raise failure

    async def _until_stopped(self, watched: set[asyncio.Task[None]]) -> BaseException | None:
        """Wait for `stop` or for a part to fail; a failure is drained for like a stop."""
        stop = asyncio.create_task(self._stop.wait(), name="daemon.stop")
        await asyncio.wait({stop, *watched}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        ended = [task for task in watched if task.done() and not task.cancelled()]
        failures = [_cause(error) for task in ended if (error := task.exception()) is not None]
        for error in failures:
            self._log.error("failed", error=f"{type(error).__name__}: {error}")
        return failures[0] if failures else None

    async def _fall_back(self) -> None:
        if self._parts.fallback is not None:
            await self._parts.fallback.run()

    async def _turn_credentials(self) -> None:
        if self._parts.rotation is not None:
            await self._parts.rotation.run()
        await asyncio.Event().wait()

    async def _drain(self, dispatcher: asyncio.Task[None]) -> None:
        parts = self._parts
        deadline_s = parts.settings.drain.deadline_s
        end = parts.clock.monotonic() + deadline_s
        self._log.info("draining", deadline_s=deadline_s)
        # Handlers finish first, while beats and acknowledgements still go out; they may call
        # tools, so those come second and share the time.
        left = await parts.dispatcher.drain(deadline_s)
        await asyncio.wait({dispatcher}, timeout=deadline_s)
        await parts.tools.close(max(0.0, end - parts.clock.monotonic()))
        await parts.keeper.leave("sidecar stops")
        await parts.downlink.idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._burials.idle()
        if parts.tracing is not None:
            await parts.tracing.flush(end - parts.clock.monotonic())
        self._log.info("drained", events_left=left)

    async def _resume(self) -> None:
        parts = self._parts
        reaped = await parts.desk.log.reap()
        if reaped:
            self._log.warning("crash_recovered", attempts_counted=reaped)
        after = 0
        while page := await parts.desk.log.pending(after, RESUME_PAGE):
            await parts.dispatcher.resume(page)
            after = page[-1].position

    def _settled(self, outcomes: Sequence[Settled]) -> None:
        self._caught_up.set()
        self._outcomes += len(outcomes)
        # Not isinstance: what is not buried would go the long way of its metaclass, each.
        buried = [outcome for outcome in outcomes if type(outcome) is Buried]
        if buried:
            self._burials.add(buried)

    async def _grant(self) -> None:
        """Raise the credit when handlers have caught up; nothing slow may stand in its way."""
        while True:
            await self._caught_up.wait()
            self._caught_up.clear()
            await self._parts.downlink.regrant()

    async def _keep_up(self) -> None:
        """Do what is due now and then, however busy the daemon is: expiry, retention."""
        rounds = 0
        while True:
            await asyncio.sleep(UPKEEP_S)
            rounds += 1
            await self._guarded(self._expire)
            if rounds % PRUNE_EVERY == 1:
                await self._guarded(self._prune)

    async def _expire(self) -> None:
        await self._parts.desk.outbox.expire(epoch_ms(self._parts.clock.now()))

    async def _prune(self) -> None:
        parts = self._parts
        window = timedelta(days=parts.settings.retention.days)
        older = epoch_ms(parts.clock.now() - window)
        for prune in (parts.desk.log.prune, parts.desk.outbox.prune):
            forgotten = PRUNE_ROWS
            while forgotten:  # a slice at a time: deliveries take their turn between two
                forgotten = await prune(older, PRUNE_ROWS)
        await parts.packs.prune(older)
        await parts.tools.prune()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Upkeep that fails is tried again at the next round; delivery goes on."""
        try:
            await work()
        except ConductorError as error:
            self._parts.feed.failed(error)
            self._log.warning("upkeep_failed", code=error.code, error=error.message)


def _cause(error: BaseException) -> BaseException:
    """Return the first failure of a group: the others only followed."""
    found: Any = error
    while isinstance(found, BaseExceptionGroup):
        found = cast("BaseExceptionGroup[BaseException]", found).exceptions[0]
    return cast("BaseException", found)


@contextlib.asynccontextmanager
async def _supervised(
    work: Callable[[], Awaitable[None]], name: str
) -> AsyncGenerator[asyncio.Task[None]]:
    """Run a part as a named task that ends with the block at the latest."""

    async def run() -> None:
        await work()

    task = asyncio.create_task(run(), name=name)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
