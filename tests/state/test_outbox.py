"""The outbox on SQLite and in memory: the contract, and what only a disk can show."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.errors import QueueFull
from conductor_sdk.records import KindCounts, Outgoing
from conductor_state.database import Database
from conductor_state.errors import StateError
from conductor_state.memory.outbox import MemoryOutbox
from conductor_state.outbox import SqliteOutbox
from conductor_state.outbox_caps import Caps, OutboxCaps
from conductor_state.schema import Schema, load_schema
from conductor_state.testing.outbox import (
    KIND,
    OTHER,
    OutboxContract,
    OutboxUnderTest,
    events,
    queued_ids,
)
from conductor_state.testing.outbox_caps import OutboxCapsContract
from conductor_state.testing.traces import OutboxTracesContract


@asynccontextmanager
async def opened(
    path: Path, clock: ManualClock | None = None, caps: OutboxCaps | None = None, **more: int
) -> AsyncIterator[SqliteOutbox]:
    database = await Database.open(
        path, schema=load_schema("sidecar"), clock=clock or ManualClock()
    )
    try:
        yield await SqliteOutbox.open(database, caps=caps or OutboxCaps(), **more)
    finally:
        await database.close()


class TestSqliteOutbox(OutboxContract, OutboxCapsContract, OutboxTracesContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._path = tmp_path
        self._opened = 0

    @asynccontextmanager
    async def opened(self, clock: ManualClock, caps: OutboxCaps) -> AsyncIterator[OutboxUnderTest]:
        self._opened += 1
        async with opened(self._path / f"{self._opened}.db", clock, caps) as outbox:
            yield outbox


class TestSqliteOutboxWithFewIdsInMemory(TestSqliteOutbox):
    @asynccontextmanager
    async def opened(self, clock: ManualClock, caps: OutboxCaps) -> AsyncIterator[OutboxUnderTest]:
        self._opened += 1
        path = self._path / f"{self._opened}.db"
        async with opened(path, clock, caps, recent_ids=2) as outbox:
            yield outbox


class TestMemoryOutbox(OutboxContract, OutboxCapsContract, OutboxTracesContract):
    @asynccontextmanager
    async def opened(self, clock: ManualClock, caps: OutboxCaps) -> AsyncIterator[OutboxUnderTest]:
        yield MemoryOutbox(clock=clock, caps=caps)


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    async with opened(path) as outbox:
        await outbox.put([*events("a", "b", "c"), *events("o", kind=OTHER)])
        await outbox.count_ephemeral(OTHER, accepted=1, dropped={"offline": 1})
        await outbox.confirm([2], rejected={3: "no"})
        before = (await outbox.counts(), await outbox.depth(), await outbox.story("b"))

    async with opened(path) as outbox:
        after = (await outbox.counts(), await outbox.depth(), await outbox.story("b"))
        duplicate = await outbox.put(events("a"))

        assert await queued_ids(outbox) == ["a", "o"]
    assert before == after
    assert duplicate[0].status == "duplicate"


async def test_a_trace_is_stored_with_its_event(tmp_path: Path) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with opened(tmp_path / "sidecar.db") as outbox:
        await outbox.put([Outgoing("a", KIND, b"{}", trace)])
        story = await outbox.story("a")

    assert story is not None
    assert story.steps[0].detail == trace


async def test_old_ids_are_found_on_disk_and_stale_ones_are_swept(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    ids = [f"e{number}" for number in range(60)]
    async with opened(path, recent_ids=4) as outbox:
        for number in range(0, 60, 3):
            await outbox.put(events(*ids[number : number + 3]))
    async with opened(path, recent_ids=4) as outbox:
        in_memory = len(outbox._tables.ids._recent)
        for confirmed in range(59):
            await outbox.confirm([confirmed])
            again = await outbox.put(events(*ids[confirmed:]))
            assert {result.status for result in again} == {"duplicate"}
        anew = await outbox.put(events(*ids))
        await outbox.confirm(range(1000))
    connection = sqlite3.connect(path)
    keys = [
        connection.execute(f"SELECT count(*) FROM outbox_ids_{table}").fetchone()[0]
        for table in (0, 1)
    ]
    connection.close()

    assert in_memory <= 4
    assert [result.status for result in anew] == ["queued"] * 58 + ["duplicate"] * 2
    assert keys == [0, 0]


async def test_two_ids_with_one_key_are_told_apart(tmp_path: Path) -> None:
    # The classic pair of words with equal CRC-32.
    async with opened(tmp_path / "sidecar.db", recent_ids=2) as outbox:
        await outbox.put(events("plumless", "x1", "x2", "x3"))
        other = await outbox.put(events("buckeroo", "x4", "x5", "x6"))
        again = await outbox.put(events("buckeroo", "plumless"))

    assert other[0].status == "queued"
    assert [result.status for result in again] == ["duplicate", "duplicate"]


async def test_a_crash_inside_a_commit_leaves_memory_and_disk_in_agreement(tmp_path: Path) -> None:
    armed: list[str] = []

    def crash(point: str) -> None:
        if point in armed:
            armed.remove(point)
            raise RuntimeError(point)

    database = await Database.open(
        tmp_path / "sidecar.db", schema=load_schema("sidecar"), clock=ManualClock()
    )
    outbox = await SqliteOutbox.open(database, crash_point=crash, recent_ids=2)
    await outbox.count_ephemeral(OTHER, accepted=1, delivered=1)
    await outbox.put(events("a"))
    for point, call in (
        ("outbox.before_put", outbox.put(events("b"))),
        ("outbox.after_put", outbox.put(events("b", "c", "d"))),
        ("outbox.before_confirm", outbox.confirm([1])),
        ("outbox.after_confirm", outbox.confirm([1])),
    ):
        armed.append(point)
        with pytest.raises(RuntimeError, match=point):
            await call
    results = await outbox.put(events("a", "b"))
    counts = await outbox.counts()
    await database.close()

    assert [result.status for result in results] == ["duplicate", "queued"]
    assert counts == {
        KIND: KindCounts(accepted=2, buffered=2, duplicates=1),
        OTHER: KindCounts(accepted=1, delivered=1),
    }


async def test_a_commit_that_fails_as_a_whole_leaves_no_trace_in_memory(tmp_path: Path) -> None:
    fail = []

    def crash(point: str) -> None:
        if point == "database.before_commit" and fail:
            raise sqlite3.OperationalError(fail.pop())

    caps = OutboxCaps(default=Caps(max_events=2, overflow="drop_oldest"))
    database = await Database.open(
        tmp_path / "sidecar.db",
        schema=load_schema("sidecar"),
        clock=ManualClock(),
        crash_point=crash,
    )
    outbox = await SqliteOutbox.open(database, caps=caps)
    await outbox.put(events("a", "b"))
    fail.append("disk full")
    with pytest.raises(StateError, match="disk full"):
        await outbox.put(events("c", "d"))
    before = await queued_ids(outbox)
    results = await outbox.put(events("b", "c"))
    after = await queued_ids(outbox)
    await database.close()

    assert before == ["a", "b"]
    assert [result.status for result in results] == ["duplicate", "queued"]
    assert after == ["b", "c"]


async def test_ephemeral_counts_survive_a_failed_commit(tmp_path: Path) -> None:
    fail = [True]

    def crash(point: str) -> None:
        if point == "outbox.after_put" and fail:
            fail.clear()
            raise RuntimeError(point)

    database = await Database.open(
        tmp_path / "sidecar.db", schema=load_schema("sidecar"), clock=ManualClock()
    )
    outbox = await SqliteOutbox.open(database, crash_point=crash)
    await outbox.count_ephemeral(OTHER, accepted=2, dropped={"offline": 2})
    with pytest.raises(RuntimeError):
        await outbox.put(events("a"))
    counts = await outbox.counts()
    await database.close()

    assert counts == {OTHER: KindCounts(accepted=2, dropped={"offline": 2})}


async def test_totals_that_contradict_the_queue_are_mended_at_open(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    async with opened(path) as outbox:
        await outbox.put([*events("a", "b", "c"), *events("o", kind=OTHER)])
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM outbox WHERE position IN (1, 2, 4)")
    connection.execute("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'outbox'")
    connection.commit()
    connection.close()

    async with opened(path) as outbox:
        counts = await outbox.counts()
        right = await outbox.mend()
        depth = await outbox.depth()

    assert counts == {
        KIND: KindCounts(accepted=3, buffered=1, dropped={"lost": 2}),
        OTHER: KindCounts(accepted=1, dropped={"lost": 1}),
    }
    assert right is False
    assert (depth.events, depth.bytes) == (1, 10)


async def test_the_totals_agree_with_a_recount_after_every_kind_of_departure(
    tmp_path: Path,
) -> None:
    caps = OutboxCaps(
        default=Caps(max_events=9, overflow="drop_oldest"),
        kinds={OTHER: Caps(max_bytes=25, max_age_s=1, overflow="drop_newest")},
    )
    clock = ManualClock()
    async with opened(tmp_path / "sidecar.db", clock, caps) as outbox:
        for number in range(5):
            await outbox.put(events(*[f"{number}-{n}" for n in range(4)], size=number + 1))
            await outbox.put(events(f"o{number}", kind=OTHER))
        await outbox.confirm([12, 14], rejected={15: "no"})
        clock.advance(5)
        await outbox.expire(10**15)

        assert await outbox.mend() is False
        assert all(counts.balanced for counts in (await outbox.counts()).values())


async def test_eviction_finds_the_pool_of_a_rare_kind_among_many(tmp_path: Path) -> None:
    caps = OutboxCaps(kinds={OTHER: Caps(max_events=2, overflow="drop_oldest")})
    async with opened(tmp_path / "sidecar.db", caps=caps) as outbox:
        for number in range(4):
            await outbox.put(events(*[f"{number}-{n}" for n in range(300)]))
            await outbox.put(events(f"o{number}", kind=OTHER))

        assert [i for i in await queued_ids(outbox) if i[0] == "o"] == ["o2", "o3"]
        outbox.configure(OutboxCaps(default=Caps(max_events=1, overflow="drop_oldest")))
        await outbox.put(events("last"))
        assert await queued_ids(outbox) == ["last"]


async def test_refused_and_stored_calls_of_one_commit_do_not_touch_each_other(
    tmp_path: Path,
) -> None:
    caps = OutboxCaps(
        default=Caps(max_events=5, overflow="reject"),
        kinds={OTHER: Caps(max_events=1, overflow="drop_oldest")},
    )
    too_many = events("a", "b", "c", "d", "e")
    async with opened(tmp_path / "sidecar.db", caps=caps) as outbox:
        await outbox.put(events("o1", kind=OTHER))
        answers = await asyncio.gather(
            outbox.put([*events("o2", kind=OTHER), *too_many]),
            outbox.put(events("e", "f")),
            outbox.put(events("o3", kind=OTHER)),
            outbox.put([*events("o4", kind=OTHER), *too_many]),
            outbox.put(events("g", "h")),
            outbox.put(events("i")),
            return_exceptions=True,
        )
        ids = await queued_ids(outbox)
        story = await outbox.story("o1")

    assert [type(answer) for answer in answers] == [
        QueueFull, list, list, QueueFull, list, QueueFull,
    ]  # fmt: skip
    assert ids == ["e", "f", "o3", "g", "h"]
    assert story is not None
    assert story.state == "dropped"


async def test_an_event_that_an_older_program_queued_gets_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    older = load_schema("sidecar").migrations[:4]
    database = await Database.open(path, schema=Schema("sidecar", older), clock=ManualClock())
    await database.write(
        lambda c: c.execute(
            "INSERT INTO outbox (event_id, kind, put_ms, body) VALUES ('old', ?, 1, x'7b7d')",
            (KIND,),
        ) and None
    )  # fmt: skip
    await database.close()

    async with opened(path) as outbox:
        assert ["old"] == await queued_ids(outbox)


@pytest.mark.parametrize("change", ["checksum = NULL", "body = x'5b5d'", "kind = 'acme:other'"])
async def test_an_event_that_is_not_what_was_queued_is_not_sent(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "sidecar.db"
    async with opened(path) as outbox:
        await outbox.put(events("a"))
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE outbox SET {change}")
    connection.close()

    async with opened(path) as outbox:
        with pytest.raises(StateError, match="checksum"):
            await queued_ids(outbox)
