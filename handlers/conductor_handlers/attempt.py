"""One attempt: call one handler once, and say what came of it.

Promise: whatever foreign code does (raise, hang past its deadline, return nonsense, exit), the
answer is an outcome or a coded error. Refusal: nothing is retried, stored or logged here.
"""

from __future__ import annotations

import asyncio
import contextvars

import msgspec

from conductor_handlers.errors import (
    HandlerFailed,
    HandlerNonsense,
    HandlerTimeout,
    PayloadInvalid,
)
from conductor_handlers.lanes import Job
from conductor_handlers.ports import ClaimStore
from conductor_handlers.settlement import Answer
from conductor_handlers.subscribers import done_key
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Ignored, Outcome, Reject, Replayed, Retry
from conductor_sdk.payload import PayloadMismatch

OUTCOMES = frozenset({Handled, Replayed, Ignored, Retry, Reject})
current_attempt: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar(
    "current_attempt", default=None
)
"""The attempt that the running code belongs to; replay keys and deadlines hang on it."""


class Attempt:
    """The worker's hold on the handler that it runs; one per worker, reused."""

    __slots__ = ("deadline", "expired", "job", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.job: Job | None = None
        """The running job; None between jobs."""
        self.deadline = 0.0
        """Loop time at which the job is cancelled."""
        self.expired = False
        """Whether the deadline keeper cancelled the job."""

    def expire(self, now: float) -> bool:
        """Cancel the job if it is overdue; called by the deadline keeper."""
        if self.job is None or now < self.deadline or self.task is None:
            return False
        self.expired = True
        self.deadline = now + 1.0  # a handler that swallows the cancellation is told again
        self.task.cancel()
        return True

    def absorb(self) -> bool:
        """Tell whether a deadline struck, and take its cancellation back."""
        if not self.expired:
            return False
        self.expired = False
        if self.task is not None:
            while self.task.cancelling():
                self.task.uncancel()
        return True


async def already_done(job: Job, event_id: str, store: ClaimStore) -> bool:
    """Tell whether an earlier attempt finished this subscriber's share without being settled."""
    subscriber = job.subscriber
    if subscriber.done_before is not None and await subscriber.done_before(event_id):
        return True
    return job.joint is not None and await store.has_key(subscriber.slug, done_key(event_id))


async def call_handler(job: Job, event: KernelEvent, attempt: Attempt) -> Answer:
    """Run the handler of a job under its deadline.

    Raises:
        asyncio.CancelledError: Only when the worker itself is being stopped.
    """
    subscriber = job.subscriber
    if subscriber.convert is not None:
        try:
            event = msgspec.structs.replace(event, payload=subscriber.convert(event.payload))
        except PayloadMismatch as error:
            return PayloadInvalid(f"{event.kind}: {error}")
    attempt.deadline = asyncio.get_running_loop().time() + subscriber.deadline_s
    attempt.job = job
    try:
        outcome: Outcome = await subscriber.handler(event, subscriber.ctx)
    except asyncio.CancelledError:
        if attempt.absorb():
            return HandlerTimeout(f"{subscriber.slug}: {subscriber.deadline_s:g} s")
        if attempt.task is not None and attempt.task.cancelling():
            raise
        return HandlerFailed(f"{subscriber.slug}: CancelledError")
    except (Exception, SystemExit) as error:  # noqa: BLE001  foreign code: anything may come
        attempt.absorb()
        return HandlerFailed(f"{subscriber.slug}: {describe(error)}")
    finally:
        attempt.job = None
    if attempt.expired:
        attempt.absorb()
    if type(outcome) not in OUTCOMES:
        return HandlerNonsense(f"{subscriber.slug}: {type(outcome).__name__}")
    return outcome


def describe(error: BaseException) -> str:
    """Return `Type: text` of an exception, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
