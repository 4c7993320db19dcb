"""Moving a store between the adapters."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from pathlib import Path

import pytest

from conductor_packs.sidekick.records import MEMORIES, STORES, TASKS
from conductor_packs.sidekick.storage.errors import StoreNotEmpty
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.migrate import migrate
from conductor_packs.sidekick.storage.port import MemoryQuery, StoragePort, View
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort
from conductor_packs.sidekick.storage.testing_samples import full_records, memory, task

pytestmark = pytest.mark.usefixtures("no_sync")

Open = Callable[[Path], StoragePort]


def everything(view: View) -> object:
    return [view.records(store) for store in STORES], view.audit_events()


@pytest.mark.parametrize(
    ("source_of", "target_of"),
    [(FilesystemStoragePort, SqliteStoragePort), (SqliteStoragePort, FilesystemStoragePort)],
)
async def test_everything_arrives_and_is_counted(
    source_of: Open, target_of: Open, tmp_path: Path
) -> None:
    root = tmp_path / ".sidekick"
    source, target = source_of(root), target_of(root)  # both adapters may share the directory
    for store, record in full_records():
        await source.change(methodcaller("put", store, record))
    await source.change(methodcaller("put", TASKS, task(1)))
    await source.change(methodcaller("put", MEMORIES, memory("1", "needle in a haystack")))
    await source.change(methodcaller("audit", "create", "t"))
    before = await source.read(everything)
    moved = await migrate(source, target)
    assert {"tasks": 2, "memories": 2, "channels": 1, "messages": 1, "routines": 1,
            "deliveries": 1, "runs": 1} == moved.records  # fmt: skip
    assert 1 == moved.audit_events
    assert before == await target.read(everything)
    assert before == await source.read(everything)
    assert 1 == len(await target.read(lambda view: view.search(MemoryQuery("haystack"))))
    await source.close()
    await target.close()


async def test_a_target_that_holds_anything_is_not_touched(tmp_path: Path) -> None:
    source = FilesystemStoragePort(tmp_path / "a" / ".sidekick")
    target = SqliteStoragePort(tmp_path / "b" / ".sidekick")
    await source.change(methodcaller("put", TASKS, task(1)))
    await target.change(methodcaller("audit", "create", "t"))
    with pytest.raises(StoreNotEmpty):
        await migrate(source, target)
    await target.change(methodcaller("put", TASKS, task(2)))
    with pytest.raises(StoreNotEmpty):
        await migrate(source, target)
    assert [task(2)] == await target.read(lambda view: view.records(TASKS))
    await source.close()
    await target.close()
