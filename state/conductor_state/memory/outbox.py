"""The outbox without a disk: the same decisions, counts and order, for tests and harnesses.

Promise: it passes the outbox's contract suite. Refusal: nothing survives the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from conductor_sdk.clock import Clock, SystemClock, epoch_ms
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
from conductor_state.outbox_caps import OutboxCaps, Pool
from conductor_state.outbox_counts import EXPIRED, OVERFLOW, REJECTED, Changes, Row
from conductor_state.outbox_gate import Gate, PutCall
from conductor_state.outbox_gone import Gone, Takes
from conductor_state.outbox_ledger import Ledger
from conductor_state.outbox_verdicts import Verdict


class MemoryOutbox:
    """An outbox in dictionaries. Use it from one event loop."""

    def __init__(self, *, clock: Clock | None = None, caps: OutboxCaps | None = None) -> None:
        self._clock = clock or SystemClock()
        self._caps = caps or OutboxCaps()
        self._rows: dict[int, tuple[Row, Outgoing]] = {}
        self._next = 1
        self._totals = Changes()
        self._gone: list[tuple[str, Gone]] = []
        self._takes = Takes()
        self._gate = Gate(self._commit_puts)

    def configure(self, caps: OutboxCaps) -> None:
        """Replace the caps for later calls; what is queued stays, waiting calls try again."""
        self._caps = caps
        self._gate.room_made()

    async def put(self, events: Sequence[Outgoing]) -> list[PutResult]:
        """Append events in order; see `SqliteOutbox.put`.

        Raises:
            QueueFull: At a cap with `reject`, or the call alone is more than a cap.
        """
        return await self._gate.put(events) if events else []

    async def take(self, after: int, limit: int, max_bytes: int) -> list[Queued]:
        """Read up to `limit` events and `max_bytes` after a position, at least one."""
        events: list[Queued] = []
        size = 0
        for position, (row, event) in self._rows.items():
            if position <= after:
                continue
            size += row.size
            if len(events) >= limit or (events and size > max_bytes):
                break
            events.append(
                Queued(position, event.event_id, event.kind, event.body, event.trace, row.put_ms)
            )
        if events:
            self._takes.note(events[0].position, events[-1].position, self._now())
        return events

    async def confirm(
        self, positions: Sequence[int], *, rejected: Mapping[int, str] | None = None
    ) -> None:
        """Remove what the conductor has; `rejected` are dropped{rejected} with their reason."""
        refused = dict(rejected or {})
        for position in sorted({*positions, *refused}):
            if position in self._rows:
                reason = REJECTED if position in refused else None
                self._leave(position, reason, refused.get(position, ""))
        self._gate.room_made()

    async def count_ephemeral(self, kind: str, *, accepted: int = 0, delivered: int = 0,
                              dropped: Mapping[str, int] | None = None) -> None:  # fmt: skip
        """Count events that are never stored, with their fate: the numbers must balance.

        Raises:
            ValueError: `accepted` is not `delivered` plus `dropped`.
        """
        self._totals.ephemeral(kind, accepted, delivered, dropped or {})

    async def flush(self) -> None:
        """Do nothing: there is nothing to make durable."""

    async def expire(self, now_ms: int) -> int:
        """Drop events older than their pool's age cap, in queue order; returns how many."""
        total = 0
        for pool in self._caps.aging():
            before_ms = now_ms - round((self._caps.of(pool).max_age_s or 0) * 1000)
            for row in list(self._line(pool)):
                if row.put_ms >= before_ms:
                    break
                self._leave(row.position, EXPIRED)
                total += 1
        self._gate.room_made()
        return total

    async def depth(self) -> OutboxDepth:
        """Events, bytes and when the head of the queue was put."""
        rows = [row for row, _ in self._rows.values()]
        oldest_ms = rows[0].put_ms if rows else None
        return OutboxDepth(len(rows), sum(row.size for row in rows), oldest_ms)

    async def counts(self) -> dict[str, KindCounts]:
        """Outbound counts by kind, ephemeral events included."""
        return {
            kind: KindCounts(
                accepted=total.accepted,
                delivered=total.delivered,
                buffered=total.events,
                dropped=dict(total.dropped),
                duplicates=total.duplicates,
            )
            for kind, total in self._totals.by_kind.items()
        }

    async def prune(self, older_than_ms: int, limit: int) -> int:
        """Forget up to `limit` events that left before then; returns how many."""
        old = [number for number, (_, gone) in enumerate(self._gone)
               if gone.gone_ms < older_than_ms][:limit]  # fmt: skip
        for number in reversed(old):
            del self._gone[number]
        return len(old)

    async def story(self, event_id: str) -> Story | None:
        """Tell what is known of an outbound event, each passage in order."""
        gone = [passage for gone_id, passage in self._gone if gone_id == event_id]
        steps = [step for passage in gone for step in passage.steps()]
        queued = [pair for pair in self._rows.values() if pair[1].event_id == event_id]
        if not queued and not gone:
            return None
        if not queued:
            trace_id = gone[-1].trace_id or trace_id_of(event_id, None)
            return Story(event_id, "outbound", gone[-1].kind, gone[-1].state, steps, trace_id)
        row, event = queued[0]
        steps.append(Trace(row.put_ms, "queued", event.trace or ""))
        taken_ms = self._takes.lookup()(row.position)
        if taken_ms:
            steps.append(Trace(taken_ms, "pushed"))
        state, trace_id = "pushed" if taken_ms else "queued", trace_id_of(event_id, event.trace)
        return Story(event_id, "outbound", row.kind, state, steps, trace_id)

    async def _commit_puts(self, calls: list[PutCall]) -> list[Verdict]:
        lines: dict[Pool, list[Row]] = {}

        def oldest(pool: Pool, number: int) -> Row | None:
            line = lines.get(pool)
            if line is None:
                line = lines[pool] = list(self._line(pool))
            return line[number] if number < len(line) else None

        loads = [(kind, t.events, t.size) for kind, t in self._totals.by_kind.items()]
        ledger = Ledger(
            self._caps, loads, oldest, next_position=self._next, now_ms=self._now()
        )  # fmt: skip
        ledger.queued.update((event.event_id, at) for at, (_, event) in self._rows.items())
        verdicts = ledger.decide_all([call.events for call in calls])
        for row in ledger.evicted:
            self._forget(row, OVERFLOW)
        for position, event in sorted(ledger.rows.items()):
            size = len(event.body)
            row = Row(position, event.event_id, event.kind, ledger.now_ms, size, event.trace)
            self._rows[position] = (row, event)
            self._next = position + 1
        self._totals.add(ledger.changes)
        return verdicts

    def _line(self, pool: Pool) -> Iterator[Row]:
        return (row for row, _ in self._rows.values() if self._caps.pool(row.kind) == pool)

    def _leave(self, position: int, dropped: str | None, detail: str = "") -> None:
        row = self._rows[position][0]
        self._totals.leave(row, dropped)
        self._forget(row, dropped, detail)

    def _forget(self, row: Row, dropped: str | None, detail: str = "") -> None:
        del self._rows[row.position]
        taken_ms = self._takes.lookup()(row.position) or None
        trace_id = None if row.trace is None else trace_id_of(row.event_id, row.trace)
        gone = Gone(row.kind, row.put_ms, taken_ms, self._now(), dropped, detail, trace_id)
        self._gone.append((row.event_id, gone))

    def _now(self) -> int:
        return epoch_ms(self._clock.now())
