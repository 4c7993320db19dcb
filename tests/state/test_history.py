"""The conductor's history on SQLite and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock
from conductor_state.database import Database
from conductor_state.history import SqliteHistory
from conductor_state.memory.history import MemoryHistory
from conductor_state.schema import load_schema
from conductor_state.testing.history import (
    PLAIN,
    HistoryContract,
    HistoryUnderTest,
    PlainAnchor,
    PlainEvent,
    PlainToken,
    outgoing,
)

History = SqliteHistory[PlainEvent, PlainAnchor, PlainToken]


@asynccontextmanager
async def opened(path: Path, clock: ManualClock | None = None) -> AsyncIterator[History]:
    database = await Database.open(
        path, schema=load_schema("conductor"), clock=clock or ManualClock()
    )
    history = await SqliteHistory.open(database, PLAIN)
    try:
        yield history
    finally:
        await history.close()


class TestSqliteHistory(HistoryContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._path = tmp_path
        self._opened = 0

    @asynccontextmanager
    async def opened(self, clock: ManualClock) -> AsyncIterator[HistoryUnderTest]:
        self._opened += 1
        async with opened(self._path / f"{self._opened}.db", clock) as history:
            yield history


class TestMemoryHistory(HistoryContract):
    @asynccontextmanager
    async def opened(self, clock: ManualClock) -> AsyncIterator[HistoryUnderTest]:
        history = MemoryHistory(PLAIN, clock=clock)
        yield history
        await history.close()


async def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "conductor.db"
    token = PlainToken("t", "d", "credential", "/a", 1, 2, 3, 4)
    async with opened(path) as history:
        epoch = history.epoch
        await history.append("/a", outgoing("x", "y"))
        await history.record_push("/a", outgoing("p"))
        await history.forget("/a", 1)
        await history.put_anchor(PlainAnchor("/a", 1, "h", 5))
        await history.put_token(token)

    async with opened(path) as history:
        assert history.epoch == epoch
        assert await history.append("/a", outgoing("y", "z")) == [2, 3]
        assert await history.record_push("/a", outgoing("p", "q")) == [False, True]
        assert await history.bounds("/a") == (2, 3)
        assert await history.anchors("/a") == [PlainAnchor("/a", 1, "h", 5)]
        assert await history.tokens() == [token]


async def test_a_long_history_is_forgotten_with_its_ids(tmp_path: Path) -> None:
    ids = [f"e{number}" for number in range(2500)]
    async with opened(tmp_path / "conductor.db") as history:
        await history.append("/a", outgoing(*ids))
        await history.append("/b", outgoing(*ids[:3]))
        forgotten = await history.forget("/a", 2400)
        left = await history._database.read(
            lambda c: c.execute("SELECT count(*) FROM downward_ids").fetchone()[0]
        )
        anew = await history.append("/a", outgoing("e0", "e2499"))

    assert (forgotten, left, anew) == (2400, 103, [2501, 2500])


async def test_ids_with_one_key_are_told_apart(tmp_path: Path) -> None:
    # The classic pair of words with equal CRC-32.
    async with opened(tmp_path / "conductor.db") as history:
        sequences = [
            await history.append("/a", outgoing("plumless")),
            await history.append("/a", outgoing("buckeroo")),
            await history.append("/a", outgoing("buckeroo", "plumless")),
        ]
        pushes = [
            await history.record_push("/a", outgoing("plumless")),
            await history.record_push("/a", outgoing("buckeroo", "plumless")),
        ]

    assert sequences == [[1], [2], [2, 1]]
    assert pushes == [[True], [True, False]]
