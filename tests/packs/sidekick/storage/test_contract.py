"""The contract suite on every adapter."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from conductor_packs.sidekick.records import TASKS
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_packs.sidekick.storage.port import StoragePort
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort
from conductor_packs.sidekick.storage.testing import StorageContract
from conductor_packs.sidekick.storage.testing_samples import task

pytestmark = pytest.mark.usefixtures("no_sync")


class Contract(StorageContract):
    """The suite, with what it needs."""

    adapter: type[MemoryStoragePort | FilesystemStoragePort | SqliteStoragePort]

    @pytest.fixture
    def storage_root(self, tmp_path: Path) -> Path:
        return tmp_path / ".sidekick"

    @pytest_asyncio.fixture
    async def storage(self, storage_root: Path) -> AsyncGenerator[StoragePort]:
        port = self.adapter(storage_root)
        yield port
        await port.close()

    async def test_ids_that_are_taken_are_not_drawn(
        self, storage: StoragePort, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await storage.change(lambda change: change.put(TASKS, task(1)))
        drawn = iter(["00000001", "00000001", "00000002"])
        monkeypatch.setattr("secrets.token_hex", lambda _bytes: next(drawn))
        assert "task-00000002" == await storage.read(lambda view: view.new_id(TASKS))


class TestMemory(Contract):
    adapter = MemoryStoragePort


class TestFilesystem(Contract):
    adapter = FilesystemStoragePort


class TestSqlite(Contract):
    adapter = SqliteStoragePort
