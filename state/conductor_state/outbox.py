"""Events on their way up, kept until the conductor confirms them.

Promise: what `put` returned as queued survives a power cut and leaves in the order in which it was
put; for every kind, at every moment and after every crash, accepted = delivered + buffered +
dropped. Refusal: it never retries, never looks into an event, and never removes one that is not
confirmed, rejected, expired or over a cap whose policy says so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from conductor_sdk.clock import epoch_ms
from conductor_sdk.records import (
    KindCounts,
    OutboxDepth,
    Outgoing,
    PutResult,
    Queued,
    Story,
    Trace,
)
from conductor_sdk.trace_context import trace_id_of
from conductor_state.database import Database
from conductor_state.outbox_caps import OutboxCaps
from conductor_state.outbox_counts import Changes
from conductor_state.outbox_gate import Gate, PutCall
from conductor_state.outbox_gone import Gone, Takes
from conductor_state.outbox_ids import RECENT_IDS
from conductor_state.outbox_tables import OutboxTables
from conductor_state.outbox_verdicts import Verdict
from conductor_state.outbox_views import OutboxViews
from conductor_state.outbox_works import OutboxWorks

T = TypeVar("T")
_LAST = (1 << 63) - 1


class SqliteOutbox:
    """The outbox in `sidecar.db`. Make it with `open`; use it from one event loop.

    An id that is queued is queued once. An id that left (confirmed, rejected, dropped) may be put
    again and is then sent again: the conductor answers `duplicate` for what it has, and `story`
    shows both passages.
    """

    def __init__(
        self,
        database: Database,
        *,
        caps: OutboxCaps,
        crash_point: Callable[[str], None] | None = None,
        recent_ids: int = RECENT_IDS,
    ) -> None:
        self._database = database
        self._clock = database.clock
        self._caps = caps
        self._tables = OutboxTables(recent_ids)
        self._works = OutboxWorks(self._tables, crash_point or database.crash_point)
        self._views = OutboxViews(self._tables)
        self._gate = Gate(self._commit_puts)
        self._ephemeral = Changes()
        self._takes = Takes()
        database.on_rollback(self._tables.forget)

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        caps: OutboxCaps = OutboxCaps(),  # noqa: B008  a frozen record
        crash_point: Callable[[str], None] | None = None,
        recent_ids: int = RECENT_IDS,
    ) -> SqliteOutbox:
        """Open the outbox of a database with the schema `sidecar`.

        Takes the same time at any depth. Totals that contradict the queue's ends (a repaired
        file) are counted anew.

        Args:
            database: Shared with the other stores of the sidecar.
            caps: See `configure`.
            crash_point: Called at named points inside of the commits; default: the database's.
            recent_ids: Ids held in memory; older ones are looked up on disk.
        """
        outbox = cls(database, caps=caps, crash_point=crash_point, recent_ids=recent_ids)
        if not await database.read(outbox._look):
            await outbox.mend()
        return outbox

    def configure(self, caps: OutboxCaps) -> None:
        """Replace the caps for later calls; what is queued stays, waiting calls try again."""
        self._caps = caps
        self._gate.room_made()

    async def put(self, events: Sequence[Outgoing]) -> list[PutResult]:
        """Append events in order, one commit; concurrent callers share it.

        Durable on return. A call that must wait (`block`) stores nothing until all of it fits;
        cancelling it then stores nothing. Waiting calls go in order per pool and hold up no other
        kind. A result is `dropped` when the event, or a later one of the call, found a cap.

        Raises:
            QueueFull: At a cap with `reject`, or the call alone is more than a cap; nothing of it
                is stored or counted.
            StateError: The database failed; nothing of it is stored.
        """
        return await self._gate.put(events) if events else []

    async def take(self, after: int, limit: int, max_bytes: int) -> list[Queued]:
        """Read up to `limit` events and `max_bytes` of bodies after a position, in order.

        At least one if there is one. The time is remembered, in memory, as that of the push.
        """
        events = await self._database.read(
            lambda connection: self._views.take(connection, after, limit, max_bytes)
        )
        if events:
            self._takes.note(events[0].position, events[-1].position, self._now())
        return events

    async def confirm(
        self, positions: Sequence[int], *, rejected: Mapping[int, str] | None = None
    ) -> None:
        """Remove what the conductor has, in one commit; durable on return.

        Positions in `rejected`, whether they stand in `positions` too or not, are
        dropped{rejected} with their reason. Positions that are not queued are passed over.
        """
        refused = dict(rejected or {})
        wanted = sorted({*positions, *refused})
        if wanted:
            now_ms, taken_at = self._now(), self._takes.lookup()
            await self._write(
                lambda connection: self._works.confirm(
                    connection, wanted, refused, now_ms, taken_at
                )
            )
            self._gate.room_made()

    async def count_ephemeral(self, kind: str, *, accepted: int = 0, delivered: int = 0,
                              dropped: Mapping[str, int] | None = None) -> None:  # fmt: skip
        """Count events that are never stored, with their fate: the numbers must balance.

        Durable with the next commit of the outbox, at the latest with `flush` or `counts`.

        Raises:
            ValueError: `accepted` is not `delivered` plus `dropped`.
        """
        self._ephemeral.ephemeral(kind, accepted, delivered, dropped or {})

    async def flush(self) -> None:
        """Make the counts of ephemeral events durable."""
        if self._ephemeral.by_kind:
            await self._write(lambda _: None)

    async def expire(self, now_ms: int) -> int:
        """Drop events older than their pool's age cap: dropped{expired}; returns how many.

        Ages are looked at in queue order: an event goes only after those of its pool before it.
        """
        caps, taken_at = self._caps, self._takes.lookup()
        total = 0
        for pool in caps.aging():
            work = partial(
                self._works.expire, caps=caps, pool=pool, now_ms=now_ms, taken_at=taken_at
            )
            while dropped := await self._write(work):
                total += dropped
        if total:
            self._gate.room_made()
        return total

    async def depth(self) -> OutboxDepth:
        """Events, bytes and when the head of the queue was put, from one transaction. Cheap."""
        return await self._database.read(self._views.depth)

    async def counts(self) -> dict[str, KindCounts]:
        """Outbound counts by kind, one transaction, ephemeral events included."""
        await self.flush()
        return await self._database.read(self._views.counts)

    async def prune(self, older_than_ms: int, limit: int) -> int:
        """Forget up to about `limit` events that left before then; returns how many.

        Call again until 0: one call is short, so that pushing goes on between.
        """
        return await self._write(
            lambda connection: self._tables.forget_gone(connection, older_than_ms, limit)
        )

    async def story(self, event_id: str) -> Story | None:
        """Tell what is known of an outbound event within retention, each passage in order."""
        now = await self._database.read(lambda connection: self._views.queued(connection, event_id))
        gone = await self._gone(event_id)
        if now is None and not gone:
            return None
        steps = [step for passage in gone for step in passage.steps()]
        if now is None:
            trace_id = gone[-1].trace_id or trace_id_of(event_id, None)
            return Story(event_id, "outbound", gone[-1].kind, gone[-1].state, steps, trace_id)
        position, kind, put_ms, trace = now
        steps.append(Trace(put_ms, "queued", trace or ""))
        taken_ms = self._takes.lookup()(position)
        if taken_ms:
            steps.append(Trace(taken_ms, "pushed"))
        state, trace_id = "pushed" if taken_ms else "queued", trace_id_of(event_id, trace)
        return Story(event_id, "outbound", kind, state, steps, trace_id)

    async def mend(self) -> bool:
        """Count every row and correct the totals; tells whether something was wrong.

        Reads the whole queue. A missing event becomes dropped{lost}.
        """

        def work(connection: sqlite3.Connection) -> bool:
            changes = self._views.recount(connection)
            self._tables.add(connection, changes)
            return bool(changes.by_kind)

        return await self._write(work)

    def _look(self, connection: sqlite3.Connection) -> bool:
        self._tables.ids.find(connection, ())
        return self._views.plausible(connection)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        riding, self._ephemeral = self._ephemeral, Changes()

        def whole(connection: sqlite3.Connection) -> T:
            try:
                result = work(connection)
                self._tables.add(connection, riding)
            except BaseException:
                self._tables.forget()  # only this work is undone, so no hook tells
                raise
            return result

        try:
            return await self._database.write(whole)
        except Exception:
            self._ephemeral.add(riding)
            raise

    async def _commit_puts(self, calls: list[PutCall]) -> list[Verdict]:
        events = [call.events for call in calls]
        caps, now_ms, taken_at = self._caps, self._now(), self._takes.lookup()
        return await self._write(
            lambda connection: self._works.put(connection, events, caps, now_ms, taken_at)
        )

    async def _gone(self, event_id: str) -> list[Gone]:
        newest_first: list[Gone] = []
        before = _LAST
        while before:
            page, before = await self._database.read(
                partial(self._views.gone, event_id=event_id, before=before)
            )
            newest_first += page
        return newest_first[::-1]

    def _now(self) -> int:
        return epoch_ms(self._clock.now())
