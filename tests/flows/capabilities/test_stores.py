"""One suite over every provider of a key-value store, blobs, queue, deduplication and cache."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor_flows.capabilities.caches import MemoryCache
from conductor_flows.capabilities.errors import CapabilityMisused, KeyMissing
from conductor_flows.capabilities.file_rows import FileRows
from conductor_flows.capabilities.ports import BlobStore, DedupeStore, KeyValue, Queue
from conductor_flows.capabilities.rows import MemoryRows, Rows, RowStore
from conductor_flows.capabilities.sqlite_rows import SqliteRows
from conductor_flows.capabilities.stores import RowBlobs, RowDedupe, RowKeyValue, RowQueue
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.pack_errors import StorageFailed

MAKE: dict[str, Callable[[Path], RowStore]] = {
    "memory": lambda _: MemoryRows(),
    "filesystem": lambda path: FileRows(path / "rows"),
    "sqlite": lambda path: SqliteRows(path / "rows.db"),
}


@pytest.fixture(params=MAKE)
async def rows(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RowStore]:
    store = MAKE[request.param](tmp_path)
    yield store
    await store.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def kv(rows: RowStore, clock: ManualClock) -> KeyValue:
    return RowKeyValue(rows, clock=clock)


async def test_a_value_is_kept_replaced_and_deleted(kv: KeyValue) -> None:
    assert await kv.get("a/b") is None
    await kv.put("a/b", b"1")
    await kv.put("a/b", b"2", metadata={"by": "me"})
    entry = await kv.entry("a/b")
    assert entry is not None
    assert (b"2", {"by": "me"}) == (entry.value, entry.metadata)
    await kv.delete("a/b")
    assert await kv.get("a/b") is None
    with pytest.raises(KeyMissing):
        await kv.delete("a/b")


async def test_a_value_is_gone_after_its_time_to_live(kv: KeyValue, clock: ManualClock) -> None:
    await kv.put("k", b"v", ttl_s=5)
    await kv.put("other", b"v", expires_at_ms=epoch_ms(clock.now()) + 1000)
    clock.advance(1)
    assert await kv.get("other") is None
    assert b"v" == await kv.get("k")
    clock.advance(4)
    assert await kv.get("k") is None
    with pytest.raises(KeyMissing):
        await kv.delete("k")


async def test_two_times_and_times_that_have_passed_are_refused(
    kv: KeyValue, clock: ManualClock
) -> None:
    for times in ({"ttl_s": 5, "expires_at_ms": 2**50}, {"ttl_s": 0}, {"ttl_s": -1},
                  {"expires_at_ms": epoch_ms(clock.now())}):  # fmt: skip
        with pytest.raises(CapabilityMisused):
            await kv.put("k", b"v", **times)
    with pytest.raises(CapabilityMisused):
        await kv.put("", b"v")
    assert await kv.get("k") is None


async def test_a_listing_is_in_order_by_prefix_in_pages_and_without_what_expired(
    kv: KeyValue, clock: ManualClock
) -> None:
    for name in ("a/3", "a/1", "b/1", "a/2", "a/4", "a"):
        await kv.put(name, name.encode(), ttl_s=1 if name == "a/2" else None, metadata=name)
    clock.advance(2)
    seen: list[str] = []
    cursor, pages = None, 0
    while True:
        page = await kv.list("a/", cursor=cursor, limit=2)
        seen += [entry.key for entry in page.entries]
        cursor, pages = page.cursor, pages + 1
        if cursor is None:
            break
    assert ["a/1", "a/3", "a/4"] == seen
    assert 2 == pages
    first = (await kv.list("b", values=True)).entries[0]
    assert (b"b/1", "b/1") == (first.value, first.metadata)
    assert (await kv.list("b")).entries[0].value is None
    with pytest.raises(CapabilityMisused):
        await kv.list(cursor="no cursor")


async def test_unusual_keys_are_kept_apart(rows: RowStore) -> None:
    keys = ["a", "a/b", "a//b", ".", "..", "../a", "/", "%", "%25", "ä", ".lock", "a b", "a.row"]

    def work(shelves: Rows) -> list[str]:
        for key in keys:
            shelves.put("s", key, key.encode())
        return [key for key in keys if shelves.get("s", key) != key.encode()]

    assert [] == await rows.run(work)
    assert sorted(keys) == await rows.run(lambda shelves: shelves.keys("s"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\U0010ffff"),
                        min_size=1, max_size=6), unique=True),
       st.text("ab/", max_size=2))  # fmt: skip
def test_files_and_sqlite_list_keys_in_the_order_of_memory(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], prefix: str
) -> None:
    async def listed(store: RowStore) -> list[str]:
        def work(shelves: Rows) -> list[str]:
            for key in keys:
                shelves.put("s", key, b"")
            return shelves.keys("s", prefix, prefix, 3)

        found = await store.run(work)
        await store.close()
        return found

    path = tmp_path_factory.mktemp("rows")
    expected = asyncio.run(listed(MemoryRows()))
    assert expected == asyncio.run(listed(SqliteRows(path / "rows.db")))
    assert expected == asyncio.run(listed(FileRows(path / "files")))


async def test_work_that_fails_in_memory_or_sqlite_leaves_everything_as_it_was(
    rows: RowStore,
) -> None:
    if isinstance(rows, FileRows):
        return  # says so itself: row by row

    def fail(shelves: Rows) -> None:
        shelves.put("s", "a", b"2")
        shelves.drop("s", "b")
        shelves.put("s", "c", b"1")
        raise LookupError

    def fill(shelves: Rows) -> None:
        shelves.put("s", "a", b"1")
        shelves.put("s", "b", b"1")

    await rows.run(fill)
    with pytest.raises(LookupError):
        await rows.run(fail)
    state = await rows.run(lambda each: [(key, each.get("s", key)) for key in each.keys("s")])
    assert [("a", b"1"), ("b", b"1")] == state


async def test_blobs_are_kept_replaced_and_deleted(rows: RowStore) -> None:
    blobs: BlobStore = RowBlobs(rows)
    data = bytes(range(256)) * 4096
    assert await blobs.get("x/y") is None
    await blobs.put("x/y", b"short")
    await blobs.put("x/y", data)
    assert data == await blobs.get("x/y")
    await blobs.delete("x/y")
    with pytest.raises(KeyMissing):
        await blobs.delete("x/y")


async def test_a_queue_is_first_in_first_out_and_hands_out_once(rows: RowStore) -> None:
    queue: Queue = RowQueue(rows)
    assert await queue.dequeue() is None
    for number in range(12):
        await queue.enqueue(b"%d" % number)
    taken = await asyncio.gather(*(queue.dequeue() for _ in range(6)))
    rest = [await queue.dequeue() for _ in range(6)]
    assert sorted(b"%d" % number for number in range(12)) == sorted(
        message for message in (*taken, *rest) if message is not None
    )
    assert [b"6", b"7", b"8", b"9", b"10", b"11"] == rest
    assert await queue.dequeue() is None


async def test_memory_kv_enforces_idempotency_with_ttl(rows: RowStore, clock: ManualClock) -> None:
    dedupe: DedupeStore = RowDedupe(rows, clock=clock)
    taken = await asyncio.gather(*(dedupe.put_if_absent("k", 10) for _ in range(5)))
    assert [False] * 4 + [True] == sorted(taken)
    clock.advance(10)
    assert await dedupe.put_if_absent("k", 10)
    await dedupe.forget("k")
    await dedupe.forget("k")
    assert await dedupe.put_if_absent("k", 10)
    with pytest.raises(CapabilityMisused):
        await dedupe.put_if_absent("k", 0)


async def test_what_is_in_a_file_is_there_for_the_next_who_opens_it(tmp_path: Path) -> None:
    for kind in ("filesystem", "sqlite"):
        first, second = MAKE[kind](tmp_path), MAKE[kind](tmp_path)
        await RowKeyValue(first).put("k", b"v", metadata=[1])
        assert b"v" == await RowKeyValue(second).get("k")
        await first.close()
        await second.close()


async def test_what_the_database_refuses_within_the_work_is_a_failure_of_the_store(
    tmp_path: Path,
) -> None:
    rows = SqliteRows(tmp_path / "rows.db")
    await rows.run(lambda view: view.put("s", "k", b"1"))
    with sqlite3.connect(tmp_path / "rows.db") as other:
        other.execute("ALTER TABLE rows RENAME TO gone")
    other.close()
    with pytest.raises(StorageFailed, match=r"rows\.db: no such table"):
        await rows.run(lambda view: view.get("s", "k"))
    await rows.close()


async def test_two_openers_of_one_file_never_both_get_a_key(tmp_path: Path) -> None:
    for kind in ("filesystem", "sqlite"):
        stores = [MAKE[kind](tmp_path) for _ in range(2)]
        pairs = itertools.product(stores, range(10))
        taken = await asyncio.gather(
            *(RowDedupe(store).put_if_absent(f"k{key}", 60) for store, key in pairs)
        )
        assert 10 == sum(taken)
        for store in stores:
            await store.close()


async def test_a_cache_forgets_by_time_and_by_use(clock: ManualClock) -> None:
    cache = MemoryCache(clock=clock, limit=2)
    await cache.set("a", b"1", ttl_s=5)
    await cache.set("b", b"2")
    assert b"1" == await cache.get("a")
    await cache.set("c", b"3")
    assert await cache.get("b") is None
    clock.advance(5)
    assert await cache.get("a") is None
    await cache.remove("c")
    assert await cache.get("c") is None
