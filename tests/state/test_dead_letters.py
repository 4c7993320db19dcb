"""The contract suite on both implementations."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conductor_sdk.clock import Clock
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.memory.dead_letters import MemoryDeadLetters
from conductor_state.memory.replay_log import MemoryReplayLog
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.testing.dead_letters import DeadLettersContract


class TestSqliteDeadLetters(DeadLettersContract):
    @asynccontextmanager
    async def open(self, folder: Path, clock: Clock) -> AsyncGenerator[tuple[Any, Any]]:
        database = await Database.open(
            folder / "sidecar.db", schema=load_schema("sidecar"), clock=clock
        )
        try:
            log = await SqliteReplayLog.open(database, seal_at=2)
            yield log, SqliteDeadLetters(log)
        finally:
            await database.close()


class TestMemoryDeadLetters(DeadLettersContract):
    @asynccontextmanager
    async def open(self, folder: Path, clock: Clock) -> AsyncGenerator[tuple[Any, Any]]:
        log = MemoryReplayLog(clock)
        yield log, MemoryDeadLetters(log)
