"""Events in lanes, when the packs are exchanged.

Promise: an event keeps its place, its attempts and its claim, and goes on with its pack's new
handler; where its pack does not subscribe any more, it is unhandled as if it came now. Refusal: a
pack that is new gets no event that was there before it.
"""

from __future__ import annotations

from conductor_handlers.intake import UNHANDLED
from conductor_handlers.lanes import Job, Lanes
from conductor_handlers.subscribers import Routes
from conductor_sdk.records import Delivered, Settled


def rebind(lanes: Lanes, routes: Routes) -> list[Settled]:
    """Bind every job to other subscriptions, while none runs; returns what is settled by that."""
    settled: list[Settled] = []
    for job in lanes.sift(lambda job: _rebound(job, routes)):
        outcome = Delivered(job.position, "unhandled", UNHANDLED)
        last = outcome if job.joint is None else job.joint.merge(outcome)
        if last is not None:
            settled.append(last)
    return settled


def _rebound(job: Job, routes: Routes) -> bool:
    """Give a job its pack's subscriber of these routes; False: there is none."""
    for subscriber in routes.get(job.kind, ()):
        if subscriber.slug == job.subscriber.slug:
            job.subscriber = subscriber
            return True
    return False
