"""The file adapter: what stands on disk, damage, strangers' hands, and ways out."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from collections.abc import AsyncGenerator
from operator import methodcaller
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from conductor_packs.sidekick.records import (
    MEMORIES,
    MESSAGES,
    ROUTINES,
    TASKS,
    AuditEvent,
)
from conductor_packs.sidekick.storage.errors import (
    StorageError,
    StoreBusy,
    StoreCorrupt,
    StoreUnsafe,
)
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.port import Change, MemoryQuery, View
from conductor_packs.sidekick.storage.testing_samples import AT, full_records, memory, task

pytestmark = pytest.mark.usefixtures("no_sync")


ONE = '{"id":"a","title":"t","created_at":"","updated_at":""}'
TWICE = f"[{ONE},{ONE}]"
FORGED = (
    '{"commit":{"nonce":"a","moves":[{"store":"../x","temporary":"t.json.tmp-00000000"}],'
    '"audit":null},"sha256":"0"}'
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / ".sidekick"


@pytest_asyncio.fixture
async def port(root: Path) -> AsyncGenerator[FilesystemStoragePort]:
    made = FilesystemStoragePort(root)
    yield made
    await made.close()


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def tasks(view: View) -> list[str]:
    return [found.id for found in view.records(TASKS)]


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def modes(root: Path) -> set[int]:
    """Return the modes of all directories, and of all files."""
    found = [(path.is_dir(), path.stat().st_mode) for path in [root, *root.rglob("*")]]
    assert all(stat.S_ISDIR(mode) == (mode & 0o100 > 0) for _, mode in found)
    return {stat.S_IMODE(mode) for _, mode in found}


async def test_s6_a_store_is_a_json_file_to_read_and_compare(
    port: FilesystemStoragePort, root: Path
) -> None:
    def work(change: Change) -> None:
        change.put(TASKS, task(1, "ünïcode"))
        change.put(TASKS, task(2))

    await port.change(work)
    text = (root / "tasks" / "tasks.json").read_text(encoding="utf-8")
    assert ["task-00000001", "task-00000002"] == [item["id"] for item in json.loads(text)]
    again = json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False)
    assert again + "\n" == text
    assert '"title": "ünïcode"' in text


async def test_the_files_have_the_shipped_names_and_are_private(
    port: FilesystemStoragePort, root: Path
) -> None:
    for store, record in full_records():
        await port.change(methodcaller("put", store, record))
    await port.change(lambda change: change.audit("create", "t"))
    assert {
        ".lock", "tasks/tasks.json", "memory/memories.json", "channels/channels.json",
        "channels/messages.json", "channels/deliveries.json", "routines/routines.json",
        "routines/runs.json", "audit/events.jsonl",
    } == set(tree(root))  # fmt: skip
    assert {0o700, 0o600} == modes(root)


async def test_one_changed_record_changes_only_its_lines(
    port: FilesystemStoragePort, root: Path
) -> None:
    for number in range(5):
        await port.change(methodcaller("put", TASKS, task(number)))
    path = root / "tasks" / "tasks.json"
    before = path.read_text(encoding="utf-8").splitlines()
    await port.change(methodcaller("put", TASKS, task(2, "another title")))
    after = path.read_text(encoding="utf-8").splitlines()
    assert 1 == sum(a != b for a, b in zip(before, after, strict=True))


async def test_s13_a_line_that_is_no_event_is_left_out(
    port: FilesystemStoragePort, root: Path
) -> None:
    good = '{"id":"evt-1","ts":"2026-01-01T00:00:00Z","tool":"t","op":"read"}'
    put(root, "audit/events.jsonl", f'{good}\nnot json\n\n{{"id":"evt-2"}}\n')
    assert ["evt-1"] == [event.id for event in await port.audit_events()]
    assert 1 == await port.read(lambda view: view.audit_count())


async def test_a_torn_last_line_is_left_out_and_joins_nothing(
    port: FilesystemStoragePort, root: Path
) -> None:
    good = '{"id":"evt-1","ts":"2026-01-01T00:00:00Z","tool":"t","op":"read"}'
    put(root, "audit/events.jsonl", f'{good}\n{{"id":"evt-2","ts":"20')
    assert 1 == await port.read(lambda view: view.audit_count())
    await port.append_audit(AuditEvent(id="evt-3", ts=AT, tool="t", op="read"))
    assert ["evt-1", "evt-3"] == [event.id for event in await port.audit_events()]
    assert 2 == await port.read(lambda view: view.audit_count())


async def test_the_audit_file_is_closed_at_its_size_and_still_read(
    root: Path, child: ModuleType
) -> None:
    port = FilesystemStoragePort(root, audit_max_bytes=600)
    for _ in range(20):
        await port.change(child.create)
    names = {name for name in tree(root) if name.startswith("audit/")}
    numbers = range(1, len(names))
    assert {"audit/events.jsonl", *(f"audit/events.{n:06}.jsonl" for n in numbers)} == names
    assert len(names) > 3
    await port.read(child.whole)
    last = [event.id for event in await port.audit_events()][-7:]
    assert last == [event.id for event in await port.audit_events(limit=7)]
    other = FilesystemStoragePort(root)
    assert 40 == await other.read(lambda view: view.audit_count())
    await port.close()


async def test_the_seeds_names_are_read_until_the_first_change(
    port: FilesystemStoragePort, root: Path
) -> None:
    old = put(root, "memory/memory.json", json.dumps([
        {"id": "mem-1", "type": "fact", "content": "old", "tags": [], "created_at": AT,
         "updated_at": AT, "colour": "red"}]))  # fmt: skip
    put(root, "channels/outbox.json", json.dumps([
        {"id": "msg-1", "channel_id": "chan-1", "sender": "a", "content": "c",
         "created_at": AT}]))  # fmt: skip
    assert ["msg-1"] == [m.id for m in await port.read(lambda view: view.records(MESSAGES))]
    assert ["mem-1"] == [m.id for m in await port.read(lambda view: view.records(MEMORIES))]
    assert not (root / "memory" / "memories.json").exists()
    await port.change(methodcaller("put", MEMORIES, memory("2", "new")))
    stored = json.loads((root / "memory" / "memories.json").read_text(encoding="utf-8"))
    assert [("mem-1", "red"), ("mem-2", None)] == [(m["id"], m.get("colour")) for m in stored]
    assert "old" in old.read_text(encoding="utf-8")
    assert 2 == len(await port.read(lambda view: view.records(MEMORIES)))


async def test_keys_that_nobody_knows_survive_every_rewrite(
    port: FilesystemStoragePort, root: Path
) -> None:
    item = {"id": "task-1", "title": "t", "created_at": AT, "updated_at": AT, "priority": "P1",
            "status": "pending", "tags": ["a"], "x": {"y": [1, 2.5, None, "ü"]}, "extra": "e",
            "z": False}  # fmt: skip
    path = put(root, "tasks/tasks.json", json.dumps([item]))
    await port.change(methodcaller("put", TASKS, task(2)))
    again = FilesystemStoragePort(root)
    await again.change(methodcaller("put", TASKS, task(3)))
    assert item == json.loads(path.read_text(encoding="utf-8"))[0]
    await again.close()


@pytest.mark.parametrize(
    "text",
    ["{", "", '{"tasks": []}', "[1]", '[{"id": 1}]', '[{"id": "task-1"}]', "null", "[" * 100_000,
     '[{"id":"a","title":"t","created_at":"","updated_at":"","priority":"P9"}]', "\udcff",
     TWICE],
)  # fmt: skip
async def test_x15_a_damaged_store_is_named_left_alone_and_alone(
    text: str, port: FilesystemStoragePort, root: Path
) -> None:
    path = root / "tasks" / "tasks.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt) as damage:
        await port.read(tasks)
    assert "SIDEKICK_STORE_CORRUPT" == damage.value.code
    assert ".sidekick/tasks/tasks.json" in damage.value.message
    assert "json.tool .sidekick/tasks/tasks.json" in damage.value.hint
    with pytest.raises(StoreCorrupt):
        await port.change(methodcaller("put", TASKS, task(1)))
    await port.change(methodcaller("put", MEMORIES, memory("1", "works")))
    assert 1 == len(await port.read(lambda view: view.search(MemoryQuery("works"))))
    assert [] == await port.read(lambda view: view.records(ROUTINES))
    assert before == path.read_bytes()
    path.write_text("[]", encoding="utf-8")  # repaired by hand
    await port.change(methodcaller("put", TASKS, task(1)))
    assert [task(1).id] == await port.read(tasks)


async def test_a_work_that_met_damage_leaves_the_rest_of_its_group_alone(
    port: FilesystemStoragePort, root: Path
) -> None:
    put(root, "tasks/tasks.json", "{")
    results = await asyncio.gather(
        port.change(methodcaller("put", TASKS, task(1))),
        port.change(methodcaller("put", MEMORIES, memory("1", "works"))),
        return_exceptions=True,
    )
    assert isinstance(results[0], StoreCorrupt)
    assert 1 == len(await port.read(lambda view: view.records(MEMORIES)))


async def test_x14_temporary_files_of_the_dead_are_swept_and_others_stay(
    port: FilesystemStoragePort, root: Path
) -> None:
    put(root, "tasks/tasks.json.tmp-0123abcd", "[{")
    put(root, "tasks/notes.txt", "mine")
    put(root, ".commit.tmp", "half")
    assert [] == await port.read(tasks)
    await port.change(methodcaller("put", TASKS, task(1)))
    assert {".lock", "tasks/tasks.json", "tasks/notes.txt"} == set(tree(root))


async def test_a_change_that_was_decided_is_seen_before_it_is_in_place(
    root: Path, child: ModuleType
) -> None:
    def stop(name: str) -> None:
        if name == "decided":
            raise OSError(5, "Input/output error")

    dying = FilesystemStoragePort(root, step=stop, lock_wait_s=1)
    made = await dying.change(child.create)
    files = tree(root)
    assert ".commit" in files
    assert "tasks/tasks.json" not in files
    other = FilesystemStoragePort(root)
    assert [made] == await other.read(child.whole)
    assert files == tree(root)  # looking repaired nothing
    assert 2 == len(await other.audit_events())
    second = await other.change(child.create)
    assert [made, second] == await dying.read(child.whole)
    await dying.close()
    await other.close()


@pytest.mark.parametrize(
    "body",
    [FORGED,
     '{"commit":{"nonce":"a","moves":[],"audit":{"offset":0,"lines":"x"}},"sha256":"0"}',
     "", "{}", "garbage"],
)  # fmt: skip
async def test_a_commit_file_that_nobody_of_ours_wrote_is_named_and_does_nothing(
    body: str, port: FilesystemStoragePort, root: Path
) -> None:
    await port.change(methodcaller("put", TASKS, task(1)))
    put(root, ".commit", body)
    before = tree(root)
    with pytest.raises(StoreCorrupt, match=r"\.commit"):
        await port.read(tasks)
    with pytest.raises(StoreCorrupt, match=r"\.commit"):
        await port.change(methodcaller("put", TASKS, task(2)))
    assert before.keys() == tree(root).keys()
    (root / ".commit").unlink()
    assert [task(1).id] == await port.read(tasks)


@pytest.mark.parametrize("name", ["", "tasks", "tasks/tasks.json", "audit", "audit/events.jsonl",
                                  ".lock", ".commit"])  # fmt: skip
async def test_a_symbolic_link_out_of_the_workspace_is_refused(
    name: str, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    inner = Path(name).name or "root"
    is_file = "." in inner
    outside.mkdir()
    target = outside / inner
    if is_file:
        target.write_text("[]", encoding="utf-8")
    else:
        target.mkdir()
    link = root / name
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    before = tree(outside)
    port = FilesystemStoragePort(root)
    with pytest.raises((StoreUnsafe, StoreCorrupt)) as refused:
        await port.change(_task_and_audit)
    assert refused.type is StoreUnsafe
    assert before == tree(outside)
    await port.close()


def _task_and_audit(change: Change) -> None:
    change.put(TASKS, task(1))
    change.audit("create", "t")


async def test_a_root_that_is_a_link_within_the_workspace_is_followed(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "elsewhere").mkdir(parents=True)
    (workspace / ".sidekick").symlink_to("elsewhere")
    port = FilesystemStoragePort(workspace / ".sidekick")
    await port.change(_task_and_audit)
    assert (workspace / "elsewhere" / "tasks" / "tasks.json").exists()
    await port.close()


async def test_a_root_that_cannot_be_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".sidekick").write_text("a file", encoding="utf-8")
    port = FilesystemStoragePort(tmp_path / ".sidekick")
    with pytest.raises(StorageError):
        await port.change(_task_and_audit)
    with pytest.raises(StorageError):
        await port.read(tasks)
    await port.close()


async def test_an_unchanged_store_is_parsed_once(port: FilesystemStoragePort) -> None:
    await port.change(methodcaller("put", TASKS, task(1)))
    other = FilesystemStoragePort(port.root_dir)
    first = await other.read(lambda view: view.get(TASKS, task(1).id))
    await port.change(methodcaller("put", MEMORIES, memory("1", "another store")))
    assert first is await other.read(lambda view: view.get(TASKS, task(1).id))
    await other.close()


async def test_every_version_is_seen_however_fast_they_follow(port: FilesystemStoragePort) -> None:
    other = FilesystemStoragePort(port.root_dir)
    for number in range(100):
        await port.change(methodcaller("put", TASKS, task(1, f"{number:03}")))
        seen: Any = await other.read(methodcaller("get", TASKS, task(1).id))
        assert f"{number:03}" == seen.title
    await other.close()


async def test_an_edit_by_hand_is_seen(port: FilesystemStoragePort, root: Path) -> None:
    await port.change(methodcaller("put", TASKS, task(1, "before")))
    path = root / "tasks" / "tasks.json"
    path.write_text(path.read_text(encoding="utf-8").replace("before", "by hand"), "utf-8")
    await port.change(methodcaller("put", TASKS, task(2)))
    assert ["by hand", "a task"] == [
        found.title for found in await port.read(lambda view: view.records(TASKS))
    ]


async def test_an_edit_by_hand_in_the_middle_of_a_change_is_not_overwritten(
    port: FilesystemStoragePort, root: Path
) -> None:
    path = root / "tasks" / "tasks.json"

    def work(change: Change) -> None:
        change.put(TASKS, task(2))
        path.write_text("[]\n", encoding="utf-8")

    await port.change(methodcaller("put", TASKS, task(1)))
    with pytest.raises(StoreBusy, match=r"tasks\.json was changed"):
        await port.change(work)
    assert [] == await port.read(tasks)


async def test_a_lock_file_that_is_removed_makes_no_second_holder(
    port: FilesystemStoragePort, root: Path
) -> None:
    def work(change: Change) -> None:
        change.put(TASKS, task(1))
        (root / ".lock").unlink()

    with pytest.raises(StoreBusy, match="lock file was removed"):
        await port.change(work)
    await port.change(methodcaller("put", TASKS, task(2)))
    assert [task(2).id] == await port.read(tasks)


async def test_a_directory_that_is_removed_is_an_empty_one(
    port: FilesystemStoragePort, root: Path
) -> None:
    await port.change(_task_and_audit)
    shutil.rmtree(root)
    assert ([], 0) == await port.read(lambda view: (tasks(view), view.audit_count()))
    await port.change(_task_and_audit)
    assert ([task(1).id], 1) == await port.read(lambda view: (tasks(view), view.audit_count()))
