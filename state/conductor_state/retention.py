"""Forgetting: settled batches that are older than the retention window.

Promise: one call is one short commit; an event that waits, or whose dead letter waits, is kept
with its whole batch. Refusal: nothing younger is forgotten, whatever the clock does; see
`Inbound.now_ms`.
"""

from __future__ import annotations

import sqlite3

from conductor_state.crash_points import AFTER_PRUNE
from conductor_state.inbound import Inbound, batch_range
from conductor_state.key_index import split_keys
from conductor_state.queries import load_queries


def prune(connection: sqlite3.Connection, inbound: Inbound, older_than_ms: int, limit: int) -> int:
    """Forget about `limit` events and pack keys; the work behind `ReplayLog.prune`."""
    sql = load_queries("replay_log")
    batches, forgotten = _old_batches(connection, older_than_ms, limit)
    for number in batches:
        keys = connection.execute(sql["receipt_keys"], (number,)).fetchone()[0]
        connection.execute(sql["delete_receipt"], (number,))
        connection.execute(sql["delete_settlements"], batch_range(number))
        inbound.keys.forget(number, split_keys(keys))
    inbound.keys.drop(
        connection,
        lambda first, last: (
            connection.execute(sql["receipt_between"], (first, last)).fetchone() is not None
        ),
    )
    connection.execute(sql["prune_steps"], (older_than_ms, limit))
    forgotten += inbound.pack_keys.prune(connection, older_than_ms, limit)
    inbound.database.crash_point(AFTER_PRUNE)
    return forgotten


def _old_batches(
    connection: sqlite3.Connection, older_than_ms: int, limit: int
) -> tuple[list[int], int]:
    batches: list[int] = []
    forgotten, kept = 0, False
    rows = connection.execute(load_queries("replay_log")["old_receipts"])
    for number, received_ms, redriven, events, held in rows:
        if received_ms >= older_than_ms or forgotten >= limit:
            break
        if held or (redriven and kept):
            # A redriven event's older receipt may be the one that is kept: the newer one, which
            # knows how the event stands, must not go first.
            kept = True
            continue
        batches.append(number)
        forgotten += events
    return batches, forgotten
