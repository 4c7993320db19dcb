"""The log-structured key set against a plain dict."""

from __future__ import annotations

import random
import sqlite3

import pytest

from conductor_state.key_filter import KeyFilter, hashes_of
from conductor_state.key_generations import find_in_bucket, pack_bucket
from conductor_state.key_index import FAMILIES, KeyIndex, key_of, remove_unfinished
from conductor_state.schema import load_schema


@pytest.fixture
def connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(load_schema("sidecar").migrations[0])
    return connection


class Rows:
    """The table that the index stands on, as a dict."""

    def __init__(self, connection: sqlite3.Connection, family: int = 0) -> None:
        self.connection = connection
        self.family = family
        self.rows: dict[int, list[bytes]] = {}
        self.index = self.reopened()

    def reopened(self) -> KeyIndex:
        index = KeyIndex(self.family, seal_at=64)
        index.load(
            self.connection,
            lambda row: [(n, b"".join(keys)) for n, keys in self.rows.items() if n > row],
        )
        self.index = index
        return index

    def add(self, row: int, keys: list[bytes]) -> None:
        self.rows[row] = keys
        self.index.write_slice(self.connection, len(keys))
        self.index.add(row, keys)

    def remove(self, row: int) -> None:
        self.index.forget(row, self.rows.pop(row))

    def drop(self) -> int:
        dropped = 0
        while self.index.drop(
            self.connection, lambda first, last: any(first <= n <= last for n in self.rows)
        ):
            dropped += 1
        return dropped

    def found(self, keys: list[bytes]) -> list[list[int]]:
        found = self.index.find(self.connection, keys)
        return [[row for row in found.get(i, []) if row in self.rows] for i in range(len(keys))]


def some_keys(count: int, seed: int) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(16) for _ in range(count)]


def count(connection: sqlite3.Connection, table: str) -> int:
    number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return number


def fill(rows: Rows, batches: int, *, first: int = 1, size: int = 10) -> None:
    for number in range(first, first + batches):
        rows.add(number, some_keys(size, number))


def test_every_key_is_found_through_memtable_partitions_and_generations(
    connection: sqlite3.Connection,
) -> None:
    rows = Rows(connection)
    fill(rows, 400)
    assert count(connection, "key_partitions") > 32
    for number, keys in rows.rows.items():
        assert [[number]] * len(keys) == rows.found(keys)
        assert all(map(rows.index.maybe, keys))


def test_absent_keys_are_not_found(connection: sqlite3.Connection) -> None:
    rows = Rows(connection)
    fill(rows, 60)
    assert {} == rows.index.find(connection, some_keys(500, 10_000))


@pytest.mark.parametrize("batches", [3, 7, 30, 61, 130, 250])
def test_a_restart_at_any_point_knows_the_same_keys(
    connection: sqlite3.Connection, batches: int
) -> None:
    rows = Rows(connection)
    fill(rows, batches)
    for _ in range(3):
        rows.reopened()
        fill(rows, 9, first=max(rows.rows) + 1)
        for number, keys in rows.rows.items():
            assert [[number]] * len(keys) == rows.found(keys)


def test_a_restart_in_the_middle_of_sealing_leaves_no_orphans(
    connection: sqlite3.Connection,
) -> None:
    rows = Rows(connection)
    rows.add(1, some_keys(64, 1))
    rows.index.write_slice(connection, 0)
    assert 0 < count(connection, "key_buckets") < 128
    assert 0 == count(connection, "key_partitions")
    remove_unfinished(connection)
    assert 0 == count(connection, "key_buckets")


def test_a_key_that_comes_again_gives_its_rows_newest_first(
    connection: sqlite3.Connection,
) -> None:
    rows = Rows(connection)
    (key,) = some_keys(1, 0)
    for number in (1, 100, 200):
        rows.add(number, [key])
        fill(rows, 40, first=number + 1)
    assert [[200, 100, 1]] == rows.found([key])


def test_dropped_partitions_free_their_rows_and_nothing_else(
    connection: sqlite3.Connection,
) -> None:
    rows = Rows(connection)
    fill(rows, 300)
    before = count(connection, "key_buckets")
    for number in range(1, 251):
        rows.remove(number)
    dropped = rows.drop()
    assert dropped > 10
    assert before - 128 * dropped == count(connection, "key_buckets")
    for index in (rows.index, rows.reopened()):
        assert all(index.find(connection, keys) for keys in rows.rows.values())
    fill(rows, 60, first=301)
    rows.reopened()
    for number, keys in rows.rows.items():
        assert [[number]] * len(keys) == rows.found(keys)
    assert {} == rows.index.find(connection, some_keys(10, 10_000))


def test_a_slot_of_a_dropped_partition_is_not_given_out_again(
    connection: sqlite3.Connection,
) -> None:
    """The saved copy of a filter would otherwise pass for the new partition's keys."""
    rows = Rows(connection)
    fill(rows, 57)  # eight partitions: the filter is saved
    while rows.index.sealing:
        rows.index.write_slice(connection, 0)
    assert (8, 64) == (count(connection, "key_partitions"), count(connection, "key_filters"))
    for number in range(30, 58):
        rows.remove(number)
    assert rows.drop() > 2
    rows.reopened()
    fill(rows, 30, first=101)
    rows.reopened()
    for number, keys in rows.rows.items():
        assert [[number]] * len(keys) == rows.found(keys)


def test_a_saved_filter_is_completed_from_younger_partitions(
    connection: sqlite3.Connection,
) -> None:
    rows = Rows(connection)
    fill(rows, 57)
    while rows.index.sealing:
        rows.index.write_slice(connection, 0)
    assert 64 == count(connection, "key_filters")
    fill(rows, 30, first=58)
    assert count(connection, "key_partitions") > 8
    rows.reopened()
    for number, keys in rows.rows.items():
        assert [[number]] * len(keys) == rows.found(keys)


def test_families_share_the_tables_and_keep_apart(connection: sqlite3.Connection) -> None:
    families = [Rows(connection, family) for family in range(FAMILIES)]
    for number in range(1, 120):
        for family, rows in enumerate(families):
            rows.add(number, some_keys(5, 1000 * family + number))
    for rows in families:
        rows.reopened()
        for number, keys in rows.rows.items():
            assert [[number]] * len(keys) == rows.found(keys)
    assert {} == families[0].index.find(connection, families[1].rows[3])


def test_a_key_is_found_only_where_a_key_begins() -> None:
    first, second = b"A" * 8 + b"B" * 8, b"C" * 8 + b"A" * 8
    bucket = pack_bucket(first + second + first, [7, 8, 9], 7)
    assert [0, 1, None] == [
        find_in_bucket(bucket, key) for key in (first, second, b"B" * 8 + b"C" * 8)
    ]


def test_a_filter_copied_in_slices_while_keys_are_added_holds_the_earlier_keys() -> None:
    original, copy = KeyFilter(), KeyFilter()
    before = b"".join(some_keys(5000, 1))
    original.insert(hashes_of(before), 3)
    for number in range(64):
        copy.write_slice(number, original.read_slice(number))
        original.insert(hashes_of(b"".join(some_keys(100, 2 + number))), 4)
    found = {index for index, slot in copy.candidates(hashes_of(before)) if slot == 3}
    assert set(range(5000)) == found


def test_keys_of_different_texts_differ() -> None:
    assert 5000 == len({key_of(f"evt-{number}") for number in range(5000)})
