"""The stores as one tool may touch them: those of its own group, and the audit trail as itself.

Promise: a tool cannot read or change another group's records, whatever it asks for; a preview runs
the very same work and stores nothing. Refusal: no store is opened here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from conductor_packs.sidekick.descriptors import ToolDescriptor
from conductor_packs.sidekick.names import PACK
from conductor_packs.sidekick.records import (
    CHANNELS,
    DELIVERIES,
    MEMORIES,
    MESSAGES,
    ROUTINES,
    RUNS,
    STORES,
    TASKS,
    AuditEvent,
    AuditOp,
    R,
    Store,
)
from conductor_packs.sidekick.storage.port import Change, MemoryHit, MemoryQuery, View
from conductor_sdk.pack_errors import ScopeDenied

REACH: Final[Mapping[str, frozenset[str]]] = {
    "task": frozenset({TASKS.name}),
    "memory": frozenset({MEMORIES.name}),
    "channel": frozenset({CHANNELS.name, MESSAGES.name, DELIVERIES.name}),
    "routine": frozenset({ROUTINES.name, RUNS.name}),
    PACK: frozenset(store.name for store in STORES),
}
"""The stores of each group."""


class Reader:
    """A view that reaches one group's stores."""

    def __init__(self, view: View, tool: ToolDescriptor[Any]) -> None:
        self._view = view
        self._tool = tool

    def records(self, store: Store[R]) -> list[R]:
        """Return all records in stored order."""
        return self._view.records(self._reached(store))

    def get(self, store: Store[R], record_id: str) -> R | None:
        """Return one record, or None."""
        return self._view.get(self._reached(store), record_id)

    def search(self, query: MemoryQuery) -> list[MemoryHit]:
        """Search memories."""
        self._reached(MEMORIES)
        return self._view.search(query)

    def audit_events(self) -> list[AuditEvent]:
        """Return the audit trail, oldest first; only for the pack's own group."""
        self._reached(None)
        return self._view.audit_events()

    def audit_count(self) -> int:
        """Return how many audit events there are; only for the pack's own group."""
        self._reached(None)
        return self._view.audit_count()

    def used(self) -> bool:
        """Tell whether anything was ever stored, so that a trace creates nothing new."""
        return self._view.audit_count() > 0 or any(
            self._view.records(store) for store in STORES if store.name in REACH[self._tool.group]
        )

    def _reached(self, store: Store[R] | None) -> Any:
        name = "audit" if store is None else store.name
        allowed = REACH[self._tool.group]
        if name not in allowed and not (store is None and self._tool.group == PACK):
            raise ScopeDenied(f"{self._tool.name} and the store {name}")
        return store


class Ledger(Reader):
    """A change by one tool on behalf of one caller; or, without a change, its preview."""

    def __init__(
        self, view: View, tool: ToolDescriptor[Any], actor: str, change: Change | None
    ) -> None:
        super().__init__(view, tool)
        self._actor = actor
        self._change = change

    def new_id(self, store: Store[Any]) -> str:
        """Return an id that no record of the store has."""
        return self._view.new_id(self._reached(store))

    def put(self, store: Store[R], record: R) -> None:
        """Store a record."""
        reached: Store[R] = self._reached(store)
        if self._change is not None:
            self._change.put(reached, record)

    def revise(self, store: Store[R], record: R, changes: Mapping[str, Any], stamp: str) -> R:
        """Change fields of a record, with its time and an audit event that names the fields.

        Where they have these values already nothing is stored.
        """
        changed: R = msgspec.structs.replace(record, **changes)
        if changed == record:
            return record
        changed = msgspec.structs.replace(changed, updated_at=stamp)
        self.put(store, changed)
        self.audit("update", ids=(record.id,), details={"fields": sorted(changes)})
        return changed

    def remove(self, store: Store[Any], record_id: str) -> None:
        """Remove a record."""
        reached: Store[Any] = self._reached(store)
        if self._change is not None:
            self._change.remove(reached, record_id)

    def trim(self, channel_id: str, keep: int) -> None:
        """Remove a channel's oldest messages beyond `keep`."""
        self._reached(MESSAGES)
        if self._change is not None:
            self._change.trim(channel_id, keep)

    def audit(
        self, op: AuditOp, ids: Sequence[str] = (), details: Mapping[str, Any] | None = None
    ) -> None:
        """Append an audit event of this tool and caller, stored with the change."""
        if self._change is not None:
            self._change.audit(op, self._tool.name, actor=self._actor, ids=ids, details=details)
