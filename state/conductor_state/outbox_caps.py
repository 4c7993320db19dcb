"""How much the outbox may hold, and what happens when it is full.

Promise: a cap is passed by at most one event, and a kind with its own caps never loses events to
another kind's overflow. Refusal: nothing here stores, waits or reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

Overflow: TypeAlias = Literal["block", "reject", "drop_oldest", "drop_newest"]
"""At a cap: wait for room, refuse the call, or drop an event and count it."""
Pool: TypeAlias = str
"""The events that share an overflow decision: a kind with its own caps, or REST."""

REST: Pool = ""
"""All kinds without caps of their own."""


class Caps(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the whole outbox or of one kind; None is no limit."""

    max_events: int | None = None
    max_bytes: int | None = None
    """Sum of the sizes of the events' JSON."""
    max_age_s: float | None = None
    """Seconds after which `expire` drops an event."""
    overflow: Overflow = "reject"

    def room(self, events: int, size: int) -> bool:
        """Tell whether one more event may come to `events` events of `size` bytes together."""
        return (self.max_events is None or events < self.max_events) and (
            self.max_bytes is None or size < self.max_bytes
        )


class OutboxCaps(msgspec.Struct, frozen=True, kw_only=True):
    """The default, which holds for the outbox as a whole, and kinds with caps of their own.

    The events of a kind in `kinds` count towards both. Its own `overflow` and `max_age_s` replace
    the default's also where the default's cap is the one that is reached.
    """

    default: Caps = Caps()
    kinds: Mapping[str, Caps] = {}

    def pool(self, kind: str) -> Pool:
        """Return the pool to which a kind belongs."""
        return kind if kind in self.kinds else REST

    def aging(self) -> list[Pool]:
        """Return the pools with an age cap."""
        return [pool for pool in (REST, *self.kinds) if self.of(pool).max_age_s is not None]

    def of(self, pool: Pool) -> Caps:
        """Return the caps whose overflow and age hold for a pool."""
        return self.default if pool == REST else self.kinds[pool]
