"""What becomes of a delivery after a try: delivered, tried again later, or failed.

Promise: pure; every case is in one function. Refusal: nothing is sent or stored here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from conductor_packs.sidekick.channels.port import SendReply
from conductor_packs.sidekick.records import Delivery
from conductor_sdk.clock import wire_time

FIRST_S = 5.0
FACTOR = 3.0
CAP_S = 3600.0
LEASE_S = 180.0
"""After so long a try whose end nobody stored counts as one whose process died."""
INTERRUPTED = "interrupted: it may have been delivered"


def begun(delivery: Delivery, now: datetime) -> Delivery:
    """Return the delivery as it is stored before a try, so that a crash leaves a mark."""
    return msgspec.structs.replace(
        delivery,
        attempts=delivery.attempts + 1,
        failure_class=None,
        error=None,
        next_attempt_at=wire_time(now + timedelta(seconds=LEASE_S)),
        updated_at=wire_time(now),
    )


def was_interrupted(delivery: Delivery) -> bool:
    """Whether a try began and nobody stored its end."""
    return delivery.state == "pending" and delivery.attempts > 0 and delivery.failure_class is None


def ended(delivery: Delivery, reply: SendReply, now: datetime, max_attempts: int) -> Delivery:
    """Return the delivery as it is stored after a try.

    Only a failure that the transport calls retryable is tried again, at most `max_attempts` times
    in all; not before the time that the provider asked for.
    """
    stamp = wire_time(now)
    if reply.success:
        return msgspec.structs.replace(
            delivery, state="delivered", delivered_at=stamp, updated_at=stamp,
            next_attempt_at=None, error=None, failure_class=None,
            external_message_id=reply.external_message_id,
        )  # fmt: skip
    again = reply.failure_class == "retryable" and delivery.attempts < max_attempts
    wait_s = delay_s(delivery.attempts, reply.retry_after_seconds)
    return msgspec.structs.replace(
        delivery,
        state="pending" if again else "failed",
        next_attempt_at=wire_time(now + timedelta(seconds=wait_s)) if again else None,
        failure_class=reply.failure_class or "terminal",
        error=reply.error or "the provider refused",
        updated_at=stamp,
    )


def delay_s(attempts: int, asked_s: float | None) -> float:
    """Return how long to wait after so many tries; what the provider asks for is a minimum."""
    own = min(CAP_S, FIRST_S * FACTOR ** (max(1, attempts) - 1))
    return max(own, asked_s or 0.0)
