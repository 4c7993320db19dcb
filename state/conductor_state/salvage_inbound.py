"""Making the inbound tables agree again after rows were lost.

Promise: afterwards the conservation law holds, what was lost is dropped{lost}, a lost event that
comes again is new, and no number is used twice. Refusal: no event is invented.
"""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec

from conductor_sdk.trace_context import traceparent_in
from conductor_state import approval_rows
from conductor_state.batches import (
    BATCH_MAX,
    Kinds,
    batch_of,
    from_ranges,
    unpack_events,
    unpack_outcomes,
    unpack_positions,
)
from conductor_state.counters import CountChanges, read_counts
from conductor_state.errors import StateError
from conductor_state.event_sums import checksum_of
from conductor_state.inbound import batch_range
from conductor_state.key_index import FAMILIES, KeyIndex, key_of, split_keys
from conductor_state.queries import load_queries
from conductor_state.trace_ids import RECORD, pack_traces

LOST = "lost"
_NO_KEY = bytes(16)
"""Stands for a lost event in a receipt; no id has this key."""


def is_sound(name: str, row: dict[str, object]) -> bool:
    """Tell whether a row of a table is what was stored, as far as it can be told."""
    look = _LOOKS.get(name)
    if look is None:
        return True
    try:
        return look(row)
    except (StateError, msgspec.MsgspecError, struct.error, IndexError, TypeError, ValueError):
        return False


def _receipt(row: dict[str, Any]) -> bool:
    codes = Kinds.unpack(row["kinds"]).codes
    whole = len(row["keys"]) == 16 * row["events"] and len(codes) in {0, row["events"]}
    return whole and len(row.get("traces") or b"") % RECORD.size == 0


def _settlement(row: dict[str, Any]) -> bool:
    runs = [from_ranges(run.ranges) for run in unpack_outcomes(row["outcomes"])]
    return all(runs) and all(0 <= index < BATCH_MAX for run in runs for index in run)


def _queued(row: dict[str, Any]) -> bool:
    if "checksum" not in row:
        return True  # a file from before there were any
    return bool(row["checksum"] == checksum_of(row["event_id"], row["kind"], row["body"]))


_LOOKS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "receipts": _receipt,
    "settlements": _settlement,
    "bodies": lambda row: bool(unpack_events(row["checksum"], row["events"])),
    "dead_letters": lambda row: crc32(row["body"]) == row["checksum"],
    "outbox": _queued,
    "claims": lambda row: bool(unpack_positions(row["positions"])),
    "approvals": approval_rows.is_sound,
    "tool_results": lambda row: row["output"] is None or crc32(row["output"]) == row["checksum"],
    "pack_keys": lambda row: len(row["keys"]) % 16 == 0,
}


def repair_inbound(connection: sqlite3.Connection, now_ms: int) -> int:
    """Repair what `copy_table` brought, in the open transaction; returns how many events are lost.

    The key indexes are built again from the receipts.
    """
    _restore_receipts(connection, now_ms)
    _forget_lost_bodies(connection)
    connection.execute(load_queries("salvage")["delete_orphans"])
    connection.execute(load_queries("salvage")["sum_older_pushes"])
    lost = _reconcile(connection)
    _restore_state(connection)
    sources = ("receipt_keys_after", "pack_keys_after")
    for family in range(FAMILIES):
        _rebuild_index(connection, family, load_queries("replay_log")[sources[family]])
    return lost


def _restore_receipts(connection: sqlite3.Connection, now_ms: int) -> None:
    """Write the receipts of events that are there without one."""
    rows = connection.execute(load_queries("salvage")["bodies_without_receipt"]).fetchall()
    for number, checksum, blob in rows:
        events = unpack_events(checksum, blob)
        keys = b"".join(map(key_of, events.event_ids))
        connection.execute(
            load_queries("replay_log")["put_receipt"],
            (
                number,
                now_ms,
                "",
                0,
                0,
                len(events.event_ids),
                events.kinds,
                keys,
                pack_traces([traceparent_in(body) for body in events.bodies]) or None,
            ),
        )


def _forget_lost_bodies(connection: sqlite3.Connection) -> None:
    """Make ids new again whose events are gone although they were not settled."""
    sql = load_queries("salvage")
    for number, events, keys in connection.execute(sql["receipts_without_bodies"]).fetchall():
        settled = _settled(connection, number)
        if len(settled) < events:
            kept = [
                key if index in settled else _NO_KEY for index, key in enumerate(split_keys(keys))
            ]
            connection.execute(sql["put_keys"], (number, b"".join(kept)))


def _settled(connection: sqlite3.Connection, number: int) -> set[int]:
    sql = load_queries("replay_log")["settlements"]
    return {
        index
        for _, blob in connection.execute(sql, batch_range(number))
        for run in unpack_outcomes(blob)
        for index in from_ranges(run.ranges)
    }


def _reconcile(connection: sqlite3.Connection) -> int:
    """Set the counters to what is there; what is missing becomes dropped{lost}."""
    waiting: Counter[str] = Counter()
    for number, kinds in connection.execute(load_queries("salvage")["waiting"]).fetchall():
        batch = Kinds.unpack(kinds)
        settled = _settled(connection, number)
        events = connection.execute(load_queries("salvage")["size"], (number,)).fetchone()[0]
        waiting.update(batch.count([index for index in range(events) if index not in settled]))
    dead = dict(connection.execute(load_queries("salvage")["dead_by_kind"]).fetchall())
    counts = read_counts(connection)
    changes = CountChanges()
    lost = 0
    for kind in counts.keys() | waiting.keys() | dead.keys():
        before = counts.get(kind)
        buffered = waiting[kind] - (before.buffered if before else 0)
        buried = dead.get(kind, 0) - (before.dead_lettered if before else 0)
        missing = -(buffered + buried)
        # Fewer: they are lost. More: their settlement or their counters are, and they run again.
        delivered = max(missing, -(before.delivered if before else 0)) if missing < 0 else 0
        accepted = delivered - missing if missing < 0 else 0
        if before is not None:
            accepted -= before.surplus  # a counter of its own may be what was damaged
        changes.add(
            kind, accepted=accepted, delivered=delivered, buffered=buffered, dead_lettered=buried
        )
        if missing > 0:
            changes.drop(kind, LOST, missing)
            lost += missing
    changes.store(connection)
    return lost


def _restore_state(connection: sqlite3.Connection) -> None:
    sql = load_queries("salvage")
    epoch, sequence, next_batch, last_ms = connection.execute(
        load_queries("replay_log")["state"]
    ).fetchone()
    numbers = connection.execute(sql["highest_numbers"]).fetchone()
    positions = connection.execute(sql["highest_positions"]).fetchone()
    highest = max(*numbers, *map(batch_of, positions))
    newest_ms: int = connection.execute(sql["newest_ms"]).fetchone()[0]
    connection.execute(
        load_queries("replay_log")["put_state"],
        (epoch, sequence, max(next_batch, highest + 1), max(last_ms, newest_ms)),
    )


def _rebuild_index(connection: sqlite3.Connection, family: int, rows: str) -> None:
    index = KeyIndex(family)
    index.load(connection, lambda _: ())
    for number, keys in connection.execute(rows, (0,)).fetchall():
        index.add(number, split_keys(keys))
        while index.sealing:
            index.write_slice(connection, 1 << 16)
