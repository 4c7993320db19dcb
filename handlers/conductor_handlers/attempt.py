"""One attempt: call one handler once, and say what came of it.

Promise: whatever foreign code does (raise, hang past its deadline, return nonsense, exit), the
answer is an outcome or a coded error. Refusal: nothing is retried, stored or logged here.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from conductor_handlers.errors import (
    HandlerFailed,
    HandlerNonsense,
    HandlerTimeout,
    PayloadInvalid,
    describe,
    trace,
)
from conductor_handlers.lanes import Job
from conductor_handlers.settlement import Answer
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Ignored, Outcome, Reject, Replayed, Retry
from conductor_sdk.payload import PayloadMismatch

RETRY_AFTER_MAX_S = 366 * 86_400.0
"""The longest delay that a handler may ask for; anything above is nonsense."""
current_attempt: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar(
    "current_attempt", default=None
)
"""The attempt that the running code belongs to; replay keys and deadlines hang on it."""


class Attempt:
    """The worker's hold on the handler that it runs; one per worker, reused."""

    __slots__ = ("began", "deadline", "expired", "job", "task", "time")

    def __init__(self) -> None:
        self.time = asyncio.get_running_loop().time
        self.began = 0.0
        """Loop time at which the job, or the last one, began."""
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


async def call_handler(job: Job, event: KernelEvent, attempt: Attempt) -> Answer:
    """Run the handler of a job under its deadline, which counts from `attempt.began`.

    Raises:
        asyncio.CancelledError: Only when the worker itself is being stopped.
    """
    subscriber = job.subscriber
    if subscriber.convert is not None:
        typed = _typed(event, subscriber.slug, subscriber.convert)
        if not isinstance(typed, KernelEvent):
            return typed
        event = typed
    attempt.deadline = attempt.began + subscriber.deadline_s
    attempt.job = job
    try:
        outcome: Outcome = await subscriber.handler(event, subscriber.ctx)
    except asyncio.CancelledError:
        if attempt.absorb():
            return HandlerTimeout(f"{subscriber.slug}: {subscriber.deadline_s:g} s")
        if attempt.task is not None and attempt.task.cancelling():
            raise
        return HandlerFailed(f"{subscriber.slug}: CancelledError")
    except (KeyboardInterrupt, GeneratorExit):
        raise  # the interpreter's own, not the handler's
    except BaseException as error:  # noqa: BLE001  foreign code: anything may come
        attempt.absorb()
        return HandlerFailed(f"{subscriber.slug}: {describe(error)} [{trace(error)}]")
    finally:
        attempt.job = None
    if attempt.expired:
        attempt.absorb()
    if is_outcome(outcome):
        return outcome
    return HandlerNonsense(f"{subscriber.slug}: {_nonsense(outcome)}")


def _typed(
    event: KernelEvent, slug: str, convert: Callable[[Mapping[str, Any]], Any]
) -> KernelEvent | PayloadInvalid | HandlerFailed:
    try:
        return msgspec.structs.replace(event, payload=convert(event.payload))
    except PayloadMismatch as error:
        return PayloadInvalid(f"{event.kind}: {error}")
    except Exception as error:  # noqa: BLE001  foreign code: a payload type may run validators
        return HandlerFailed(f"{slug}: in the payload type: {describe(error)}")


def _nonsense(answer: object) -> str:
    fields = " with a field of the wrong type" if isinstance(answer, Outcome) else ""
    return type(answer).__name__ + fields


def is_outcome(answer: object) -> bool:
    """Tell whether an answer is an outcome with fields of the right types.

    The records do not check their fields, and a number where the store expects text would only
    fail there, where it could not be told from a broken disk.
    """
    if type(answer) is Handled:  # the common answer, without the patterns
        return _is_text(answer.action)
    match answer:
        case Handled(text) | Replayed(text) | Ignored(text) | Reject(text):
            return _is_text(text)
        case Retry(text, after_s):
            return _is_text(text) and (after_s is None or _is_delay(after_s))
        case _:
            return False


def _is_text(text: object) -> bool:
    return isinstance(text, str)


def _is_delay(after_s: object) -> bool:
    # A comparison and not isfinite: it is also false for NaN and for integers beyond a float.
    return isinstance(after_s, (int, float)) and abs(after_s) <= RETRY_AFTER_MAX_S
