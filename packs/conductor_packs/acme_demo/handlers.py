"""What the demo pack does when the conductor asks to recover a job.

Promise: a recovery marks its job once, however often its event comes. Refusal: recoveries of other
packs' jobs are left alone, and leave no replay key behind.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Protocol

from conductor_sdk import (
    Handled,
    Ignored,
    KernelEvent,
    Outcome,
    PackContext,
    PackReplayLog,
    Reject,
    Replayed,
)
from conductor_sdk.clock import wire_time

JOB_PREFIX = "acme-job-"


class RecoveryContext(Protocol):
    """What the handler needs; a test gives its own."""

    @property
    def replay_log(self) -> PackReplayLog:
        """The pack's replay keys."""
        ...

    async def mark_job_recovered(self, job_id: str) -> None:
        """Record that a job recovered; doing it twice is doing it once."""
        ...


async def on_recovery_requested(event: KernelEvent, ctx: RecoveryContext) -> Outcome:
    """Handle `conductor:recovery_requested`."""
    replay_key = f"acme-demo:recover:{event.event_id}"
    if await ctx.replay_log.has(replay_key):
        return Replayed("noop")
    wu_id = event.payload.get("wu_id")
    if not isinstance(wu_id, str):
        return Reject("payload has no wu_id")
    if not wu_id.startswith(JOB_PREFIX):
        return Ignored("wrong-pack")
    await ctx.mark_job_recovered(wu_id)
    # After the effect: a crash between the two repeats the effect, which is an upsert.
    await ctx.replay_log.put(replay_key)
    return Handled("recovered")


@dataclass(frozen=True, slots=True)
class AcmeContext:
    """The daemon's context with the pack's one effect."""

    base: PackContext

    @property
    def replay_log(self) -> PackReplayLog:
        """The pack's replay keys."""
        return self.base.replay_log

    async def mark_job_recovered(self, job_id: str) -> None:
        """Upsert the job in the pack's own database."""
        now = wire_time(self.base.clock.now())
        await self.base.storage.run(lambda connection: _mark(connection, job_id, now))
        self.base.log.info("job_recovered", job_id=job_id)


def _mark(connection: sqlite3.Connection, job_id: str, now: str) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS jobs (job_id TEXT PRIMARY KEY, recovered_at TEXT NOT NULL)"
    )
    connection.execute(
        "INSERT INTO jobs (job_id, recovered_at) VALUES (?, ?) ON CONFLICT (job_id) DO NOTHING",
        (job_id, now),
    )
