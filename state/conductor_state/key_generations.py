"""Sealed partitions of a key index, 32 to a filter: reading them back and looking keys up.

Promise: a key of a complete partition is found, at the price of reading one row of about 5 KB.
Refusal: nothing is written here; `key_sealing` writes.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence

import msgspec

from conductor_state.key_filter import CAPACITY, PARTITIONS, SLICES, KeyFilter, hashes_of
from conductor_state.queries import load_queries

KEY = 16
"""Bytes in a key."""
BUCKETS = 128
"""Rows of a partition, about 5 KB each, by the key's first seven bits."""
_ENTRY = KEY + 4
"""Bytes for a key in a bucket: the key, and which of the partition's rows brought it."""


class Partition(msgspec.Struct, frozen=True):
    """A complete partition: it answers for the rows `first_row` to `last_row`."""

    number: int
    first_row: int
    last_row: int


class Generation:
    """Up to 32 partitions and the filter in front of them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.filter = KeyFilter()
        self.partitions: list[Partition | None] = [None] * PARTITIONS
        self.used = 0
        """Slots that were ever given out; a dropped partition's slot is not given out again."""

    def has_room(self, keys: int) -> bool:
        """Tell whether another partition of so many keys fits."""
        return self.used < PARTITIONS and self.filter.size + keys <= CAPACITY

    @property
    def empty(self) -> bool:
        """Whether every partition has been dropped."""
        return not any(self.partitions)


def bucket_of(key: bytes) -> int:
    """Return the bucket that holds a key."""
    return key[0] >> 1


def pack_bucket(keys: bytes, rows: Sequence[int], first_row: int) -> bytes:
    """Build a bucket: all keys, then all rows relative to the partition's first."""
    return keys + struct.pack(f"<{len(rows)}I", *[row - first_row for row in rows])


def find_in_bucket(bucket: bytes, key: bytes) -> int | None:
    """Return the row of a key relative to the partition's first row."""
    end = len(bucket) // _ENTRY * KEY
    at = bucket.find(key, 0, end)
    while at % KEY and at != -1:
        at = bucket.find(key, at + 1, end)
    if at == -1:
        return None
    row: int = struct.unpack_from("<I", bucket, end + at // KEY * 4)[0]
    return row


def lookup(
    connection: sqlite3.Connection, generation: Generation, keys: Sequence[bytes], joined: bytes
) -> list[tuple[int, int]]:
    """Return (index of the key, row that brought it), newest partition first."""
    found: list[tuple[int, int]] = []
    candidates = generation.filter.candidates(hashes_of(joined))
    for index, slot in sorted(candidates, key=lambda candidate: -candidate[1]):
        partition = generation.partitions[slot]
        if partition is None:
            continue
        row = _probe(connection, partition, keys[index])
        if row is not None:
            found.append((index, row))
    return found


def _probe(connection: sqlite3.Connection, partition: Partition, key: bytes) -> int | None:
    sql = load_queries("key_index")["bucket"]
    found = connection.execute(sql, (partition.number * BUCKETS + bucket_of(key),)).fetchone()
    row = None if found is None else find_in_bucket(found[0], key)
    return None if row is None else row + partition.first_row


def load_generations(connection: sqlite3.Connection, family: int) -> list[Generation]:
    """Read the partitions of a family and rebuild their filters, from saved copies where there."""
    sql = load_queries("key_index")
    generations: dict[int, Generation] = {}
    sizes: dict[int, list[int]] = {}
    for number, group, slot, first, last, keys in connection.execute(sql["partitions"], (family,)):
        generation = generations.setdefault(group, Generation(group))
        generation.partitions[slot] = Partition(number, first, last)
        generation.used = max(generation.used, slot + 1)
        sizes.setdefault(group, []).append(keys)
    for generation in generations.values():
        _load_filter(connection, generation)
        if None in generation.partitions[: generation.used]:
            generation.filter.count_marks()  # dropped partitions left marks behind
        else:
            generation.filter.size = sum(sizes[generation.number])
    return list(generations.values())


def _load_filter(connection: sqlite3.Connection, generation: Generation) -> None:
    sql = load_queries("key_index")
    known: list[int] = []
    for number, partitions, marks in connection.execute(sql["filter_slices"], (generation.number,)):
        generation.filter.write_slice(number, marks)
        known.append(partitions)
    complete = min(known) if len(known) == SLICES else 0
    # A slot below a saved count is never reused: the saved marks would pass for its own.
    generation.used = max([generation.used, *known])
    for slot, partition in enumerate(generation.partitions):
        if partition is not None and slot >= complete:
            first = partition.number * BUCKETS
            for (bucket,) in connection.execute(sql["buckets"], (first, first + BUCKETS - 1)):
                keys = bucket[: len(bucket) // _ENTRY * KEY]
                generation.filter.insert(hashes_of(keys), slot)
