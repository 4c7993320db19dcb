"""The port of Sidekick's storage: one consistent view to read, one exclusive change to write.

Promise: what `change` answers is stored, together with its audit events; a change that raises
stored nothing; two changes never overlap, in one process or in several. Refusal: a read creates
nothing, and no caller holds a lock by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from conductor_packs.sidekick.records import AuditEvent, AuditOp, Memory, MemoryType, R, Store

T = TypeVar("T")

SNIPPET_OPEN = "["
SNIPPET_CLOSE = "]"
"""Around each word of a snippet that was looked for."""


@dataclass(frozen=True, slots=True)
class MemoryQuery:
    """What to recall. All filters hold at once; no filter and no text: everything."""

    text: str | None = None
    """Words, in any order; `"two words"` is a phrase. What has all of them comes first, then what
    has some; among those the more often and the rarer, the better. A word matches its inflections
    and, from three letters on, what begins with it. Where no word matches anything, what contains
    the text literally (in any case) is found."""
    type: MemoryType | None = None
    tags: Sequence[str] = ()
    """All of them, in any case."""
    since: datetime | None = None
    """Aware; updated at that time or later."""
    until: datetime | None = None
    """Aware; updated before that time."""
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class MemoryHit:
    """One recalled memory."""

    record: Memory
    score: float
    """Higher is better, among hits with all the words and among those with some; comparable within
    one answer only. 0 where nothing was ranked."""
    snippet: str
    """The best part of the content, the words found in brackets; its beginning without them."""


class View(Protocol):
    """One consistent state over all stores, valid inside the work it is given to."""

    def records(self, store: Store[R]) -> list[R]:
        """Return all records in the order in which they were first stored.

        Raises:
            StoreCorrupt: That store cannot be read; others can.
        """
        ...

    def get(self, store: Store[R], record_id: str) -> R | None:
        """Return one record; None where there is none.

        Raises:
            StoreCorrupt: As `records`.
        """
        ...

    def search(self, query: MemoryQuery) -> list[MemoryHit]:
        """Return memories: best first with a text, else the newest update first.

        Equals are ordered by `updated_at`, newest first, then by id.

        Raises:
            StoreCorrupt: As `records`.
        """
        ...

    def new_id(self, store: Store[Any]) -> str:
        """Return an id that no record of the store has, in this state; not reserved."""
        ...

    def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the audit trail, oldest first; with `limit` the newest ones only.

        Lines that are not audit events, as a torn last one, are left out.
        """
        ...

    def audit_count(self) -> int:
        """Return how many audit events there are."""
        ...


class Change(View, Protocol):
    """A view that can be changed; it reads what it wrote. All of it is stored, or nothing."""

    def put(self, store: Store[R], record: R) -> None:
        """Store a record: in place of the one with its id, or as the last."""
        ...

    def remove(self, store: Store[Any], record_id: str) -> bool:
        """Remove a record; False where there was none."""
        ...

    def audit(
        self, op: AuditOp, tool: str, *,
        actor: str | None = None, ids: Sequence[str] = (),
        details: Mapping[str, Any] | None = None,
    ) -> AuditEvent:  # fmt: skip
        """Append an audit event with a new id and the time of now; stored with the change.

        Args:
            op: What kind of act.
            tool: The tool's name.
            actor: The authenticated subject.
            ids: The records it touched.
            details: JSON; never the content of a memory or a message.
        """
        ...

    def append(self, event: AuditEvent) -> None:
        """Append an audit event as it is: for an import."""
        ...

    def trim(self, channel_id: str, keep: int) -> tuple[str, ...]:
        """Remove a channel's oldest messages beyond `keep`; returns their ids."""
        ...


class StoragePort(Protocol):
    """Where the records of one workspace live. Made for one event loop; no I/O at construction."""

    @property
    def root_dir(self) -> Path:
        """The directory that holds the records, absolute; it need not exist."""
        ...

    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on one consistent state and return its answer. Creates nothing.

        `work` is a plain function without effects: it runs off the event loop, and again where
        another process changed the state in the middle.

        Raises:
            StorageError: The state cannot be read.
        """
        ...

    async def change(self, work: Callable[[Change], T]) -> T:
        """Run `work` exclusively; what it wrote is durable when this returns.

        `work` is a plain function that runs once, off the event loop. Calls that wait share one
        commit; an exception from `work` undoes that call alone and is raised here. Work that
        writes nothing leaves no trace. Cancelling the call leaves open whether it was done.

        Raises:
            StoreBusy: Another process held the storage for too long; nothing happened.
            StorageError: It could not be written; nothing happened.
        """
        ...

    async def append_audit(self, event: AuditEvent) -> None:
        """Append one audit event as it is, durable when this returns.

        Raises:
            StorageError: As `change`.
        """
        ...

    async def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the audit trail, oldest first; with `limit` the newest ones only."""
        ...

    async def close(self) -> None:
        """Finish the changes that were taken, then give everything back. Idempotent."""
        ...
