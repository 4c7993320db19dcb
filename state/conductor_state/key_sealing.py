"""Moving the newest keys from memory into a sealed partition, a slice for each commit.

Promise: the partition counts only when its last slice is committed; a crash before leaves rows
that the next start removes. Refusal: no slice is larger than its share, so no commit stalls.
"""

from __future__ import annotations

import sqlite3

from conductor_state.key_filter import SLICES, hashes_of
from conductor_state.key_generations import BUCKETS, Generation, Partition, pack_bucket
from conductor_state.queries import load_queries


class Sealing:
    """A partition in the making; its keys stay readable in `keys` until it is complete."""

    def __init__(
        self, family: int, number: int, generation: Generation, keys: dict[bytes, int]
    ) -> None:
        self.keys = keys
        self.generation = generation
        self._family = family
        self._slot = generation.used
        self._first_row = min(keys.values())
        self._last_row = max(keys.values())
        self._number = number
        self._next = 0
        self._buckets: list[list[bytes]] = [[] for _ in range(BUCKETS)]
        for key in keys:
            self._buckets[key[0] >> 1].append(key)
        generation.used += 1

    def write(self, connection: sqlite3.Connection, buckets: int) -> bool:
        """Write the next `buckets` rows; True when the partition is complete with them.

        Statements first, memory last.
        """
        sql = load_queries("key_index")
        end = min(self._next + buckets, BUCKETS)
        parts: list[bytes] = []
        rows: list[tuple[int, bytes]] = []
        for bucket_number in range(self._next, end):
            keys = self._buckets[bucket_number]
            parts.append(b"".join(keys))
            bucket = pack_bucket(parts[-1], [self.keys[key] for key in keys], self._first_row)
            rows.append((self._number * BUCKETS + bucket_number, bucket))
        connection.executemany(sql["put_bucket"], rows)
        complete = end == BUCKETS
        if complete:
            connection.execute(sql["put_partition"], self._as_row())
        self.generation.filter.insert(hashes_of(b"".join(parts)), self._slot)
        self._next = end
        if complete:
            self.generation.partitions[self._slot] = Partition(
                self._number, self._first_row, self._last_row
            )
        return complete

    def _as_row(self) -> tuple[int, ...]:
        return (
            self._number,
            self._family,
            self.generation.number,
            self._slot,
            self._first_row,
            self._last_row,
            len(self.keys),
        )


class FilterCopy:
    """A filter being saved, so that the next start need not read the keys of its partitions."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._partitions = generation.used
        self._next = 0

    def write(self, connection: sqlite3.Connection, slices: int) -> bool:
        """Write the next slices; True when all are written."""
        end = min(self._next + slices, SLICES)
        connection.executemany(
            load_queries("key_index")["put_filter_slice"],
            [
                (self.generation.number, number, self._partitions,
                 self.generation.filter.read_slice(number))
                for number in range(self._next, end)
            ],
        )  # fmt: skip
        self._next = end
        return end == SLICES
