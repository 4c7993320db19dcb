"""One change while it is made: what it wrote lies over what was there, and nothing else knows.

Promise: every adapter runs its changes through this, so reading what one wrote, ids, audit events
and refusals are the same on all. Refusal: nothing is stored here; the adapter takes `written`.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from conductor_packs.sidekick.records import (
    AUDIT_PREFIX,
    MEMORIES,
    MESSAGES,
    AuditEvent,
    AuditOp,
    Memory,
    R,
    Record,
    Store,
)
from conductor_packs.sidekick.storage.errors import StoreMisused
from conductor_packs.sidekick.storage.fulltext import MemoryIndex
from conductor_packs.sidekick.storage.port import MemoryHit, MemoryQuery, View
from conductor_sdk.clock import Clock, wire_time

_AUDIT_ID_BYTES = 8
"""Audit events are too many to check each new id against them all, so theirs are longer."""


def fresh_id(prefix: str, taken: Callable[[str], bool]) -> str:
    """Return the prefix, a hyphen and eight random hex digits that are not taken."""
    while taken(made := f"{prefix}-{secrets.token_hex(4)}"):
        pass
    return made


class Base(View, Protocol):
    """What a draft lies over."""

    def table(self, store: Store[R]) -> Mapping[str, R]:
        """Return all records by id, in stored order; never changed afterwards."""
        ...


class Draft:
    """A `Change` over a base."""

    def __init__(self, base: Base, clock: Clock) -> None:
        self._base = base
        self._clock = clock
        self._open = True
        self.written: dict[str, dict[str, Record | None]] = {}
        """By the store's name and the id; None: removed."""
        self.events: list[AuditEvent] = []

    def finish(self) -> None:
        """End the work: what is left of the draft can no longer be used to write."""
        self._open = False

    @property
    def empty(self) -> bool:
        """Whether nothing was written."""
        return not self.events and not any(self.written.values())

    def records(self, store: Store[R]) -> list[R]:
        """Return all records of the store, those written here included."""
        return list(self.table(store).values())

    def table(self, store: Store[R]) -> Mapping[str, R]:
        """Return all records by id, in stored order."""
        base = self._base.table(store)
        written = self.written.get(store.name)
        if not written:
            return base
        merged: dict[str, Any] = {**base, **written}
        return {key: record for key, record in merged.items() if record is not None}

    def get(self, store: Store[R], record_id: str) -> R | None:
        """Return one record, or None."""
        written: dict[str, Any] | None = self.written.get(store.name)
        if written is not None and record_id in written:
            mine: R | None = written[record_id]
            return mine
        return self._base.get(store, record_id)

    def search(self, query: MemoryQuery) -> list[MemoryHit]:
        """Search memories, those written here included."""
        if not self.written.get(MEMORIES.name):
            return self._base.search(query)
        memories: Mapping[str, Memory] = self.table(MEMORIES)
        with contextlib.closing(MemoryIndex()) as index:
            return index.search(query, memories)

    def new_id(self, store: Store[Any]) -> str:
        """Return an id that is not taken."""
        return fresh_id(store.prefix, lambda made: self.get(store, made) is not None)

    def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the trail, with this change's events at its end."""
        events = [*self._base.audit_events(limit), *self.events]
        return events if limit is None else events[max(0, len(events) - limit) :]

    def audit_count(self) -> int:
        """Return how many audit events there are with this change's."""
        return self._base.audit_count() + len(self.events)

    def put(self, store: Store[R], record: R) -> None:
        """Store a record."""
        self._writable()
        if not isinstance(record, store.record):
            raise StoreMisused(f"a {type(record).__name__} in {store.name}")
        # A store that cannot be read must not be written: that would replace what is in it.
        self._base.get(store, record.id)
        self.written.setdefault(store.name, {})[record.id] = record

    def remove(self, store: Store[Any], record_id: str) -> bool:
        """Remove a record."""
        self._writable()
        if self.get(store, record_id) is None:
            return False
        self.written.setdefault(store.name, {})[record_id] = None
        return True

    def audit(
        self, op: AuditOp, tool: str, *,
        actor: str | None = None, ids: Sequence[str] = (),
        details: Mapping[str, Any] | None = None,
    ) -> AuditEvent:  # fmt: skip
        """Append an audit event with a new id and the time of now."""
        event = AuditEvent(
            id=f"{AUDIT_PREFIX}-{secrets.token_hex(_AUDIT_ID_BYTES)}",
            ts=wire_time(self._clock.now()),
            tool=tool,
            op=op,
            actor=actor,
            ids=tuple(ids) or None,
            details=dict(details) if details is not None else None,
        )
        self.append(event)
        return event

    def append(self, event: AuditEvent) -> None:
        """Append an audit event as it is."""
        self._writable()
        self.events.append(event)

    def trim(self, channel_id: str, keep: int) -> tuple[str, ...]:
        """Remove a channel's oldest messages beyond `keep`."""
        own = [message for message in self.records(MESSAGES) if message.channel_id == channel_id]
        own.sort(key=lambda message: message.created_at)
        surplus = tuple(message.id for message in own[: max(0, len(own) - keep)])
        for message_id in surplus:
            self.remove(MESSAGES, message_id)
        return surplus

    def _writable(self) -> None:
        if not self._open:
            raise StoreMisused("a change was used after its work had ended")
