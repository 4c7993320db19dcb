"""The stores keep their contracts on the simulated disk too: nothing else is tried on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor_sdk.clock import Clock, ManualClock
from conductor_state.approvals import SqliteApprovals
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.history import SqliteHistory
from conductor_state.journal import SqliteJournal
from conductor_state.outbox import SqliteOutbox
from conductor_state.outbox_caps import OutboxCaps
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.testing.approvals import ApprovalsContract
from conductor_state.testing.history import PLAIN, HistoryContract, HistoryUnderTest
from conductor_state.testing.journal import JournalContract, JournalUnderTest
from conductor_state.testing.outbox import OutboxContract, OutboxUnderTest
from conductor_state.testing.outbox_caps import OutboxCapsContract
from conductor_state.testing.replay_log import DurableReplayLogContract, ReplayLogContract
from conductor_state.testing.tool_results import ToolResultsContract
from conductor_state.tool_results import SqliteToolResults
from simdisk.disk import SimDisk
from simdisk.storage import SimStorage


@pytest.fixture(autouse=True)
def storage(request: pytest.FixtureRequest) -> SimStorage:
    made = SimStorage(SimDisk())
    if request.instance is not None:
        request.instance.storage = made
    return made


@asynccontextmanager
async def opened(
    storage: SimStorage, path: Path, clock: Clock, schema: str = "sidecar"
) -> AsyncGenerator[Database]:
    database = await Database.open(path, schema=load_schema(schema), clock=clock, storage=storage)
    try:
        yield database
    finally:
        await database.close()


class TestReplayLog(ReplayLogContract, DurableReplayLogContract):
    storage: SimStorage

    @asynccontextmanager
    async def open(self, folder: Path, clock: Clock) -> AsyncGenerator[tuple[Any, Any]]:
        async with opened(self.storage, folder / "sidecar.db", clock) as database:
            log = await SqliteReplayLog.open(database, seal_at=3)
            yield log, SqliteDeadLetters(log)


class TestOutbox(OutboxContract, OutboxCapsContract):
    storage: SimStorage

    @asynccontextmanager
    async def opened(self, clock: ManualClock, caps: OutboxCaps) -> AsyncIterator[OutboxUnderTest]:
        path = Path(f"/sim/{len(self.storage.disk.names)}.db")
        async with opened(self.storage, path, clock) as database:
            yield await SqliteOutbox.open(database, caps=caps)


class TestApprovals(ApprovalsContract):
    storage: SimStorage

    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[Any]:
        async with opened(self.storage, folder / "sidecar.db", ManualClock()) as database:
            yield SqliteApprovals(database)


class TestToolResults(ToolResultsContract):
    storage: SimStorage

    @asynccontextmanager
    async def open(self, folder: Path) -> AsyncGenerator[Any]:
        async with opened(self.storage, folder / "sidecar.db", ManualClock()) as database:
            yield SqliteToolResults(database)


class TestHistory(HistoryContract):
    storage: SimStorage

    @asynccontextmanager
    async def opened(self, clock: ManualClock) -> AsyncIterator[HistoryUnderTest]:
        path = Path(f"/sim/{len(self.storage.disk.names)}.db")
        async with opened(self.storage, path, clock, "conductor") as database:
            yield await SqliteHistory.open(database, PLAIN)


class TestJournal(JournalContract):
    @pytest.fixture
    async def journal(self, storage: SimStorage) -> AsyncIterator[JournalUnderTest]:
        journal = SqliteJournal(Path("/sim/journal.db"), storage=storage)
        yield journal
        await journal.close()
