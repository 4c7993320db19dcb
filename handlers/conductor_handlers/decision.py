"""From a job's answer to what becomes of its event.

Promise: the settlement table decides, with the time and the dice of the dispatcher. Refusal:
nothing is written here.
"""

from __future__ import annotations

from collections.abc import Callable

from conductor_handlers.lanes import Job
from conductor_handlers.settlement import Answer, delivered, settle
from conductor_sdk.clock import Clock, epoch_ms
from conductor_sdk.handler import Handled, Ignored, Replayed
from conductor_sdk.records import Settled


def decide(job: Job, answer: Answer, clock: Clock, random: Callable[[], float]) -> Settled:
    """Return what is settled; takes the replay keys that the job has put."""
    keys: tuple[tuple[str, str], ...] = ()
    if job.keys:
        keys, job.keys = tuple(job.keys), None
    if isinstance(answer, (Handled, Replayed, Ignored)):
        return delivered(job.position, answer, keys)
    return settle(
        job.position, answer, job.attempts, job.subscriber.policy,
        now_ms=epoch_ms(clock.now()), roll=random(), keys=keys,
    )  # fmt: skip
