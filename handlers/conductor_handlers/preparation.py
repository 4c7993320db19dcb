"""Before an attempt that is not simply a first try: load the event, count the attempt, look back.

Promise: no handler runs before its attempt is counted durably, and none whose effect was committed
with its key. Refusal: no handler is called here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from conductor_handlers.errors import HandlerCrashed, StoredEventUnreadable
from conductor_handlers.lanes import Job
from conductor_handlers.ports import ClaimStore
from conductor_handlers.settlement import Answer
from conductor_handlers.subscribers import done_key
from conductor_sdk.errors import EventMalformed
from conductor_sdk.event import KernelEvent, parse_event
from conductor_sdk.handler import Replayed
from conductor_sdk.pack_errors import StorageFailed


async def prepare(
    job: Job, store: ClaimStore, reached: Callable[[int], Awaitable[None]]
) -> KernelEvent | Answer | None:
    """Make a job ready to run.

    `reached` waits until the outcome of the last attempt is durable.

    Returns the event to run, or the answer if there is nothing to run, or None when the event
    is gone from the store.

    Raises:
        StateError: The store could not load the event or count the attempt; nothing was counted.
    """
    event = job.event
    if event is None:
        loaded = await store.load([job.position])
        if not loaded:
            return None
        try:
            event = job.event = parse_event(loaded[0].body)
        except EventMalformed as error:
            return StoredEventUnreadable(error.detail)
    if not job.claimed:
        if job.attempts >= job.subscriber.policy.max_attempts:
            return HandlerCrashed(f"attempt {job.attempts}")
        await reached(job.after)
        await store.claim([job.position])
        job.claimed = True
        job.attempts += 1
    if job.attempts > 1 or job.redriven:
        try:
            if await _already_done(job, event.event_id, store):
                return Replayed("committed with its effect")
        except StorageFailed as error:
            return error  # the pack's own file: its attempt failed, nobody else's
    return event


async def _already_done(job: Job, event_id: str, store: ClaimStore) -> bool:
    """Tell whether an earlier attempt finished this subscriber's share without being settled."""
    subscriber = job.subscriber
    if subscriber.done_before is not None and await subscriber.done_before(event_id):
        return True
    return job.joint is not None and await store.has_key(subscriber.slug, done_key(event_id))
