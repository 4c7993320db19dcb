"""Runs that wait for a time, woken while a host is there.

Promise: a run whose time has come goes on within about a second, one at a time for each run and
beside the others; a host that was not there takes up what it missed. Refusal: nobody waits for what
such a run gives: it is told to the hooks, and failures to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Final

from conductor_flows.durable.errors import (
    CheckpointNotFound,
    LeaseConflict,
    ScheduleNotFound,
    StillWaiting,
)
from conductor_flows.durable.ports import CheckpointStore, ResumeScheduler, Schedule
from conductor_flows.durable.services import Durability
from conductor_flows.execute.outcomes import Streamed
from conductor_flows.host.hosting import Host
from conductor_flows.host.streams import held

AT_ONCE: Final = 16
_log: Final = logging.getLogger("conductor_flows.host")


class Waker:
    """For all hosts that keep their checkpoints in one place."""

    def __init__(self, durability: Durability, hosts: Iterable[Host]) -> None:
        self._durability = durability
        self._hosts = {host.flow.id: host for host in hosts}
        self._going: dict[str, asyncio.Task[None]] = {}

    async def run(self, *, every_s: float = 1.0) -> None:
        """Look again and again, until cancelled; then call `ended`."""
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001  # a store that fails now may answer later
                _log.exception("timers could not be read")
            await asyncio.sleep(every_s)

    async def ended(self, grace_s: float) -> None:
        """Wait for the runs that go on; those that do not end in time are cancelled.

        What is cancelled stays in its checkpoint, for somebody to resume: its time has come.
        """
        if self._going:
            _, late = await asyncio.wait(self._going.values(), timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def look(self) -> list[asyncio.Task[None]]:
        """Let go on whatever is due; returns what was begun by this look."""
        store, scheduler = self._durability.store, self._durability.scheduler
        if store is None or scheduler is None:
            return []
        begun: list[asyncio.Task[None]] = []
        for schedule in await scheduler.due():
            if schedule.checkpoint_id in self._going or len(self._going) >= AT_ONCE:
                continue
            wake = self._wake(store, scheduler, schedule)
            task = asyncio.create_task(wake, name="flow.timer")
            self._going[schedule.checkpoint_id] = task
            task.add_done_callback(self._gone)
            begun.append(task)
        return begun

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._going = {key: each for key, each in self._going.items() if each is not task}

    async def _wake(
        self, store: CheckpointStore, scheduler: ResumeScheduler, schedule: Schedule
    ) -> None:
        try:
            record = await store.get(schedule.checkpoint_id)
            host = self._hosts.get(record.flow_id)
            if host is None:
                return  # another host's
            outcome = await host.resume(schedule.checkpoint_id)
            if isinstance(outcome, Streamed):
                async with held(outcome.items) as items:
                    async for _ in items:
                        pass  # what it does is done, though nobody listens
        except LeaseConflict:
            return  # somebody else is at it; asked again next time
        except (CheckpointNotFound, StillWaiting):
            pass
        except Exception:  # noqa: BLE001  # one run's failure is no other's
            _log.exception("run %s failed after its timer", schedule.checkpoint_id)
        with contextlib.suppress(ScheduleNotFound):
            await scheduler.fired(schedule.id)


def wakers(hosts: Iterable[Host]) -> list[Waker]:
    """Return a waker for each place in which these hosts keep checkpoints."""
    by_place: dict[int, tuple[Durability, list[Host]]] = {}
    for host in hosts:
        if host.durability is not None:
            place = by_place.setdefault(id(host.durability), (host.durability, []))
            place[1].append(host)
    return [Waker(durability, found) for durability, found in by_place.values()]
