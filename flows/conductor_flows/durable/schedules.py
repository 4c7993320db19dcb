"""When to resume what.

Promise: a schedule is due until somebody says that it fired, so a crash fires it again. Refusal:
no task waits here: a host asks `due`.
"""

from __future__ import annotations

import math
import uuid
from typing import Final

import msgspec

from conductor_flows.capabilities.rows import Rows, RowStore
from conductor_flows.durable.errors import DelayInvalid, ScheduleNotFound
from conductor_flows.durable.ports import Schedule, ScheduleStatus
from conductor_sdk.clock import Clock, SystemClock, epoch_ms

SCHEDULES: Final = ".schedules"
EXPIRES_MS: Final = 7 * 86_400_000
FORGOTTEN_MS: Final = 86_400_000
"""What has fired or was cancelled is known for a day."""


class _Row(msgspec.Struct, frozen=True):
    checkpoint_id: str
    at_ms: int
    status: ScheduleStatus = ScheduleStatus.PENDING


class RowScheduler:
    """A `ResumeScheduler`."""

    def __init__(self, rows: RowStore, *, clock: Clock | None = None) -> None:
        self._rows = rows
        self._clock = clock or SystemClock()

    async def schedule_at(self, checkpoint_id: str, at_ms: int) -> Schedule:
        """See `ResumeScheduler.schedule_at`."""
        # The id begins with the time, so that keys come in the order of times.
        found = Schedule(f"at-{max(0, at_ms):015d}-{uuid.uuid4().hex}", checkpoint_id, at_ms)
        data = msgspec.json.encode(_Row(checkpoint_id, at_ms))
        await self._rows.run(lambda rows: rows.put(SCHEDULES, found.id, data))
        return found

    async def schedule_after(self, checkpoint_id: str, delay_s: float) -> Schedule:
        """See `ResumeScheduler.schedule_after`."""
        if not math.isfinite(delay_s) or delay_s < 0:
            raise DelayInvalid(str(delay_s))
        at_ms = epoch_ms(self._clock.now()) + round(delay_s * 1000)
        return await self.schedule_at(checkpoint_id, at_ms)

    async def cancel(self, schedule_id: str) -> None:
        """See `ResumeScheduler.cancel`."""
        await self._settle(schedule_id, ScheduleStatus.CANCELLED)

    async def fired(self, schedule_id: str) -> None:
        """See `ResumeScheduler.fired`."""
        await self._settle(schedule_id, ScheduleStatus.FIRED)

    async def _settle(self, schedule_id: str, status: ScheduleStatus) -> None:
        def settle(rows: Rows) -> None:
            row = _read(rows, schedule_id)
            if row is None:
                raise ScheduleNotFound(schedule_id)
            if row.status is ScheduleStatus.PENDING:
                settled = msgspec.structs.replace(row, status=status)
                rows.put(SCHEDULES, schedule_id, msgspec.json.encode(settled))

        await self._rows.run(settle)

    async def status(self, schedule_id: str) -> ScheduleStatus:
        """See `ResumeScheduler.status`."""
        row = await self._rows.run(lambda rows: _read(rows, schedule_id))
        if row is None:
            raise ScheduleNotFound(schedule_id)
        over = row.at_ms + EXPIRES_MS <= epoch_ms(self._clock.now())
        return ScheduleStatus.EXPIRED if row.status is ScheduleStatus.PENDING and over else (
            row.status
        )  # fmt: skip

    async def due(self, limit: int = 100) -> list[Schedule]:
        """See `ResumeScheduler.due`."""
        now_ms = epoch_ms(self._clock.now())

        def find(rows: Rows) -> list[Schedule]:
            found: list[Schedule] = []
            for key in rows.keys(SCHEDULES):
                row = _read(rows, key)
                if row is None:
                    continue  # it cannot be read, and keeps no other from being due
                if row.at_ms > now_ms or len(found) == limit:
                    break
                waits = row.status is ScheduleStatus.PENDING
                if waits and row.at_ms + EXPIRES_MS > now_ms:
                    found.append(Schedule(key, row.checkpoint_id, row.at_ms))
                elif not waits and row.at_ms + FORGOTTEN_MS <= now_ms:
                    rows.drop(SCHEDULES, key)
            return found

        return await self._rows.run(find)


def _read(rows: Rows, key: str) -> _Row | None:
    data = rows.get(SCHEDULES, key)
    try:
        return None if data is None else msgspec.json.decode(data, type=_Row)
    except msgspec.MsgspecError:
        return None
