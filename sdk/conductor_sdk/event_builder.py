"""Building events to push: what a pack knows, completed by time and id.

Promise: with an idempotency key the id is a pure function of subject, kind and key; without one it
is random and time-ordered. Refusal: nothing is sent or stored here.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from conductor_sdk.clock import Clock, SystemClock, epoch_ms, wire_time
from conductor_sdk.errors import EventMalformed
from conductor_sdk.event import KernelEvent, event_from_fields, keyed_event_id

SCHEMA_VERSION = 2


def build_kernel_event_v2(
    fields: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
    clock: Clock | None = None,
) -> KernelEvent:
    """Build an event to push.

    Args:
        fields: `kind` and `from`, and what the event says; fields beside the envelope's own go
            into `payload`. `timestamp` defaults to now.
        idempotency_key: The same key, kind and subject give the same `event_id`, so a retry is
            the same event. Without it the id is random and time-ordered.
        clock: The source of the timestamp and of a random id's time.

    Raises:
        EventMalformed: If `kind`, `from` or a given field has the wrong shape.
    """
    clock = clock or SystemClock()
    kind, subject = fields.get("kind"), fields.get("from")
    if not isinstance(kind, str) or not isinstance(subject, str):
        raise EventMalformed("kind and from are required strings")
    if fields.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise EventMalformed(f"schema_version {fields['schema_version']!r} is not built here")
    if idempotency_key is None:
        event_id = fields.get("event_id") or random_event_id(clock)
    else:
        event_id = keyed_event_id(subject, kind, idempotency_key)
    return event_from_fields(
        {
            "timestamp": wire_time(clock.now()),
            **fields,
            "schema_version": SCHEMA_VERSION,
            "event_id": event_id,
        }
    )


def random_event_id(clock: Clock | None = None) -> str:
    """Make an id for an event without a key: a time-ordered UUID (version 7) in hex."""
    stamp = epoch_ms((clock or SystemClock()).now()) & ((1 << 48) - 1)
    tail = secrets.randbits(74)
    value = stamp << 80 | 0x7 << 76 | (tail >> 62) << 64 | 0b10 << 62 | (tail & ((1 << 62) - 1))
    return f"evt-{value:032x}"
