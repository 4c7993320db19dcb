"""Which events of a group of puts are stored, dropped, refused or kept waiting.

Promise: calls are decided in order, each wholly or not at all, and the counts that follow satisfy
the conservation law. Refusal: no I/O and no clock; a store says what is queued and carries the
decisions out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, assert_never

import msgspec

from conductor_sdk.errors import QueueFull
from conductor_sdk.records import Outgoing, PutResult
from conductor_state.outbox_caps import REST, OutboxCaps, Pool
from conductor_state.outbox_counts import OVERFLOW, Changes, Row
from conductor_state.outbox_verdicts import Refused, Stored, Verdict, Waits

Oldest: TypeAlias = Callable[[Pool, int], Row | None]
"""(pool, n): the pool's n-th oldest event of those stored before this group; None after them."""


class _Added(msgspec.Struct, frozen=True, gc=False):
    pool: Pool
    event: Outgoing
    position: int


class _Skipped(msgspec.Struct, frozen=True, gc=False):
    event: Outgoing
    duplicate: bool


class _Evicted(msgspec.Struct, frozen=True, gc=False):
    pool: Pool
    row: Row
    fresh: Outgoing | None
    """The event, when it came in this very group."""


_Step: TypeAlias = _Added | _Skipped | _Evicted


class _Load:
    __slots__ = ("events", "size")

    def __init__(self) -> None:
        self.events = 0
        self.size = 0


