"""Settling: what became of claimed events, in one commit.

Promise: the first outcome of a position stays; a batch that was settled alike costs a handful of
statements. Refusal: nothing is decided here; outcomes come from the dispatcher.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import assert_never
from zlib import crc32

from conductor_sdk.records import Buried, Delivered, Position, RetryLater, Settled
from conductor_state.batches import (
    OutcomeRun,
    StoredEvents,
    batch_of,
    index_of,
    pack_outcomes,
    position_of,
    to_ranges,
    unpack_events,
)
from conductor_state.counters import CountChanges
from conductor_state.crash_points import AFTER_BURY, AFTER_SETTLE
from conductor_state.inbound import Inbound, OpenBatch, batch_range
from conductor_state.queries import load_queries

DEAD_LETTER = "dead_letter"
"""The status of a buried event in a settlement."""
_MESSAGE_MAX = 2000
"""Characters of an error that are kept in an event's history."""


def settle(connection: sqlite3.Connection, inbound: Inbound, outcomes: Sequence[Settled]) -> None:
    """Record outcomes; the work behind `ReplayLog.settle`."""
    work = _Settling(connection, inbound)
    for outcome in _first_of_each(outcomes):
        work.take(outcome)
    work.store([outcome.position for outcome in outcomes])
    # Last: keys of a settlement that was repeated count all the same, they only say "done".
    keys = [key for outcome in outcomes if outcome.keys for key in outcome.keys]
    inbound.pack_keys.put(connection, keys, inbound.now_ms())
    inbound.database.crash_point(AFTER_SETTLE)


def _first_of_each(outcomes: Sequence[Settled]) -> Sequence[Settled]:
    first: dict[int, Settled] = {}
    for outcome in outcomes:
        first.setdefault(outcome.position, outcome)
    return outcomes if len(first) == len(outcomes) else list(first.values())


class _Settling:
    """One call of `settle`: gathered by batch and outcome, then written."""

    def __init__(self, connection: sqlite3.Connection, inbound: Inbound) -> None:
        self._connection = connection
        self._inbound = inbound
        self._sql = load_queries("replay_log")
        self._now_ms = inbound.now_ms()
        self._changes = CountChanges()
        self._groups: defaultdict[tuple[int, str, str, int], list[int]] = defaultdict(list)
        self._runs: dict[int, list[OutcomeRun]] = {}
        self._retried: list[int] = []
        self._events: dict[int, StoredEvents] = {}

    def take(self, outcome: Settled) -> None:
        """Look at one outcome; deliveries are only gathered."""
        position = outcome.position
        match outcome:
            case Delivered():
                claim = self._inbound.claims.owners.get(position, 0)
                group = (position >> 12, outcome.status, outcome.action, claim)
                self._groups[group].append(position & 4095)
            case RetryLater():
                if self._inbound.is_unsettled(self._connection, position):
                    self._retry(outcome)
            case Buried():
                if self._inbound.is_unsettled(self._connection, position):
                    self._bury(outcome)
            case _:
                assert_never(outcome)

    def store(self, positions: Sequence[Position]) -> None:
        """Write what was gathered, and end the claims on `positions`."""
        for (number, status, action, claim), indexes in self._groups.items():
            batch = self._inbound.open_batch(self._connection, number)
            if batch is not None:
                self._deliver(batch, status, action, claim, indexes)
        for number, runs in self._runs.items():
            self._close(number, runs)
        self._changes.store(self._connection)
        self._inbound.claims.let_go(self._connection, positions, self._retried)

    def _deliver(
        self, batch: OpenBatch, status: str, action: str, claim: int, indexes: list[int]
    ) -> None:
        indexes.sort()
        settled = batch.settled
        if batch.remaining < len(settled) or indexes[-1] >= len(settled):
            indexes = [index for index in indexes if index < len(settled) and not settled[index]]
            if not indexes:
                return
        self._settle(batch, status, action, claim, indexes)
        for kind, events in batch.kinds.count(indexes).items():
            self._changes.add(kind, buffered=-events)
            if status == "unhandled":
                self._changes.drop(kind, status, events)
            elif status == "replayed":
                self._changes.add(kind, delivered=events, replayed=events)
            else:
                self._changes.add(kind, delivered=events)

    def _settle(
        self, batch: OpenBatch, status: str, action: str, claim: int, indexes: list[int]
    ) -> None:
        run = OutcomeRun(status, action, self._inbound.claims.time_of(claim), to_ranges(indexes))
        self._runs.setdefault(batch.number, []).append(run)
        batch.settle(indexes)

    def _close(self, number: int, runs: list[OutcomeRun]) -> None:
        first = position_of(number, min(run.ranges[0] for run in runs))
        self._connection.execute(
            self._sql["put_settlement"], (first, self._now_ms, pack_outcomes(runs))
        )
        batch = self._inbound.open_batch(self._connection, number)
        if batch is not None and not batch.remaining:
            self._connection.execute(self._sql["delete_bodies"], (number,))
            self._connection.execute(self._sql["delete_troubled"], batch_range(number))
            self._inbound.forget(number)

    def _retry(self, outcome: RetryLater) -> None:
        self._connection.execute(
            self._sql["put_retry"], (outcome.position, outcome.attempts, outcome.not_before_ms)
        )
        detail = f"attempt {outcome.attempts}: {outcome.error[:_MESSAGE_MAX]}"
        self._add_step(outcome.position, "retry", detail)
        self._retried.append(outcome.position)

    def _bury(self, outcome: Buried) -> None:
        position = outcome.position
        batch = self._inbound.open_batch(self._connection, batch_of(position))
        if batch is None:
            return
        index = index_of(position)
        kind = batch.kinds.at(index)
        event_id, body = self._event(position)
        redrives, received_ms = self._origin(batch, position)
        self._connection.execute(
            load_queries("dead_letters")["put"],
            (position, event_id, kind, body, crc32(body), outcome.attempts, outcome.error_code,
             outcome.error, received_ms, self._now_ms, redrives),
        )  # fmt: skip
        self._inbound.database.crash_point(AFTER_BURY)
        detail = f"attempt {outcome.attempts}: {outcome.error_code}: {outcome.error[:_MESSAGE_MAX]}"
        self._add_step(position, DEAD_LETTER, detail)
        claim = self._inbound.claims.owners.get(position, 0)
        self._settle(batch, DEAD_LETTER, outcome.error_code, claim, [index])
        self._changes.add(kind, buffered=-1, dead_lettered=1)

    def _add_step(self, position: int, what: str, detail: str) -> None:
        claim = self._inbound.claims.owners.get(position, 0)
        began_ms = self._inbound.claims.time_of(claim)
        if began_ms:
            self._inbound.add_step(self._connection, position, began_ms, "attempt", "")
        self._inbound.add_step(self._connection, position, self._now_ms, what, detail)

    def _event(self, position: int) -> tuple[str, bytes]:
        number = batch_of(position)
        if number not in self._events:
            found = self._connection.execute(self._sql["bodies"], (number,)).fetchone()
            self._events = {number: unpack_events(*found)}
        events, index = self._events[number], index_of(position)
        return events.event_ids[index], events.bodies[index]

    def _origin(self, batch: OpenBatch, position: int) -> tuple[int, int]:
        """Return (redrives, when the event was first received)."""
        if batch.redriven:
            rows = self._connection.execute(self._sql["troubled"], (position, position))
            for _, _, _, redrives, received_ms in rows:
                return redrives, received_ms
        return 0, batch.received_ms
