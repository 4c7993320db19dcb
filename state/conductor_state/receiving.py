"""Receiving a batch: which events are new, and storing those in one go.

Promise: an id within retention is stored once; a repeated one is told apart by whether its event
still waits. Refusal: no statement for each event, except for repeated ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from conductor_sdk.records import Arrival, Position, Receipt
from conductor_state.batches import BATCH_MAX, Kinds, StoredEvents, pack_events, position_of
from conductor_state.counters import CountChanges
from conductor_state.crash_points import AFTER_INSERT, AFTER_SEAL
from conductor_state.inbound import Inbound, OpenBatch
from conductor_state.queries import load_queries
from conductor_state.trace_ids import pack_traces


class Reception(msgspec.Struct, frozen=True):
    """The arguments of `receive`, with the keys of the events."""

    epoch: str
    last: int
    events: Sequence[Arrival]
    keys: list[bytes]
    refused: Mapping[tuple[str, str], int]


def receive(connection: sqlite3.Connection, inbound: Inbound, reception: Reception) -> Receipt:
    """Store what is new of a batch and move the cursor; the work behind `ReplayLog.receive`."""
    changes = CountChanges()
    for (kind, reason), events in reception.refused.items():
        changes.add(kind, accepted=events)
        changes.drop(kind, reason, events)
    fresh, duplicates, replayed = _sort_out(connection, inbound, reception, changes)
    positions: list[Position | None] = [None] * len(reception.events)
    for first in range(0, len(fresh), BATCH_MAX):
        _store(connection, inbound, reception, fresh[first : first + BATCH_MAX], positions, changes)
    _move_cursor(connection, inbound, reception)
    changes.store(connection)
    inbound.database.crash_point(AFTER_INSERT)
    if fresh:
        inbound.keys.write_slice(connection, len(fresh))
        inbound.database.crash_point(AFTER_SEAL)
    return Receipt(positions, duplicates, replayed)


def _sort_out(
    connection: sqlite3.Connection,
    inbound: Inbound,
    reception: Reception,
    changes: CountChanges,
) -> tuple[Sequence[int], int, int]:
    keys = reception.keys
    known = inbound.keys.find(connection, keys) if keys else {}
    if not known and len(set(keys)) == len(keys):
        return range(len(keys)), 0, 0
    standing = _Standing(connection, inbound)
    fresh: dict[bytes, int] = {}
    duplicates = replayed = 0
    for index, key in enumerate(keys):
        waits = True if key in fresh else standing.waits(known.get(index, []), key)
        if waits is None:
            fresh[key] = index
        elif waits:
            duplicates += 1
            changes.add(reception.events[index].kind, duplicates=1)
        else:
            replayed += 1
            changes.add(reception.events[index].kind, replayed=1)
    return list(fresh.values()), duplicates, replayed


class _Standing:
    """How repeated ids stand; what it reads of a batch it reads once."""

    def __init__(self, connection: sqlite3.Connection, inbound: Inbound) -> None:
        self._connection = connection
        self._inbound = inbound
        self._keys: dict[int, bytes | None] = {}

    def waits(self, rows: Sequence[int], key: bytes) -> bool | None:
        """Tell whether the key's event waits (True), is settled (False) or is forgotten (None)."""
        for row in rows:
            keys = self._keys_of(row)
            if keys is None:
                continue  # pruned: the key's partition outlives the receipt
            batch = self._inbound.open_batch(self._connection, row)
            return batch is not None and not batch.settled[index_in(keys, key)]
        return None

    def _keys_of(self, row: int) -> bytes | None:
        if row not in self._keys:
            sql = load_queries("replay_log")["receipt_keys"]
            found = self._connection.execute(sql, (row,)).fetchone()
            self._keys[row] = None if found is None else found[0]
        return self._keys[row]


def index_in(keys: bytes, key: bytes) -> int:
    """Return the index of a key in a concatenation that holds it."""
    at = keys.index(key)
    while at % len(key):
        at = keys.index(key, at + 1)
    return at // len(key)


def _store(
    connection: sqlite3.Connection,
    inbound: Inbound,
    reception: Reception,
    fresh: Sequence[int],
    positions: list[Position | None],
    changes: CountChanges,
) -> None:
    everything = len(fresh) == len(positions)
    events = reception.events if everything else [reception.events[index] for index in fresh]
    keys = reception.keys if everything else [reception.keys[index] for index in fresh]
    batch = store_batch(
        connection, inbound, (reception.epoch, reception.last), events, keys, redriven=False
    )
    for kind, number in batch.kinds.count(range(len(events))).items():
        changes.add(kind, accepted=number, buffered=number)
    first = position_of(batch.number, 0)
    if everything:
        positions[:] = range(first, first + len(events))
    else:
        for at, index in enumerate(fresh):
            positions[index] = first + at


def store_batch(
    connection: sqlite3.Connection,
    inbound: Inbound,
    cursor: tuple[str, int],
    events: Sequence[Arrival],
    keys: list[bytes],
    *,
    redriven: bool,
) -> OpenBatch:
    """Store 1 to 4,096 events as the next batch and make their keys known.

    The caller stores the state, counts the events and writes a slice of the key index.
    """
    sql = load_queries("replay_log")
    number, now_ms = inbound.state.next_batch, inbound.now_ms()
    kinds = Kinds.of([event.kind for event in events])
    batch = OpenBatch(number, now_ms, len(events), kinds, redriven=redriven)
    packed_kinds = kinds.pack()
    connection.execute(
        sql["put_receipt"],
        (number, now_ms, *cursor, redriven, len(events), packed_kinds, b"".join(keys),
         pack_traces([event.trace for event in events]) or None),
    )  # fmt: skip
    stored = StoredEvents(
        [event.event_id for event in events], [event.body for event in events], packed_kinds
    )
    connection.execute(sql["put_bodies"], (number, *pack_events(stored)))
    inbound.state = msgspec.structs.replace(inbound.state, next_batch=number + 1, last_ms=now_ms)
    inbound.keys.add(number, keys)
    inbound.remember(batch)
    return batch


def _move_cursor(connection: sqlite3.Connection, inbound: Inbound, reception: Reception) -> None:
    sequence = reception.last
    if reception.epoch == inbound.state.epoch:
        sequence = max(sequence, inbound.state.sequence)
    inbound.state = msgspec.structs.replace(inbound.state, epoch=reception.epoch, sequence=sequence)
    inbound.store_state(connection)
