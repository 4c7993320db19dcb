"""Which keys are known: a log-structured set of 16-byte keys, each with the row that brought it.

Promise: a key that was added is found, newest row first, whatever the number of keys; an absent
key costs no disk access. Memory: the newest 8,192 keys or twice that (about 2 MB at most), and
4 MB for each million older ones. Refusal: it decides nothing about rows that are gone; callers do.

Keys gather in a memtable; when it is full it is frozen and written into a sealed partition in
slices, while a new memtable fills. All methods belong to the writer thread, except `maybe`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

import msgspec

from conductor_state.key_filter import hashes_of
from conductor_state.key_generations import (
    BUCKETS,
    KEY,
    Generation,
    load_generations,
    lookup,
)
from conductor_state.key_sealing import FilterCopy, Sealing
from conductor_state.queries import load_queries

SEAL_AT = 8192
"""Keys in the memtable at which it becomes a partition."""
FAMILIES = 2
"""Indexes that share a database; family 0 has even partition numbers."""
_SAVE_EVERY = 8
"""Partitions after which a filter is saved: at most seven are read at start."""


def key_of(text: str) -> bytes:
    """Return the 16-byte key of a text; two texts share one with probability 2**-128."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY).digest()


class _View(msgspec.Struct, frozen=True):
    """What answers for keys, swapped as a whole so that another thread sees all or nothing new."""

    memtable: dict[bytes, int]
    frozen: dict[bytes, int]
    generations: list[Generation]


class KeyIndex:
    """The keys of one family in a database. `load` comes first."""

    def __init__(self, family: int, *, seal_at: int = SEAL_AT) -> None:
        self._family = family
        self._seal_at = seal_at
        self._view = _View({}, {}, [])
        self._sealing: Sealing | None = None
        self._copy: FilterCopy | None = None
        self._next_partition = 1

    def load(
        self,
        connection: sqlite3.Connection,
        unsealed: Callable[[int], Iterable[tuple[int, bytes]]],
    ) -> None:
        """Read everything again; `unsealed(row)` gives the rows after a row with their keys."""
        sql = load_queries("key_index")
        highest: int = connection.execute(sql["highest_partition"]).fetchone()[0]
        # Families take turns, so that neither needs to know what the other has given out.
        self._next_partition = highest + 1 + (highest + 1 + self._family) % FAMILIES
        generations = load_generations(connection, self._family)
        sealed = [p.last_row for g in generations for p in g.partitions if p is not None]
        memtable: dict[bytes, int] = {}
        for row, keys in unsealed(max(sealed, default=0)):
            memtable.update(dict.fromkeys(split_keys(keys), row))
        self._sealing = self._copy = None
        self._view = _View(memtable, {}, generations)
        if len(memtable) >= self._seal_at:
            self._freeze()

    @property
    def sealing(self) -> bool:
        """Whether `write_slice` has work."""
        return self._sealing is not None or self._copy is not None

    def maybe(self, key: bytes) -> bool:
        """Tell from memory alone whether a key may be known; False is certain. Any thread."""
        view = self._view
        return (
            key in view.memtable
            or key in view.frozen
            or any(g.filter.candidates(hashes_of(key)) for g in view.generations)
        )

    def find(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[int, list[int]]:
        """Return the rows that brought each known key, newest first, by the key's index."""
        view = self._view
        found: dict[int, list[int]] = {}
        for table in (view.memtable, view.frozen):
            if not table.keys().isdisjoint(keys):
                for index, key in enumerate(keys):
                    if (row := table.get(key)) is not None:
                        found.setdefault(index, []).append(row)
        if view.generations:
            joined = b"".join(keys)
            for generation in reversed(view.generations):
                for index, row in lookup(connection, generation, keys, joined):
                    found.setdefault(index, []).append(row)
        return found

    def write_slice(self, connection: sqlite3.Connection, fresh: int) -> None:
        """Go on with sealing, at a pace that ends before the memtable is half full again.

        The last statements of a work: memory follows them at once.
        """
        if self._sealing is not None:
            if self._sealing.write(connection, 4 + BUCKETS * 2 * fresh // self._seal_at):
                self._view = _View(self._view.memtable, {}, self._view.generations)
                if self._sealing.generation.used % _SAVE_EVERY == 0:
                    self._copy = FilterCopy(self._sealing.generation)
                self._sealing = None
        elif self._copy is not None and self._copy.write(connection, 1 + fresh // 512):
            self._copy = None

    def add(self, row: int, keys: Iterable[bytes]) -> None:
        """Make the keys of a row known. Memory only; rows come in ascending order."""
        memtable = self._view.memtable
        memtable.update(dict.fromkeys(keys, row))
        if len(memtable) >= self._seal_at and self._sealing is None:
            self._freeze()

    def forget(self, row: int, keys: Iterable[bytes]) -> None:
        """Take a pruned row's keys out of the memtable. Memory only."""
        memtable = self._view.memtable
        for key in keys:
            if memtable.get(key) == row:
                del memtable[key]

    def drop(self, connection: sqlite3.Connection, has_rows: Callable[[int, int], bool]) -> bool:
        """Drop the oldest partition none of whose rows is left; False when there is none."""
        sql = load_queries("key_index")
        for generation in self._view.generations:
            for slot, partition in enumerate(generation.partitions):
                if partition is None or has_rows(partition.first_row, partition.last_row):
                    continue
                first = partition.number * BUCKETS
                connection.execute(sql["delete_buckets"], (first, first + BUCKETS - 1))
                connection.execute(sql["delete_partition"], (partition.number,))
                generation.partitions[slot] = None
                self._drop_if_empty(connection, generation)
                return True
        return False

    def _drop_if_empty(self, connection: sqlite3.Connection, generation: Generation) -> None:
        in_use = (self._sealing and self._sealing.generation) or (
            self._copy and self._copy.generation
        )
        if generation.empty and generation is not in_use:
            connection.execute(load_queries("key_index")["delete_filter"], (generation.number,))
            view = self._view
            self._view = _View(
                view.memtable, view.frozen, [g for g in view.generations if g is not generation]
            )

    def _freeze(self) -> None:
        view = self._view
        number, self._next_partition = self._next_partition, self._next_partition + FAMILIES
        generations = view.generations
        if not generations or not generations[-1].has_room(len(view.memtable)):
            generations = [*generations, Generation(number)]
        self._sealing = Sealing(self._family, number, generations[-1], view.memtable)
        self._view = _View({}, view.memtable, generations)


def remove_unfinished(connection: sqlite3.Connection) -> None:
    """Once at start: delete the buckets of partitions that a crash left incomplete."""
    sql = load_queries("key_index")
    complete = {number for (number,) in connection.execute(sql["partition_numbers"])}
    highest: int = connection.execute(sql["highest_partition"]).fetchone()[0]
    for number in range(min(complete, default=1), highest + 2 * FAMILIES + 1):
        if number not in complete:
            first = number * BUCKETS
            connection.execute(sql["delete_buckets"], (first, first + BUCKETS - 1))


def split_keys(keys: bytes) -> list[bytes]:
    """Cut a concatenation of keys."""
    return [keys[at : at + KEY] for at in range(0, len(keys), KEY)]
