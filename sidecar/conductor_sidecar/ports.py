"""What the daemon needs of its stores: the whole of each port.

Promise: downlink, uplink, runtime and the control surface speak only these. Refusal: nothing here
knows SQLite. Every method is durable when it returns unless it says otherwise; every method may
raise `StateError` (full, locked, corrupt), and then nothing of the call happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from conductor_handlers.ports import ClaimStore
from conductor_handlers.toolhost.ports import ApprovalStore, CallHistory, ResultStore
from conductor_sdk.approval import Approval
from conductor_sdk.chain.entry import Draft, Entry
from conductor_sdk.records import (
    Arrival,
    Cursor,
    DeadLetter,
    KindCounts,
    OutboxDepth,
    Outgoing,
    Pending,
    Position,
    PutResult,
    Queued,
    Receipt,
    Story,
)
from conductor_state.inspection import Inspection
from conductor_state.outbox_caps import OutboxCaps

T = TypeVar("T")


class ReplayLog(ClaimStore, Protocol):
    """Inbound: dedupe, storage until settled, and the link's cursor."""

    async def cursor(self) -> Cursor:
        """Return how far the link's history is stored."""
        ...

    async def receive(
        self,
        epoch: str,
        last: int,
        events: Sequence[Arrival],
        refused: Mapping[tuple[str, str], int] | None = None,
    ) -> Receipt:
        """Store a batch and move the cursor to (`epoch`, `last`), in one commit.

        An id already received within the retention window is a duplicate, also within the batch.
        `refused` counts (kind or "", reason) of events that came but are not stored: they are
        accepted and dropped{reason}. Concurrent calls share a commit; order is call order.
        A cursor of the same epoch never moves back.
        """
        ...

    async def reset_cursor(self, epoch: str, sequence: int) -> None:
        """Begin a new history: after a gap."""
        ...

    async def reap(self) -> int:
        """Once at start: count an attempt for every claim that a crash left; how many events."""
        ...

    async def pending(self, after: Position, limit: int) -> list[Pending]:
        """Page through what is stored and not settled, in order of arrival."""
        ...

    async def backlog(self) -> int:
        """Count events that are stored and not settled. Cheap."""
        ...

    async def prune(self, older_than_ms: int, limit: int) -> int:
        """Forget up to about `limit` settled events received before then; returns how many.

        Call again until 0. Never touches unsettled events.
        """
        ...

    async def counts(self) -> dict[str, KindCounts]:
        """Inbound counts by kind, one transaction."""
        ...

    async def story(self, event_id: str) -> Story | None:
        """Tell what is known of an inbound event within retention."""
        ...


class DeadLetters(Protocol):
    """Inbound events that were given up. Same database as the replay log."""

    async def list(self, *, kind: str | None = None, limit: int = 100, after: int = 0
                   ) -> Sequence[DeadLetter]:  # fmt: skip
        """Return dead letters, oldest first; `after` is a position."""
        ...

    async def get(self, event_id: str) -> DeadLetter | None:
        """Return one dead letter."""
        ...

    async def redrive(self, event_ids: Collection[str]) -> Sequence[Pending]:
        """Make events pending again, with no attempts counted, history kept; unknown ids skip."""
        ...

    async def drop(self, event_ids: Collection[str]) -> int:
        """Forget dead letters for good: dropped{operator}. Returns how many."""
        ...


class Outbox(Protocol):
    """Outbound `queue` events until the conductor confirms them, and all outbound counts."""

    def configure(self, caps: OutboxCaps) -> None:
        """Replace the caps for later calls; what is queued stays, waiting calls try again."""
        ...

    async def put(self, events: Sequence[Outgoing]) -> list[PutResult]:
        """Append events in order, one commit; concurrent callers share it.

        An id that is still queued is `duplicate`. At a cap the kind's overflow policy decides:
        `block` waits for room, `reject` raises QueueFull with nothing stored, `drop_oldest` and
        `drop_newest` drop and count.
        """
        ...

    async def take(self, after: int, limit: int, max_bytes: int) -> list[Queued]:
        """Read up to `limit` events after a position, in order; at least one if there is one.

        Reading takes nothing away: only `confirm` does.
        """
        ...

    async def confirm(
        self, positions: Sequence[int], *, rejected: Mapping[int, str] | None = None
    ) -> None:
        """Remove what the conductor has; `rejected` are dropped{rejected} with their reason."""
        ...

    async def count_ephemeral(self, kind: str, *, accepted: int = 0, delivered: int = 0,
                              dropped: Mapping[str, int] | None = None) -> None:  # fmt: skip
        """Count events that are never stored. Not durable by itself: rides with a later commit."""
        ...

    async def expire(self, now_ms: int) -> int:
        """Drop events over their age cap: dropped{expired}. Returns how many."""
        ...

    async def depth(self) -> OutboxDepth:
        """Events, bytes and the oldest, from one transaction. Cheap."""
        ...

    async def counts(self) -> dict[str, KindCounts]:
        """Outbound counts by kind, one transaction."""
        ...

    async def prune(self, older_than_ms: int, limit: int) -> int:
        """Forget up to about `limit` confirmed events confirmed before then."""
        ...

    async def story(self, event_id: str) -> Story | None:
        """Tell what is known of an outbound event within retention."""
        ...


