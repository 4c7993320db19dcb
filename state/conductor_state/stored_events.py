"""Reading unsettled events back: in order of arrival, or by position.

Promise: bodies come back byte for byte, checked. Refusal: settled events are gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from conductor_sdk.records import Pending, Position
from conductor_state.batches import StoredEvents, batch_of, index_of, position_of, unpack_events
from conductor_state.crash_points import AFTER_REAP
from conductor_state.inbound import Inbound, batch_range
from conductor_state.queries import load_queries


def pending(
    connection: sqlite3.Connection, inbound: Inbound, after: Position, limit: int
) -> list[Pending]:
    """Page through unsettled events after a position, in order of arrival."""
    sql = load_queries("replay_log")["bodies_from"]
    found: list[Pending] = []
    for number, checksum, blob in connection.execute(sql, (batch_of(after),)):
        batch = inbound.open_batch(connection, number)
        if batch is None:
            continue
        positions = [
            position
            for index, settled in enumerate(batch.settled)
            if not settled and (position := position_of(number, index)) > after
        ]
        wanted = positions[: limit - len(found)]
        found += _read(connection, inbound, number, wanted, unpack_events(checksum, blob))
        if len(found) >= limit:
            break
    return found


def load(
    connection: sqlite3.Connection, inbound: Inbound, positions: Sequence[Position]
) -> list[Pending]:
    """Read events again, in the order asked; settled and unknown ones are left out."""
    sql = load_queries("replay_log")["bodies"]
    by_batch: dict[int, list[Position]] = {}
    for position in positions:
        if inbound.is_unsettled(connection, position):
            by_batch.setdefault(batch_of(position), []).append(position)
    found: dict[Position, Pending] = {}
    for number, wanted in by_batch.items():
        events = unpack_events(*connection.execute(sql, (number,)).fetchone())
        found.update(
            (event.position, event) for event in _read(connection, inbound, number, wanted, events)
        )
    return [found[position] for position in positions if position in found]


def reap(connection: sqlite3.Connection, inbound: Inbound) -> int:
    """Count an attempt for every unsettled event that a crash left claimed; how many."""
    sql = load_queries("replay_log")
    now_ms = inbound.now_ms()
    left = [p for p in inbound.claims.clear(connection) if inbound.is_unsettled(connection, p)]
    connection.executemany(sql["count_crash"], [(position,) for position in left])
    for position in left:
        inbound.add_step(connection, position, now_ms, "reaped", "the process ended during it")
    inbound.database.crash_point(AFTER_REAP)
    return len(left)


def _read(
    connection: sqlite3.Connection,
    inbound: Inbound,
    number: int,
    positions: Sequence[Position],
    events: StoredEvents,
) -> list[Pending]:
    batch = inbound.open_batch(connection, number)
    if batch is None:
        return []
    troubled = {
        position: (attempts, not_before_ms)
        for position, attempts, not_before_ms, _, _ in connection.execute(
            load_queries("replay_log")["troubled"], batch_range(number)
        )
    }
    owners = inbound.claims.owners
    found: list[Pending] = []
    for position in positions:
        index = index_of(position)
        attempts, not_before_ms = troubled.get(position, (0, 0))
        if position in owners:
            attempts += 1
        found.append(
            Pending(
                position, events.event_ids[index], batch.kinds.at(index), events.bodies[index],
                attempts, not_before_ms, batch.redriven,
            )
        )  # fmt: skip
    return found