class Ledger:
    """Decides the puts that will share a commit; afterwards its attributes say what to do.

    Args:
        caps: The limits.
        loads: (kind, events, bytes) that are queued.
        oldest: The queued events of a pool, in order.
        next_position: The first position that was never used.
        now_ms: The time of the group.
    """

    def __init__(
        self,
        caps: OutboxCaps,
        loads: Iterable[tuple[str, int, int]],
        oldest: Oldest,
        *,
        next_position: int,
        now_ms: int,
    ) -> None:
        self.rows: dict[int, Outgoing] = {}
        """Events to store, by position."""
        self.evicted: list[Row] = []
        """Stored events to remove; `changes` counts them already."""
        self.changes = Changes()
        self.queued: dict[str, int] = {}
        """Positions of queued ids; the store adds what it knows of a call's ids beforehand."""
        self.now_ms = now_ms
        self._next = next_position
        self._caps = caps
        self._oldest = oldest
        self._total = _Load()
        self._own = {pool: _Load() for pool in caps.kinds}
        self._heads: dict[Pool, int] = {}
        self._fresh: dict[Pool, deque[Row]] = {
            pool: deque() for pool in (REST, *caps.kinds) if caps.of(pool).overflow == "drop_oldest"
        }
        self._waiting: set[Pool] = set()
        for kind, events, size in loads:
            self._move(caps.pool(kind), events, size)

    def waits_for(self, events: Sequence[Outgoing]) -> Pool | None:
        """Return the pool for which an earlier call of the group waits, if this one needs it."""
        if not self._waiting:
            return None
        pools = (self._caps.pool(event.kind) for event in events)
        return next((pool for pool in pools if pool in self._waiting), None)

    def decide_all(self, calls: Sequence[Sequence[Outgoing]]) -> list[Verdict]:
        """Decide calls in order; one verdict each."""
        if self._own or self._fresh or not self._roomy(calls):
            return [self.decide(events) for events in calls]
        return self._admit_all(calls)

    def decide(self, events: Sequence[Outgoing]) -> Verdict:
        """Decide one call; `Waits` and `Refused` leave the ledger as it was."""
        pool = self.waits_for(events)
        if pool is not None:
            return Waits(pool)
        steps: list[_Step] = []
        for event in events:
            stopped = self._take(event, steps)
            if stopped is not None:
                self._undo(steps)
                if isinstance(stopped, Waits):
                    self._waiting.add(stopped.pool)
                return stopped
        return Stored(self._settle(steps))

    def _roomy(self, calls: Sequence[Sequence[Outgoing]]) -> bool:
        events = self._total.events + sum([len(call) for call in calls])
        size = self._total.size + sum([len(event.body) for call in calls for event in call])
        return self._caps.default.room(events, size)

    def _admit_all(self, calls: Sequence[Sequence[Outgoing]]) -> list[Verdict]:
        # No cap is near: the same as `decide`, in a quarter of the time.
        rows, queued, changes = self.rows, self.queued, self.changes
        position = self._next
        verdicts: list[Verdict] = []
        for call in calls:
            results: list[PutResult] = []
            for event in call:
                change = changes.of(event.kind)
                event_id = event.event_id
                if event_id in queued:
                    change.duplicates += 1
                    results.append(PutResult(event_id, "duplicate"))
                    continue
                rows[position] = event
                queued[event_id] = position
                position += 1
                change.accepted += 1
                change.size += len(event.body)
                results.append(PutResult(event_id, "queued"))
            verdicts.append(Stored(results))
        self._next = position
        for change in changes.by_kind.values():
            change.events = change.accepted
        return verdicts

    def _take(self, event: Outgoing, steps: list[_Step]) -> Waits | Refused | None:
        if event.event_id in self.queued:
            steps.append(_Skipped(event, duplicate=True))
            return None
        pool = self._caps.pool(event.kind)
        while not self._room(pool):
            overflow = self._caps.of(pool).overflow
            match overflow:
                case "block" | "reject":
                    return self._stop(pool, steps, waits=overflow == "block")
                case "drop_newest":
                    victim = None
                case "drop_oldest":
                    victim = self._evict(pool)
                case _:
                    assert_never(overflow)
            if victim is None:
                steps.append(_Skipped(event, duplicate=False))
                return None
            steps.append(victim)
        steps.append(self._add(pool, event))
        return None

    def _room(self, pool: Pool) -> bool:
        total = self._total
        if not self._caps.default.room(total.events, total.size):
            return False
        own = self._own.get(pool)
        return own is None or self._caps.kinds[pool].room(own.events, own.size)

    def _stop(self, pool: Pool, steps: list[_Step], *, waits: bool) -> Waits | Refused:
        added = [step for step in steps if isinstance(step, _Added) and step.position in self.rows]
        mine = [step for step in added if step.pool == pool]
        fits_alone = self._caps.default.room(len(added), _size(added)) and (
            pool == REST or self._caps.kinds[pool].room(len(mine), _size(mine))
        )
        if waits and fits_alone:
            return Waits(pool)
        held = self._own.get(pool, self._total)
        detail = f"{pool or 'all kinds'}: {held.events} events, {held.size} bytes"
        if not fits_alone:
            detail = f"{pool or 'all kinds'}: the call alone is more than its cap"
        return Refused(QueueFull(detail, data={"pool": pool, "events": held.events}))

    def _add(self, pool: Pool, event: Outgoing) -> _Step:
        position = self._next
        self._next += 1
        size = len(event.body)
        self.rows[position] = event
        self.queued[event.event_id] = position
        self._move(pool, 1, size)
        if pool in self._fresh:
            row = Row(position, event.event_id, event.kind, self.now_ms, size, event.trace)
            self._fresh[pool].append(row)
        return _Added(pool, event, position)

    def _evict(self, pool: Pool) -> _Step | None:
        head = self._heads.get(pool, 0)
        row = self._oldest(pool, head)
        fresh = None
        if row is not None:
            self._heads[pool] = head + 1
        elif self._fresh[pool]:
            row = self._fresh[pool].popleft()
            fresh = self.rows.pop(row.position)
        else:
            return None
        self.queued.pop(row.event_id, None)
        self._move(pool, -1, -row.size)
        return _Evicted(pool, row, fresh)

    def _undo(self, steps: list[_Step]) -> None:
        for step in reversed(steps):
            match step:
                case _Added(pool, event, position):
                    self._next = position
                    del self.rows[position]
                    del self.queued[event.event_id]
                    self._move(pool, -1, -len(event.body))
                    if pool in self._fresh:
                        self._fresh[pool].pop()
                case _Evicted(pool, row, fresh):
                    self._bring_back(pool, row, fresh)
                case _Skipped():
                    pass
                case _:
                    assert_never(step)

    def _bring_back(self, pool: Pool, row: Row, fresh: Outgoing | None) -> None:
        self.queued[row.event_id] = row.position
        self._move(pool, 1, row.size)
        if fresh is None:
            self._heads[pool] -= 1
        else:
            self.rows[row.position] = fresh
            self._fresh[pool].appendleft(row)

    def _settle(self, steps: list[_Step]) -> list[PutResult]:
        results: list[PutResult] = []
        for step in steps:
            match step:
                case _Added(_, event, position):
                    change = self.changes.of(event.kind)
                    change.accepted += 1
                    change.events += 1
                    change.size += len(event.body)
                    kept = position in self.rows
                    results.append(_queued(event) if kept else _dropped(event))
                case _Skipped(event, duplicate):
                    change = self.changes.of(event.kind)
                    if duplicate:
                        change.duplicates += 1
                        results.append(PutResult(event.event_id, "duplicate"))
                    else:
                        change.accepted += 1
                        change.drop(OVERFLOW)
                        results.append(_dropped(event))
                case _Evicted(_, row, fresh):
                    self.changes.leave(row, OVERFLOW)
                    if fresh is None:
                        self.evicted.append(row)
                case _:
                    assert_never(step)
        return results

    def _move(self, pool: Pool, events: int, size: int) -> None:
        self._total.events += events
        self._total.size += size
        own = self._own.get(pool)
        if own is not None:
            own.events += events
            own.size += size


def _size(added: list[_Added]) -> int:
    return sum(len(step.event.body) for step in added)


def _queued(event: Outgoing) -> PutResult:
    return PutResult(event.event_id, "queued")


def _dropped(event: Outgoing) -> PutResult:
    return PutResult(event.event_id, "dropped", OVERFLOW)
