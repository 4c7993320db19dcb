"""The checkpoint of one run: when it is written, and who may write it.

Promise: in strong mode nothing begins before what led to it is on disk, and no answer is given
before the run is over there; whoever loses the lease stops. Invocations that end while a record is
being written share the next one. With an interval (`checkpoint_interval`) a run does not wait for
the disk, and a record is at most so old: a crash repeats what ended since, under the same keys.
Refusal: nothing is resumed here (`resume` does).

A run has one checkpoint. It is deleted, or kept as completed, when the answer has been given; a run
that failed leaves it, with why, to be resumed from where it failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from typing import Final

from conductor_flows.durable.errors import ScheduleNotFound
from conductor_flows.durable.failing import failure_of, note
from conductor_flows.durable.ports import CheckpointStore, Lease, Places, Ticket
from conductor_flows.durable.records import Checkpoint, Wait
from conductor_flows.durable.writing import Writer
from conductor_flows.execute.binding import Bound
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.durability import Running
from conductor_flows.execute.errors import DurabilityMissing, FlowError
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.terms import DurabilityMode
from conductor_sdk.clock import epoch_ms

LEASE_TTL_S: Final = 30.0
RENEWALS: Final = 4
"""Tries to renew a lease before it runs out, where the store fails."""
_log: Final = logging.getLogger("conductor_flows.durable")


class RunKeeper:
    """A `Keeper`."""

    def __init__(
        self, places: Places, flow: FlowIR, ends: Ends, bound: Bound, run: RunInfo
    ) -> None:
        self._places = places
        self._policy = flow.policies.durability
        self._strong = self._policy.mode is DurabilityMode.STRONG
        self._bound = bound
        self._writer = Writer(places, flow, ends, bound, run)
        self._lease: Lease | None = None
        self._instance: Running | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()
        # In strong mode nothing begins before the payload is on disk.
        self._wanted, self._written = int(self._strong), 0
        self._waits: dict[int, Wait] = {}
        """By number of the invocation: what waits since an earlier checkpoint."""
        self._streaming = False
        interval_ms = self._policy.checkpoint_interval
        self._interval_s = None if not interval_ms else interval_ms / 1000
        self._last_s = 0.0
        self._stale = False
        """Whether something has ended since the record was written."""
        self._later: asyncio.Task[None] | None = None

    @property
    def checkpoint_id(self) -> str:
        """Of the run."""
        return self._writer.checkpoint_id

    @property
    def lease_ttl_s(self) -> float:
        """How long a lease holds."""
        return (self._policy.lease_ttl or LEASE_TTL_S * 1000) / 1000

    @property
    def _store(self) -> CheckpointStore:
        if self._places.store is None:
            raise DurabilityMissing("checkpoint_store", data={"missing": ["checkpoint_store"]})
        return self._places.store

    @property
    def busy(self) -> bool:
        """See `Keeper.busy`."""
        return self._wanted > self._written

    # Writing

    async def begun(self, instance: Running) -> None:
        """See `Keeper.begun`."""
        if self._strong:
            lease = await self._writer.begin(instance, self._store, self.lease_ttl_s)
            self._written, self._last_s = self._wanted, instance.now
            self._hold(instance, lease)

    def adopt(
        self, instance: Running, checkpoint: Checkpoint, lease: Lease, waits: dict[int, Wait]
    ) -> None:
        """Go on with a checkpoint instead of beginning one.

        Args:
            instance: The run, thawed.
            checkpoint: What it was thawed from.
            lease: On it.
            waits: What still waits, by number of the invocation.
        """
        self._hold(instance, lease)
        self._writer.adopt(checkpoint)
        self._waits = waits
        self._written, self._last_s = self._wanted, instance.now

    async def settled(self, instance: Running, invocation: Invocation) -> None:
        """See `Keeper.settled`."""
        if invocation.number in instance.core.board.active:
            return  # it waits
        self._writer.note(invocation)
        if not self._strong or self._streaming:
            return
        plan = self._bound.plan
        if invocation.node == plan.capture and self._bound.handlers[plan.capture].streams:
            self._streaming = True  # a stream cannot be written down: it will be begun again
            return
        kept = self._policy.retain_completed_for or self._store.keeps_ended
        if not kept and _answers(instance, invocation):
            return
        if self._interval_s is not None:
            self._stale = True
            if self._later is None:
                later = self._write_later(instance, self._interval_s)
                loop = asyncio.get_running_loop()
                self._later = loop.create_task(later, name="flow.checkpoint")
            return
        self._wanted += 1
        mine = self._wanted
        async with self._one:
            if self._written < mine:
                await self._write(instance, self._wanted)

    async def _write(self, instance: Running, covers: int) -> None:
        self._stale, self._last_s = False, instance.now
        await self._writer.write(instance, self._lease)
        self._written = covers

    async def _write_later(self, instance: Running, interval_s: float) -> None:
        try:
            while self._stale:
                await asyncio.sleep(self._last_s + interval_s - instance.now)
                async with self._one:
                    if self._streaming:
                        return
                    await self._write(instance, self._wanted)
        except FlowError as error:
            instance.abort(error)
        except Exception as error:  # noqa: BLE001  # whatever the store says, the run is not kept
            instance.abort(FlowError(f"the checkpoint could not be written: {error}"))
        finally:
            self._later = None

    async def halted(self, instance: Running) -> tuple[str, str | None]:
        """See `Keeper.halted`."""
        token: str | None = None
        waits: list[Wait] = []
        for invocation, halt in instance.halted:
            wait = self._waits.get(invocation.number)
            if wait is None:
                alias = self._bound.plan.nodes[invocation.node].alias
                wait = await self._wait(alias, halt)
                given = await self._token(wait, halt)
                token = token or given
            waits.append(wait)
        async with self._one:
            await self._writer.write(instance, self._lease, waits=waits)
            self._stale = False
        return self.checkpoint_id, token

    async def _wait(self, alias: str, halt: Halt) -> Wait:
        wait_id, at_ms, schedule_id = uuid.uuid4().hex, None, None
        if halt.until is not None:
            at_ms = epoch_ms(halt.until)
        elif halt.after_s is not None:
            at_ms = epoch_ms(self._places.clock.now()) + round(halt.after_s * 1000)
        if at_ms is not None and self._places.scheduler is not None:
            made = await self._places.scheduler.schedule_at(self.checkpoint_id, at_ms)
            schedule_id = made.id
        return Wait(
            wait_id, alias, halt.kind, halt.payload, at_ms, halt.otherwise, None, schedule_id
        )

    async def _token(self, wait: Wait, halt: Halt) -> str | None:
        signals = self._places.signals
        if signals is None or halt.kind == "timer":
            return None
        ticket = Ticket(self.checkpoint_id, wait.id, {"alias": wait.alias})
        return await signals.create_token(ticket, ttl_s=halt.after_s)

    # The lease

    def _hold(self, instance: Running, lease: Lease) -> None:
        self._lease, self._instance = lease, instance
        renewing = self._renew(instance)
        self._renewing = asyncio.get_running_loop().create_task(renewing, name="flow.lease")

    async def _renew(self, instance: Running) -> None:
        ttl_s, tries = self.lease_ttl_s, 0
        while self._lease is not None:
            await asyncio.sleep(ttl_s / 2 if not tries else ttl_s / 2 / RENEWALS)
            try:
                self._lease = await self._store.renew(self._lease, ttl_s)
            except FlowError as error:
                instance.abort(error)
                return
            except Exception as error:  # noqa: BLE001  # whatever the store says, the lease is in doubt
                tries += 1
                if tries == RENEWALS:
                    instance.abort(FlowError(f"the lease could not be renewed: {error}"))
                    return
            else:
                tries = 0

    async def _let_go(self) -> Lease | None:
        async with self._one:  # a record that is being written is written to its end
            tasks = [task for task in (self._renewing, self._later) if task is not None]
            self._renewing = None
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lease, self._lease = self._lease, None
        return lease

    # The end

    async def completed(self) -> None:
        """See `Keeper.completed`."""
        lease = await self._let_go()
        if not self._writer.wrote:
            return
        retain_ms = self._policy.retain_completed_for
        retain_s = None if not retain_ms else retain_ms / 1000
        try:
            await self._store.ack(self.checkpoint_id, retain_s=retain_s, lease=lease)
        except BaseException:
            self._lease = lease  # `abandoned` gives it up
            raise
        await self._writer.clear()

    async def abandoned(self) -> None:
        """See `Keeper.abandoned`."""
        lease = await self._let_go()
        if lease is None:
            return
        failed = failure_of(self._instance, epoch_ms(self._places.clock.now()))
        try:
            try:
                if failed is not None:
                    await note(self._store, lease, failed)
            finally:
                await self._store.release_lease(lease)
        except Exception as error:  # noqa: BLE001  # the run's own error says more than the store's
            _log.warning("run of %s: its end could not be written: %s", self.checkpoint_id, error)

    async def unschedule(self, waits: list[Wait]) -> None:
        """Forget the timers of waits that are over."""
        scheduler = self._places.scheduler
        for wait in waits:
            if scheduler is not None and wait.schedule_id is not None:
                with contextlib.suppress(ScheduleNotFound):
                    await scheduler.fired(wait.schedule_id)


def _answers(instance: Running, invocation: Invocation) -> bool:
    """Whether nothing is left of a run but its answer: what ends the checkpoint is the next write.

    A crash before that is as one before any other write: the last node runs again, with its key.
    """
    there = instance.core.board.captured or instance.given
    return bool(there) and not invocation.scope.root.live
