"""What a caller's work may be, and what is made of what it does.

Promise: work that is a coroutine function, or that raises, has no effect. Refusal: nothing here
stores anything.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import TypeVar

from conductor_packs.sidekick.storage.draft import Base, Draft
from conductor_packs.sidekick.storage.errors import StoreMisused
from conductor_packs.sidekick.storage.worker import Job
from conductor_sdk.clock import Clock

T = TypeVar("T")


def plain(answer: T) -> T:
    """Refuse work that was a coroutine function: none of it ran.

    Raises:
        StoreMisused: It was one.
    """
    if isawaitable(answer):
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        raise StoreMisused("the work is a coroutine; give a plain function")
    return answer


def run_job(job: Job, base: Base, clock: Clock) -> Draft | None:
    """Run a job's work; its answer or its error is noted. None: it wrote nothing that counts."""
    draft = Draft(base, clock)
    try:
        job.answer = plain(job.work(draft))
    except BaseException as error:  # noqa: BLE001  # foreign code: what it raises is its answer
        job.error = error
        return None
    finally:
        draft.finish()
    return None if draft.empty else draft