class Approvals(ApprovalStore, Protocol):
    """Leave for single calls of tools, as the host uses it and as whoever decides looks at it."""

    async def decide(
        self, request_id: str, *, granted: bool, by: str, reason: str | None, now_ms: int
    ) -> Approval:
        """Grant or deny a pending request; durable on return.

        Raises:
            ApprovalNotFound: No such request.
            ApprovalDecided: It is not pending any more.
        """
        ...

    async def approvals(
        self, *, states: Sequence[str] = (), limit: int = 100, now_ms: int
    ) -> list[Approval]:
        """Return approvals, newest first; pending ones whose time is over show as expired."""
        ...

    async def get(self, request_id: str, *, now_ms: int) -> Approval | None:
        """Return one approval, as it shows at `now_ms`."""
        ...

    async def count_pending(self, now_ms: int) -> int:
        """Count the requests that wait for a decision. Cheap."""
        ...

    async def prune(self, before_ms: int) -> int:
        """Forget approvals whose time was over before then, in small steps; returns how many."""
        ...


class ToolResults(ResultStore, Protocol):
    """Answers of tool calls by idempotency key."""


class Vault(Protocol):
    """The database behind the stores, as a whole."""

    async def inspect(self) -> Inspection:
        """Look whether the file is whole and the counters are right; ends within seconds."""
        ...

    async def copy(self, target: Path) -> None:
        """Copy everything that is committed into a new file, mode 0600, synced."""
        ...


class Marks(Protocol):
    """Single facts for the next start, by name."""

    async def get(self, name: str) -> str | None:
        """Return a mark; None where it was never set."""
        ...

    async def put(self, name: str, value: str) -> None:
        """Set a mark; durable on return."""
        ...


class Calls(CallHistory, Protocol):
    """Calls of tools that have not ended."""

    async def look_on(self) -> None:
        """Look through what was added, and remember up to where no call is open."""
        ...


class JournalCommit(Protocol):
    """One commit of the journal's file, on the journal's thread."""

    @property
    def connection(self) -> sqlite3.Connection:
        """For tables that stand beside the journal."""
        ...

    def append(self, draft: Draft) -> Entry:
        """Append one entry; it holds once the commit is through.

        Raises:
            EntryRefused: A name has the wrong shape.
            PayloadRefused: The payload is not JSON of the allowed kind.
        """
        ...


class JournalState(Protocol):
    """One state of the journal's file, on the journal's thread."""

    @property
    def connection(self) -> sqlite3.Connection:
        """For the tables that stand beside the journal."""
        ...


class Journal(Protocol):
    """The workspace's hash-chained log; several processes may append."""

    async def append(
        self, event_type: str, actor: str, payload: Mapping[str, Any], *,
        session_id: str = "", task_id: str = "",
    ) -> int:  # fmt: skip
        """Append one entry; returns its sequence number, from 1."""
        ...

    async def latest(self, limit: int = 20) -> list[Entry]:
        """Return the newest entries, in order; at least one has been appended."""
        ...

    async def head(self) -> tuple[int, str]:
        """Return (number of entries, hash of the last; the genesis hash when empty)."""
        ...

    async def view(self, work: Callable[[JournalState], T]) -> T:
        """Run `work` on one state of the file, without the write lock; it may run again.

        Raises:
            JournalMissing: There is no file.
        """
        ...

    async def transaction(self, work: Callable[[JournalCommit], T]) -> T:
        """Run statements and appends in one commit; an exception of `work` undoes all of it."""
        ...
