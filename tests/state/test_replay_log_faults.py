"""What the SQLite stores do when the disk does not play along, and what they leave behind."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.records import Buried, Cursor, RetryLater
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.errors import StoreFull, StoreIOError
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.testing.faults import FailingConnection
from conductor_state.testing.inbound import arrivals, handled


@asynccontextmanager
async def opened(
    path: Path, *, seal_at: int = 8
) -> AsyncGenerator[tuple[SqliteReplayLog, FailingConnection, Database]]:
    made: list[FailingConnection] = []

    def connect(path: Path) -> Any:
        made.append(FailingConnection(path))
        return made[0]

    database = await Database.open(
        path, schema=load_schema("sidecar"), clock=ManualClock(), connect=connect
    )
    try:
        yield await SqliteReplayLog.open(database, seal_at=seal_at), made[0], database
    finally:
        await database.close()


async def stored(log: SqliteReplayLog, number: int, *event_ids: str) -> list[int]:
    receipt = await log.receive("e", number, arrivals(*event_ids))
    return [position for position in receipt.positions if position is not None]


def ids(number: int) -> list[str]:
    return [f"evt-{number}-{index}" for index in range(3)]


FATAL = [
    "COMMIT",
    "INSERT INTO receipts",
    "INSERT INTO bodies",
    "UPDATE log_state",
    "INSERT INTO inbound_counts",
    "INTO key_buckets",
    "INTO key_partitions",
]


@pytest.mark.parametrize("statement", FATAL)
async def test_a_batch_that_could_not_be_stored_is_new_when_it_comes_again(
    tmp_path: Path, statement: str
) -> None:
    async with opened(tmp_path / "sidecar.db") as (log, connection, _):
        failed = 0
        for number in range(20):
            if number % 4 == 3:
                connection.failures.append((statement, sqlite3.SQLITE_FULL))
            try:
                receipt = await log.receive("e", number, arrivals(*ids(number)))
            except StoreFull:
                failed += 1
                receipt = await log.receive("e", number, arrivals(*ids(number)))
            assert None not in receipt.positions
            connection.failures.clear()
        assert failed > 0
        assert Cursor("e", 19) == await log.cursor()
        assert [i for n in range(20) for i in ids(n)] == [
            pending.event_id for pending in await log.pending(0, 1000)
        ]
        every = await log.receive("e", 19, arrivals(*[i for n in range(20) for i in ids(n)]))
        assert 60 == every.duplicates


@pytest.mark.parametrize("statement", ["COMMIT", "INTO settlements", "DELETE FROM bodies",
                                       "INTO pack_keys", "DELETE FROM claims"])  # fmt: skip
async def test_outcomes_that_could_not_be_recorded_can_be_given_again(
    tmp_path: Path, statement: str
) -> None:
    async with opened(tmp_path / "sidecar.db") as (log, connection, _):
        positions = await stored(log, 1, *ids(1))
        await log.claim(positions)
        outcomes = handled(positions)
        outcomes = [type(outcomes[0])(o.position, "handled", "x", (("s", "k"),)) for o in outcomes]
        connection.failures.append((statement, sqlite3.SQLITE_IOERR))
        with pytest.raises(StoreIOError):
            await log.settle(outcomes)
        assert [1, 1, 1] == [pending.attempts for pending in await log.load(positions)]
        assert not await log.has_key("s", "k")
        await log.settle(outcomes)
        assert 0 == await log.backlog()
        assert await log.has_key("s", "k")
        assert all(kind.balanced for kind in (await log.counts()).values())


@pytest.mark.parametrize("statement", ["COMMIT", "DELETE FROM dead_letters", "INTO bodies"])
async def test_a_redrive_that_could_not_be_stored_leaves_the_dead_letter(
    tmp_path: Path, statement: str
) -> None:
    async with opened(tmp_path / "sidecar.db") as (log, connection, _):
        letters = SqliteDeadLetters(log)
        (position,) = await stored(log, 1, "a")
        await log.settle([Buried(position, 1, "CODE", "no")])
        connection.failures.append((statement, sqlite3.SQLITE_FULL))
        with pytest.raises(StoreFull):
            await letters.redrive(["a"])
        assert ["a"] == [letter.event_id for letter in await letters.list()]
        assert 0 == await log.backlog()
        assert 1 == len(await letters.redrive(["a"]))
        assert all(kind.balanced for kind in (await log.counts()).values())


async def test_a_settled_log_keeps_receipts_and_settlements_only(tmp_path: Path) -> None:
    async with opened(tmp_path / "sidecar.db") as (log, _, database):
        for number in range(5):
            positions = await stored(log, number, *ids(number))
            await log.claim(positions)
            await log.settle([RetryLater(positions[0], 1, 0, "again")])
            for position in positions:
                await log.settle(handled([position]))
        left = {
            table: await database.read(
                lambda c, t=table: c.execute(f"SELECT count(*) FROM {t}").fetchone()[0]
            )
            for table in ("bodies", "claims", "troubled", "receipts", "settlements")
        }
    assert {"bodies": 0, "claims": 0, "troubled": 0, "receipts": 5, "settlements": 15} == left


async def test_more_unsettled_batches_than_memory_holds_are_settled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor_state.inbound._OPEN_BATCHES", 2)
    async with opened(tmp_path / "sidecar.db") as (log, _, _):
        positions = [await stored(log, number, *ids(number)) for number in range(6)]
        for index in range(3):
            await log.settle(handled([batch[index] for batch in positions]))
        assert 0 == await log.backlog()
        assert [] == await log.pending(0, 100)
        again = await log.receive("e", 9, arrivals(*ids(0), *ids(5)))
        assert (0, 6) == (again.duplicates, again.replayed)
