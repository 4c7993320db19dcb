"""The runs of a workspace: so many at once, the others in the storage.

Promise: a run that was taken comes to rest and is told, through stops and crashes; no more than
`concurrency` are in memory, however many wait. Refusal: no event and no tool is known here.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from conductor_packs.flows.answering import Answers
from conductor_packs.flows.carrying import Carrier, changed
from conductor_packs.flows.errors import FlowChanged, RunUnknown
from conductor_packs.flows.records import Failed, Run, fault_of
from conductor_packs.flows.requests import RunRequest
from conductor_packs.flows.retrying import Retries
from conductor_packs.flows.settings import Settings
from conductor_packs.flows.shelf import Shelf
from conductor_packs.flows.storage import Runs
from conductor_packs.flows.telling import Teller
from conductor_packs.flows.times import NodeTimes
from conductor_packs.flows.workshop import Workshop
from conductor_sdk.context import PackContext
from conductor_sdk.errors import ConductorError

LOOK_S: Final = 1.0
"""How often it is looked whether a time has come."""
AGAIN_MS: Final = 2000
"""After so long a run is tried again that could not be taken up."""
HELD_MS: Final = 60_000
"""After so long a run is looked at again that is due and whose flow has changed."""
FORGET_S: Final = 3600.0
DAY_MS: Final = 86_400_000


class Engine:
    """One for each bound pack. Use from one event loop."""

    def __init__(self, base: PackContext, settings: Settings) -> None:
        self._base = base
        self._settings = settings
        self.runs = Runs(base.storage, base.clock)
        self.shelf = Shelf(base.workspace, settings.flows)
        self.workshop = Workshop(base.workspace, settings, base.clock)
        self.teller = Teller(base, self.workshop, self.runs)
        self.answers = Answers(self.shelf, self.workshop, self.runs, self.teller)
        self._retries = Retries(self.shelf, self.workshop, self.runs, self.teller)
        self._carrier = Carrier(self.shelf, self.workshop, self.runs, self.teller, settings)
        self._woken = asyncio.Event()
        self._active: set[str] = set()
        """Runs under way."""
        self._waiters: dict[str, set[asyncio.Event]] = {}
        """Set whenever the run has come to rest, or was put back."""
        self._working = False
        self._forgotten_at = 0.0

    async def work(self) -> None:
        """Carry runs out until cancelled; those under way are put back then."""
        async with self.workshop.open():
            await self.workshop.break_leases()
            await self.runs.recover()
            self._working = True
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._look_over(), name="flows.look")
                    while True:
                        self._woken.clear()
                        await self._turn(group)
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_S):
                                await self._woken.wait()
            finally:
                self._working = False

    async def _look_over(self) -> None:
        """Load every flow once, so that a broken one is in the log before it is asked for."""
        for name in self.shelf.names:
            try:
                await self.shelf.get(name)
            except ConductorError as error:
                self._base.log.warning(
                    "flow_broken", flow=name, code=error.code, error=error.message
                )

    async def take(self, request: RunRequest, asked_by: str) -> Run | None:
        """Take what an event asks for.

        Returns:
            The run: a new one, or the one that its key stands for; None: the event was taken
            before.

        Raises:
            FlowUnknown, FlowBroken, EntrypointUnknown: It cannot be run; nothing was taken.
            KeyConflict: As `Runs.take`.
        """
        await self.check(request)
        taken = await self.runs.take(
            request, asked_by, once=asked_by, traceparent=self._base.traceparent
        )
        self.wake()
        return None if taken is None else taken.run

    async def check(self, request: RunRequest) -> None:
        """Look whether a request can be run. Raises as `take`."""
        (await self.shelf.get(request.flow)).ends(request.entrypoint)

    async def run_now(self, request: RunRequest, asked_by: str, wait_s: float) -> Run:
        """Take a request and wait a while for its end; it goes on by itself after that.

        Without a daemon it goes on when there is one. Raises as `take`.
        """
        await self.check(request)
        async with self.workshop.open():
            taken = await self.runs.take(
                request, asked_by, once=None, traceparent=self._base.traceparent
            )
            assert taken is not None  # noqa: S101  # only a request with `once` is passed over
            return await self._rested(taken.run, wait_s)

    async def retry(self, run_id: str, *, said_by: str, once: str) -> Run | None:
        """Let a run that failed go on from its checkpoint.

        Returns:
            The run as it was; None: the event was taken before.

        Raises:
            ConductorError: As `Retries.take`.
        """
        found = await self.runs.get(run_id)
        if found is not None and found.state == "failed" and not found.told:
            await self._tell(found)
        taken = await self._retries.take(run_id, said_by=said_by, once=once)
        self.wake()
        return taken

    async def retry_now(self, run_id: str, *, said_by: str, once: str, wait_s: float) -> Run:
        """Try a run again and wait a while for its end, as `run_now`. Raises as `retry`."""
        async with self.workshop.open():
            taken = await self.retry(run_id, said_by=said_by, once=once)
            if taken is None:
                raise RunUnknown(run_id)
            return await self._rested(taken, wait_s)

    async def _rested(self, run: Run, wait_s: float) -> Run:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._come_to_rest(run.run_id)
        return await self.runs.get(run.run_id) or run

    async def _come_to_rest(self, run_id: str) -> None:
        if not self._working:
            for run in await self._claim(1, only=run_id):
                self._active.add(run_id)
                await self._perform(run)
            return
        rested = asyncio.Event()
        waiters = self._waiters.setdefault(run_id, set())
        waiters.add(rested)
        self.wake()
        try:
            while True:
                rested.clear()
                found = await self.runs.get(run_id)
                if found is None or found.state not in {"queued", "running"}:
                    return
                await rested.wait()
        finally:
            waiters.discard(rested)
            if not waiters:
                self._waiters.pop(run_id, None)

    def wake(self) -> None:
        """Look at what waits."""
        self._woken.set()

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        """Do what is due. What a store refuses is tried again."""
        try:
            for run in await self.runs.untold():
                if run.run_id not in self._active:
                    await self._tell(run)
            for run in await self.runs.due():
                await self._go_on(run)
            free = self._settings.concurrency - len(self._active)
            for run in await self._claim(free) if free > 0 else ():
                self._active.add(run.run_id)
                group.create_task(self._perform(run), name=f"flows.{run.flow}")
            await self._forget()
        except ConductorError as error:
            self._base.log.warning("flows_look_failed", code=error.code, error=error.message)

    async def _claim(self, limit: int, *, only: str | None = None) -> list[Run]:
        """Begin runs; where that is cancelled, none is left that seems to run and does not."""
        claiming = asyncio.create_task(self.runs.claim(limit, only=only), name="flows.claim")
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            with contextlib.suppress(ConductorError):
                for run in await claiming:
                    await self.runs.put_back(run.run_id)
            raise

    async def _go_on(self, run: Run) -> None:
        try:
            loaded = await self.shelf.get(run.flow)
            if loaded.code_hash != run.code_hash:
                raise FlowChanged(changed(run, loaded))
        except ConductorError as error:
            await self.runs.hold(run.run_id, HELD_MS)
            await self.teller.held(run, error)
            return
        await self.runs.go_on(run.run_id)

    async def _perform(self, run: Run) -> None:
        """Carry a run out, keep how it ended and tell. Never raises but when it is cancelled."""
        loop, times = asyncio.get_running_loop(), NodeTimes()
        begun = loop.time()
        try:
            outcome = await self._carrier.carry(run, times)
            took_ms = round((loop.time() - begun) * 1000)
            held = self.workshop.held.of_run(run.run_id) or run.checkpoint_id
            rested = await self.runs.finish(
                run.run_id, outcome, nodes=times.summary(), took_ms=took_ms, checkpoint_id=held
            )
            await self._tell(rested)
        except asyncio.CancelledError:
            with contextlib.suppress(ConductorError):
                await self.runs.put_back(run.run_id)
            raise
        except Exception as error:  # noqa: BLE001  # one run's trouble is no other's
            await self._trouble(run, error)
        finally:
            self._active.discard(run.run_id)
            for waiter in self._waiters.get(run.run_id, ()):
                waiter.set()
            self.wake()

    async def _trouble(self, run: Run, error: Exception) -> None:
        fault = fault_of(error)
        self._base.log.warning(
            "flow_run_put_back", run_id=run.run_id, code=fault.code, error=fault.message
        )
        while True:
            try:
                await self.runs.put_back(run.run_id, after_ms=AGAIN_MS)
            except ConductorError:
                await asyncio.sleep(LOOK_S)
            else:
                return

    async def _tell(self, run: Run) -> None:
        """Tell how a run came to rest; a checkpoint that nobody needs any more goes after that."""
        refused = await self.teller.rest(run)
        if refused is not None:
            run = await self.runs.finish(
                run.run_id, Failed(fault_of(refused)), nodes={}, took_ms=0,
                checkpoint_id=run.checkpoint_id,
            )  # fmt: skip
            await self.teller.rest(run)
        if run.state == "completed":
            await self.workshop.held.release(run.run_id, run.checkpoint_id)
        else:
            self.workshop.held.forget(run.run_id)
        await self.runs.told(run.run_id)

    async def _forget(self) -> None:
        """Forget what ended long ago, with the checkpoints of runs that failed."""
        now = asyncio.get_running_loop().time()
        if self._forgotten_at and now - self._forgotten_at < FORGET_S:
            return
        self._forgotten_at = now
        before = self.runs.now_ms - self._settings.retain_days * DAY_MS
        while found := await self.runs.old(before):
            for run in found:
                await self.workshop.held.release(run.run_id, run.checkpoint_id)
                await self.teller.forget(run.run_id)
                await self.runs.forget(run.run_id)
