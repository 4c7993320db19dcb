"""Approvals and answers by key: the contract suites, damage, crashes and the migration."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from conductor_sdk.clock import ManualClock
from conductor_sdk.records import Claimed
from conductor_sdk.tool_output import ToolOutput
from conductor_state.approvals import PRUNE_ROWS, SqliteApprovals
from conductor_state.batches import Kinds, StoredEvents, pack_events
from conductor_state.database import Database
from conductor_state.errors import StoreCorrupt
from conductor_state.key_index import key_of
from conductor_state.memory.approvals import MemoryApprovals
from conductor_state.memory.tool_results import MemoryToolResults
from conductor_state.quarantine import open_or_quarantine
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import Schema, load_schema
from conductor_state.testing.approvals import HOUR_MS, START_MS, ApprovalsContract, asked, ids
from conductor_state.testing.crash import crash_image
from conductor_state.testing.inbound import KIND
from conductor_state.testing.tool_results import CALL, FRESH, ToolResultsContract
from conductor_state.tool_results import SqliteToolResults


@asynccontextmanager
async def opened(folder: Path, schema: Schema | None = None) -> AsyncGenerator[Database]:
    database = await Database.open(
        folder / "sidecar.db", schema=schema or load_schema("sidecar"), clock=ManualClock()
    )
    try:
        yield database
    finally:
        await database.close()


class TestSqliteApprovals(ApprovalsContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[Any]:
        async with opened(folder) as database:
            yield SqliteApprovals(database)


class TestMemoryApprovals(ApprovalsContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[Any]:
        yield MemoryApprovals()


class TestSqliteToolResults(ToolResultsContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[Any]:
        async with opened(folder) as database:
            yield SqliteToolResults(database)


class TestMemoryToolResults(ToolResultsContract):
    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[Any]:
        yield MemoryToolResults()


async def test_what_was_asked_granted_and_answered_survives_the_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        approvals, results = SqliteApprovals(database), SqliteToolResults(database)
        await approvals.request(asked("apr-1"))
        granted = await approvals.decide(
            "apr-1", granted=True, by="lou", reason=None, now_ms=START_MS
        )
        await results.claim(*CALL, "h", 1)
        await results.finish(*CALL, b"{}", 1)
        await results.claim(*CALL[:2], "running", "h", 1)
        # What is on the disk now is what a killed process would leave.
        await crash_image(database, tmp_path / "after")
    async with opened(tmp_path / "after") as database:
        approvals, results = SqliteApprovals(database), SqliteToolResults(database)
        assert granted == await approvals.get("apr-1", now_ms=START_MS)
        assert Claimed("running") == await results.claim(*CALL[:2], "running", "h", 2)
        assert 1 == await results.abandon_running()
        assert Claimed("done", b"{}") == await results.claim(*CALL, "h", 2)
        answer = await results.claim(*CALL[:2], "running", "h", 3)
        output = msgspec.json.decode(answer.output or b"", type=ToolOutput)
        assert output.error is not None
        assert "CALL_INTERRUPTED" == output.error.code


async def test_a_database_of_the_version_before_is_migrated_with_a_copy(tmp_path: Path) -> None:
    current = load_schema("sidecar")
    before = Schema("sidecar", current.migrations[:2])
    kinds = Kinds.of([KIND, KIND]).pack()
    checksum, events = pack_events(StoredEvents(["a", "b"], [b"{}", b"{}"], kinds))
    keys = key_of("a") + key_of("b")
    async with opened(tmp_path, before) as database:
        await database.write(lambda c: c.execute(
            "INSERT INTO receipts VALUES (1, 1, 'e', 1, 0, 2, ?, ?)", (kinds, keys)
        ))  # fmt: skip
        await database.write(lambda c: c.execute(
            "INSERT INTO bodies VALUES (1, ?, ?)", (checksum, events)
        ))  # fmt: skip
    async with opened(tmp_path) as database:
        log = await SqliteReplayLog.open(database)
        version = await database.read(lambda c: c.execute("PRAGMA user_version").fetchone()[0])
        assert (current.version, ["a", "b"]) == (
            version, [pending.event_id for pending in await log.pending(0, 9)],
        )  # fmt: skip
        assert FRESH == await SqliteToolResults(database).claim(*CALL, "h", 1)
        assert "pending" == (await SqliteApprovals(database).request(asked("apr-1"))).state
    with closing(sqlite3.connect(tmp_path / "sidecar.db.v2.bak")) as copy:
        tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master")}
        kept = copy.execute("SELECT events FROM receipts").fetchall()
    assert ({"receipts"}, [(2,)]) == (tables & {"receipts", "approvals"}, kept)


async def changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


async def test_a_changed_row_never_reads_as_leave_or_as_an_answer(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await SqliteApprovals(database).request(asked("apr-1"))
        results = SqliteToolResults(database)
        await results.claim(*CALL, "h", 1)
        await results.finish(*CALL, b"{}", 1)
    await changed(tmp_path / "sidecar.db", "UPDATE approvals SET state = 'granted'")
    await changed(tmp_path / "sidecar.db", "UPDATE tool_results SET output = x'7b7b'")
    async with opened(tmp_path) as database:
        with pytest.raises(StoreCorrupt, match="apr-1"):
            await SqliteApprovals(database).use("task:cancel", "ann", "a1", START_MS)
        with pytest.raises(StoreCorrupt, match="key-1"):
            await SqliteToolResults(database).claim(*CALL, "h", 1)


async def test_salvage_keeps_what_is_sound_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.db"
    async with opened(tmp_path) as database:
        approvals, results = SqliteApprovals(database), SqliteToolResults(database)
        for number in range(3):
            await approvals.request(asked(f"apr-{number}", input_hash=str(number)))
            await results.claim(*CALL[:2], str(number), "h", 1)
            await results.finish(*CALL[:2], str(number), b'{"n":%d}' % number, 1)
        await results.claim(*CALL[:2], "running", "h", 1)
    await changed(path, "UPDATE approvals SET actor = 'eve' WHERE request_id = 'apr-1'")
    await changed(path, "UPDATE tool_results SET output = x'7b' WHERE key = '1'")
    database, report = await open_or_quarantine(
        path, schema=load_schema("sidecar"), clock=ManualClock(), suspect="a test says so"
    )
    try:
        assert report is not None
        kept = {table.name: (table.kept, table.lost) for table in report.tables}
        assert ((2, 1), (3, 1)) == (kept["approvals"], kept["tool_results"])
        approvals, results = SqliteApprovals(database), SqliteToolResults(database)
        assert ["apr-2", "apr-0"] == ids(await approvals.approvals(now_ms=START_MS))
        assert Claimed("done", b'{"n":2}') == await results.claim(*CALL[:2], "2", "h", 2)
        assert Claimed("running") == await results.claim(*CALL[:2], "running", "h", 2)
        assert FRESH == await results.claim(*CALL[:2], "1", "h", 2)
    finally:
        await database.close()


async def test_forgetting_goes_on_beyond_one_step(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        approvals = SqliteApprovals(database)
        works = [
            approvals.request(asked(f"apr-{number}", input_hash=str(number)))
            for number in range(PRUNE_ROWS + 1)
        ]
        await asyncio.gather(*works)
        assert PRUNE_ROWS + 1 == await approvals.prune(START_MS + 2 * HOUR_MS)
