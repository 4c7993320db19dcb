"""Runs that can go on by themselves, taken up while a host is there.

Promise: a run whose time has come goes on within about a second, one that was left in the middle
soon after its lease has run out, each one at a time and beside the others; a host that was not
there takes up what it missed, and one that stops leaves what it does not end to the next. What this
host cannot go on with is told once, and what a store that fails kept from going on stays due.
Refusal: nobody waits for what such a run gives: it is told to
the hooks, and failures to the log; and a run that failed is not tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Final, TypeAlias

from conductor_flows.durable.errors import (
    CheckpointNotFound,
    LeaseConflict,
    ScheduleNotFound,
    StateCorrupted,
    StillWaiting,
    VersionIncompatible,
)
from conductor_flows.durable.ports import CheckpointStore, Schedule
from conductor_flows.durable.records import Checkpoint, Status
from conductor_flows.durable.refusals import REFUSALS
from conductor_flows.durable.services import Durability
from conductor_flows.execute.outcomes import Streamed
from conductor_flows.host.hosting import Host
from conductor_flows.host.left import Left, LeftRuns
from conductor_flows.host.streams import held
from conductor_flows.ir.identity import flow_id
from conductor_sdk.clock import epoch_ms

AT_ONCE: Final = 16
DUE_MAX: Final = 100
"""Timers that are looked at at a time."""
LEFT_EVERY_S: Final = 5.0
"""How often it is looked for runs that were left."""
Reason: TypeAlias = Schedule | Left
_log: Final = logging.getLogger("conductor_flows.host")


class Waker:
    """For all hosts that keep their checkpoints in one place."""

    def __init__(self, durability: Durability, hosts: Iterable[Host]) -> None:
        self._durability = durability
        self._hosts = {host.flow.id: host for host in hosts}
        self._going: dict[str, asyncio.Task[None]] = {}
        self._left = LeftRuns(durability)
        self._left_at: float | None = None
        self._passed: set[str] = set()
        """Schedules that are for other hosts, or for another version of a flow."""
        self._held_up: set[str] = set()
        """Checkpoints that a store keeps from going on."""

    async def run(self, *, every_s: float = 1.0) -> None:
        """Look again and again, until cancelled; then call `ended`."""
        reads = True
        while True:
            try:
                await self.look()
                reads = True
            except Exception:  # noqa: BLE001  # a store that fails now may answer later
                if reads:  # told once, not every second for as long as it fails
                    _log.exception("runs that are due could not be read; trying on")
                reads = False
            await asyncio.sleep(every_s)

    async def ended(self, grace_s: float) -> None:
        """Wait for the runs that go on; those that do not end in time are cancelled.

        What is cancelled stays in its checkpoint, and is due for the next host.
        """
        if self._going:
            _, late = await asyncio.wait(self._going.values(), timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def look(self) -> list[asyncio.Task[None]]:
        """Let go on whatever is due; returns what was begun by this look."""
        store = self._durability.store
        begun: list[asyncio.Task[None]] = []
        if store is None:
            return begun
        reasons: list[Reason] = [*await self._timers(), *await self._left_runs()]
        for reason in reasons:
            if reason.checkpoint_id in self._going or len(self._going) >= AT_ONCE:
                continue
            task = asyncio.create_task(self._wake(store, reason), name="flow.timer")
            self._going[reason.checkpoint_id] = task
            task.add_done_callback(self._gone)
            begun.append(task)
        return begun

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._going = {key: each for key, each in self._going.items() if each is not task}

    async def _timers(self) -> list[Schedule]:
        scheduler = self._durability.scheduler
        if scheduler is None:
            return []
        # What is passed over stays due: it must not keep what comes after it from being seen.
        due = await scheduler.due(DUE_MAX + len(self._passed))
        self._passed &= {each.id for each in due}
        return [each for each in due if each.id not in self._passed]

    async def _left_runs(self) -> list[Left]:
        now = asyncio.get_running_loop().time()
        early = self._left_at is not None and now < self._left_at + LEFT_EVERY_S
        if early or len(self._going) >= AT_ONCE:
            return []
        self._left_at = now
        return await self._left.found()

    async def _wake(self, store: CheckpointStore, reason: Reason) -> None:
        checkpoint_id, host = reason.checkpoint_id, None
        try:
            record = await store.get(checkpoint_id)
            host = self._host_of(record)
            if host is None:
                self._pass_over(reason)
                return
            if not self._has_failed(record):
                await _go_on(host, checkpoint_id)
        except LeaseConflict:
            return  # somebody else is at it; asked again next time
        except REFUSALS as error:
            self._hold_up(checkpoint_id, error)
            return
        except (VersionIncompatible, StateCorrupted) as error:
            told = "run %s cannot go on here: [%s] %s; %s"
            _log.warning(told, checkpoint_id, error.code, error.message, error.hint)
            self._pass_over(reason)  # it stays due: the host that can may come
            if host is not None and isinstance(reason, Left):
                self._passed.add(await self._again(checkpoint_id))  # its lease was given up
            return
        except (CheckpointNotFound, StillWaiting):
            pass
        except asyncio.CancelledError:
            await self._again(checkpoint_id)
            raise
        except Exception as error:  # noqa: BLE001  # one run's failure is no other's
            _log.exception("run %s failed when it went on: %s", checkpoint_id, error)
        try:
            await self._settled(reason)
            self._held_up.discard(checkpoint_id)
        except REFUSALS as error:
            self._hold_up(checkpoint_id, error)

    def _has_failed(self, record: Checkpoint) -> bool:
        """Whether somebody was told, and is to say when it is tried again."""
        now_ms = epoch_ms(self._durability.clock.now())
        return record.status(now_ms) is Status.FAILED

    def _hold_up(self, checkpoint_id: str, error: Exception) -> None:
        if checkpoint_id not in self._held_up:
            self._held_up.add(checkpoint_id)
            _log.warning("run %s is held up by its store, trying on: %s", checkpoint_id, error)

    def _host_of(self, record: Checkpoint) -> Host | None:
        """Return who goes on with a run; None: another host's.

        Raises:
            VersionIncompatible: DAG-CKPT-009: another version of a flow that is here wrote it.
        """
        host = self._hosts.get(record.flow_id)
        if host is not None:
            return host
        for other in self._hosts.values():
            if flow_id(other.flow.name, record.flow_version) == record.flow_id:
                wrote = f"{other.flow.name} {record.flow_version} wrote {record.checkpoint_id}"
                raise VersionIncompatible(f"{wrote}, this is {other.flow.version}")
        return None

    def _pass_over(self, reason: Reason) -> None:
        match reason:
            case Schedule():
                self._passed.add(reason.id)
            case Left():
                self._left.pass_over(reason)

    async def _settled(self, reason: Reason) -> None:
        match reason:
            case Schedule():
                scheduler = self._durability.scheduler
                if scheduler is not None:
                    with contextlib.suppress(ScheduleNotFound):
                        await scheduler.fired(reason.id)
            case Left():
                self._left.pass_over(reason)

    async def _again(self, checkpoint_id: str) -> str:
        """Make a run due that did not go on to its end, and has no other timer any more."""
        scheduler, now = self._durability.scheduler, self._durability.clock.now()
        try:
            if scheduler is not None:
                return (await scheduler.schedule_at(checkpoint_id, epoch_ms(now))).id
        except Exception:  # noqa: BLE001  # the store has failed; the run is in its checkpoint
            _log.exception("run %s waits for `flows resume run`", checkpoint_id)
        return ""


async def _go_on(host: Host, checkpoint_id: str) -> None:
    outcome = await host.resume(checkpoint_id, again=False)
    if isinstance(outcome, Streamed):
        async with held(outcome.items) as items:
            async for _ in items:
                pass  # what it does is done, though nobody listens


def wakers(hosts: Iterable[Host]) -> list[Waker]:
    """Return a waker for each place in which these hosts keep checkpoints."""
    by_place: dict[int, tuple[Durability, list[Host]]] = {}
    for host in hosts:
        if host.durability is not None:
            place = by_place.setdefault(id(host.durability), (host.durability, []))
            place[1].append(host)
    return [Waker(durability, found) for durability, found in by_place.values()]
