"""What the demo pack says: jobs that were queued, jobs that completed.

Promise: the same job and step is the same event, however often it is pushed. Refusal: no retry
here; the sidecar owns delivery.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from conductor_sdk import PackContext, SyncPort, build_kernel_event_v2
from conductor_sdk.clock import wire_time

JOB_QUEUED = "acme-demo:job_queued"
JOB_COMPLETED = "acme-demo:job_completed"


@dataclass(frozen=True, slots=True)
class JobContext:
    """What one job needs."""

    sync_port: SyncPort
    workspace_identity: str
    """The subject of the enrollment token."""
    job_id: str


async def queue_job(ctx: JobContext) -> None:
    """Tell that a job waits. Queued: durable when this returns, delivered sooner or later."""
    await _push(ctx, JOB_QUEUED, "queued")


async def run_job(ctx: JobContext) -> None:
    """Run the mock job, which completes at once, and tell so. Ephemeral: told once or never."""
    await _push(ctx, JOB_COMPLETED, "completed", result="ok")


async def run_periodically(ctx: PackContext) -> None:
    """Run a mock job every `acme_demo.every_s` seconds; without that setting do nothing."""
    every_s = ctx.config.get("every_s")
    if not isinstance(every_s, int | float) or every_s <= 0:
        return
    while True:
        job_id = f"acme-job-{wire_time(ctx.clock.now())}"
        job = JobContext(ctx.sync_port, ctx.subject, job_id)
        await queue_job(job)
        await run_job(job)
        ctx.log.info("job_completed", job_id=job_id)
        await asyncio.sleep(every_s)


async def _push(ctx: JobContext, kind: str, step: str, **facts: str) -> None:
    event = build_kernel_event_v2(
        {"kind": kind, "from": ctx.workspace_identity, "job_id": ctx.job_id, **facts},
        idempotency_key=f"{ctx.job_id}:{step}",
    )
    await ctx.sync_port.push_kernel_events([event])
