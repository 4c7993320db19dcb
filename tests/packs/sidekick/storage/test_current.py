"""Which storage is in use: a default, and scopes."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from conductor_packs.sidekick.storage.current import (
    get_storage_port,
    run_with_storage_port,
    set_default_storage_port,
    storage_scope,
)
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_packs.sidekick.storage.opening import open_storage
from conductor_packs.sidekick.storage.port import StoragePort
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort


@pytest.fixture(autouse=True)
def default() -> Generator[MemoryStoragePort]:
    port = MemoryStoragePort()
    before = set_default_storage_port(port)
    yield port
    set_default_storage_port(before)


async def used() -> StoragePort:
    await asyncio.sleep(0)
    return get_storage_port()


def test_s16_there_is_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_default_storage_port(None)
    monkeypatch.chdir(tmp_path)
    port = get_storage_port()
    assert isinstance(port, FilesystemStoragePort)
    assert tmp_path / ".sidekick" == port.root_dir
    assert port is get_storage_port()
    assert not (tmp_path / ".sidekick").exists()


def test_s17_the_default_can_be_replaced(default: MemoryStoragePort) -> None:
    other = MemoryStoragePort()
    assert default is set_default_storage_port(other)
    assert other is get_storage_port()


async def test_s18_a_scope_counts_inside_and_the_default_outside(
    default: MemoryStoragePort,
) -> None:
    scoped = MemoryStoragePort()
    assert scoped is await run_with_storage_port(scoped, used)
    assert default is get_storage_port()


async def test_s19_a_nested_scope_gives_the_outer_one_back(default: MemoryStoragePort) -> None:
    outer, inner = MemoryStoragePort(), MemoryStoragePort()

    async def nested() -> list[StoragePort]:
        seen = [await used(), await run_with_storage_port(inner, used), await used()]
        with pytest.raises(ZeroDivisionError), storage_scope(inner):
            _ = 1 / 0
        return [*seen, await used()]

    assert [outer, inner, outer, outer] == await run_with_storage_port(outer, nested)
    assert default is get_storage_port()


async def test_scopes_of_tasks_that_run_at_once_do_not_mix(default: MemoryStoragePort) -> None:
    ports = [MemoryStoragePort() for _ in range(5)]
    assert ports == await asyncio.gather(*(run_with_storage_port(port, used) for port in ports))
    assert default is get_storage_port()


async def test_a_task_that_is_started_in_a_scope_stays_in_it() -> None:
    scoped = MemoryStoragePort()
    with storage_scope(scoped):
        task = asyncio.create_task(used())
    assert scoped is await task


def test_the_configuration_names_the_adapter(tmp_path: Path) -> None:
    assert isinstance(open_storage(tmp_path), FilesystemStoragePort)
    assert isinstance(open_storage(tmp_path, "sqlite"), SqliteStoragePort)
    assert tmp_path / ".sidekick" == open_storage(tmp_path, "sqlite").root_dir
