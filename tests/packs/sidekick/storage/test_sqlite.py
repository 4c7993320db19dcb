"""The SQLite adapter: what only a database can do, and only a database can suffer."""

from __future__ import annotations

import sqlite3
import stat
from operator import methodcaller
from pathlib import Path
from types import ModuleType

import pytest

from conductor_packs.sidekick.records import MEMORIES, TASKS
from conductor_packs.sidekick.storage.errors import StorageError, StoreCorrupt, StoreUnsafe
from conductor_packs.sidekick.storage.port import Change, MemoryQuery, View
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort
from conductor_packs.sidekick.storage.testing_samples import memory, task


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".sidekick"


def tasks(view: View) -> list[str]:
    return [found.id for found in view.records(TASKS)]


def modes(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode)
        for path in [root, *root.iterdir()]
    }


def put(directory: Path, content: bytes) -> Path:
    directory.mkdir()
    path = directory / "sidekick.db"
    path.write_bytes(content)
    return path


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)


def remove_database(root: Path) -> None:
    for path in root.glob("sidekick.db*"):
        path.unlink()


async def fill(root: Path, *numbers: int) -> None:
    port = SqliteStoragePort(root)
    for number in numbers:
        await port.change(methodcaller("put", TASKS, task(number)))
    await port.close()


async def test_the_file_is_private_and_its_log_goes_when_it_is_closed(root: Path) -> None:
    await fill(root, 1)
    assert {".": 0o700, ".lock": 0o600, "sidekick.db": 0o600} == modes(root)


async def test_what_another_process_writes_is_seen_and_the_rest_is_not_parsed_again(
    root: Path,
) -> None:
    one, two = SqliteStoragePort(root), SqliteStoragePort(root)
    await one.change(methodcaller("put", TASKS, task(1)))
    assert [task(1).id] == await two.read(tasks)
    first = await two.read(lambda view: view.get(TASKS, task(1).id))
    await one.change(methodcaller("put", MEMORIES, memory("1", "another store")))
    assert first is await two.read(lambda view: view.get(TASKS, task(1).id))
    await one.change(methodcaller("put", TASKS, task(1, "changed")))
    changed = await two.read(lambda view: view.get(TASKS, task(1).id))
    assert changed is not None
    assert "changed" == changed.title
    assert 1 == len(await two.read(lambda view: view.search(MemoryQuery("another"))))
    await one.close()
    await two.close()


@pytest.mark.parametrize("content", [b"this is no database, by any measure" * 100, b"short"])
async def test_x15_a_damaged_file_is_named_and_left_alone(content: bytes, root: Path) -> None:
    path = put(root, content)
    port = SqliteStoragePort(root)
    with pytest.raises(StoreCorrupt, match=r"\.sidekick/sidekick\.db") as damage:
        await port.read(tasks)
    assert "PRAGMA integrity_check" in damage.value.hint
    with pytest.raises(StoreCorrupt):
        await port.change(methodcaller("put", TASKS, task(1)))
    assert content == path.read_bytes()
    await port.close()


async def test_a_damaged_record_spares_the_other_stores(root: Path) -> None:
    await fill(root, 1)
    connection = sqlite3.connect(root / "sidekick.db")
    with connection:
        connection.execute("UPDATE records SET body = x'7b'")
    connection.close()
    port = SqliteStoragePort(root)
    with pytest.raises(StoreCorrupt, match="a record of tasks"):
        await port.read(tasks)
    await port.change(methodcaller("put", MEMORIES, memory("1", "works")))
    assert 1 == len(await port.read(lambda view: view.records(MEMORIES)))
    await port.close()


async def test_a_newer_version_is_left_alone(root: Path) -> None:
    await fill(root, 1)
    connection = sqlite3.connect(root / "sidekick.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    port = SqliteStoragePort(root)
    for attempt in (port.read(tasks), port.change(methodcaller("put", TASKS, task(2)))):
        with pytest.raises(StorageError, match="version 99"):
            await attempt
    await port.close()


async def test_a_symbolic_link_is_refused(root: Path, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside", b"")
    link(root / "sidekick.db", outside)
    port = SqliteStoragePort(root)
    with pytest.raises(StoreUnsafe):
        await port.change(methodcaller("put", TASKS, task(1)))
    with pytest.raises(StoreUnsafe):
        await port.read(tasks)
    assert b"" == outside.read_bytes()
    await port.close()


async def test_a_file_that_is_removed_is_an_empty_one(root: Path) -> None:
    port = SqliteStoragePort(root)
    await port.change(methodcaller("put", TASKS, task(1)))
    await port.read(tasks)
    remove_database(root)
    assert [] == await port.read(tasks)
    await port.change(methodcaller("put", TASKS, task(2)))
    assert [task(2).id] == await port.read(tasks)
    await port.close()


async def test_where_no_log_can_be_made_the_file_is_read_as_it_stands(root: Path) -> None:
    await fill(root, 1)
    # As if the directory could not be written, which a test that runs as root cannot arrange.
    link(root / "sidekick.db-shm", Path("missing/nowhere"))
    port = SqliteStoragePort(root)
    assert [task(1).id] == await port.read(tasks)
    (root / "sidekick.db-shm").unlink()
    await fill(root, 2)
    assert [task(1).id, task(2).id] == await port.read(tasks)
    await port.close()


async def test_a_lock_file_that_is_removed_makes_no_second_writer(root: Path) -> None:
    def work(change: Change) -> None:
        change.put(TASKS, task(1))
        (root / ".lock").unlink()

    port = SqliteStoragePort(root)
    with pytest.raises(StorageError, match="lock file was removed"):
        await port.change(work)
    assert [] == await port.read(tasks)
    await port.change(methodcaller("put", TASKS, task(2)))
    assert [task(2).id] == await port.read(tasks)
    await port.close()


async def test_a_disk_error_fails_every_change_of_the_group_and_none_later(
    root: Path, child: ModuleType
) -> None:
    broken = True

    def step(name: str) -> None:
        if broken and name == "written":
            raise OSError(28, "No space left on device")

    port = SqliteStoragePort(root, step=step)
    with pytest.raises(StorageError):
        await port.change(child.create)
    broken = False
    assert [await port.change(child.create)] == await port.read(child.whole)
    await port.close()
