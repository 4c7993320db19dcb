"""A tool reaches its own group's records, whatever the workspace or the tool itself asks for."""

from __future__ import annotations

from typing import Any

import pytest

from conductor_packs.sidekick.descriptors import DESCRIPTORS, MEMORY_STORE, SIDEKICK_STATUS
from conductor_packs.sidekick.records import MEMORIES, TASKS, Task
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_packs.sidekick.tools.ledger import Ledger, Reader
from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.pack_errors import ScopeDenied

TASK = Task(id="task-1", title="x", created_at="2026", updated_at="2026")


def allowing(*patterns: str) -> tuple[PathScope, ...]:
    return tuple(
        PathScope(type="path", pattern=pattern, access=access)
        for pattern in patterns
        for access in ("read", "write")
    )


async def test_a_group_works_with_the_scopes_of_its_own_records(on_files: Any) -> None:
    own = allowing(".sidekick/tasks/**", ".sidekick/audit/**", ".sidekick/.lock")
    assert (await on_files.direct("task:create", {"title": "x"}, scopes=own)).success
    assert (await on_files.direct("task:list", {}, scopes=own)).success
    given = {"type": "note", "content": "x"}
    denied = await on_files.direct("memory:store", given, scopes=own)
    assert denied.error.code == "SCOPE_DENIED"
    assert (await on_files.direct("sidekick:status", {}, scopes=own)).error.code == "SCOPE_DENIED"


@pytest.mark.parametrize("missing", [".sidekick/tasks/**", ".sidekick/audit/**", ".sidekick/.lock"])
async def test_a_write_needs_records_audit_and_lock(on_files: Any, missing: str) -> None:
    needed = {".sidekick/tasks/**", ".sidekick/audit/**", ".sidekick/.lock"} - {missing}
    output = await on_files.direct("task:create", {"title": "x"}, scopes=allowing(*needed))
    assert output.error.code == "SCOPE_DENIED"
    assert [] == await on_files.stored(TASKS)


async def test_a_read_needs_no_write_scope(on_files: Any) -> None:
    read = (PathScope(type="path", pattern=".sidekick/tasks/**", access="read"),)
    assert (await on_files.direct("task:list", {}, scopes=read)).success


async def test_a_link_out_of_the_workspace_is_not_followed(on_files: Any, tmp_path: Any) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    on_files.root.symlink_to(outside)
    assert await on_files.code("task:create", title="x") == "SCOPE_DENIED"
    assert [] == list(outside.iterdir())


async def test_a_ledger_reaches_no_other_group() -> None:
    port = MemoryStoragePort()

    def write(change: Any) -> None:
        Ledger(change, MEMORY_STORE, "alice", change).put(TASKS, TASK)

    def read(view: Any) -> None:
        Reader(view, MEMORY_STORE).records(TASKS)

    with pytest.raises(ScopeDenied):
        await port.change(write)
    for wrong in (
        read,
        lambda view: Reader(view, MEMORY_STORE).get(TASKS, "task-1"),
        lambda view: Reader(view, MEMORY_STORE).audit_count(),
        lambda view: Reader(view, MEMORY_STORE).audit_events(),
        lambda view: Ledger(view, MEMORY_STORE, "alice", None).new_id(TASKS),
        lambda view: Ledger(view, MEMORY_STORE, "alice", None).remove(TASKS, "task-1"),
        lambda view: Ledger(view, MEMORY_STORE, "alice", None).trim("chan-1", 1),
    ):
        with pytest.raises(ScopeDenied):
            await port.read(wrong)
    assert [] == await port.read(lambda view: Reader(view, SIDEKICK_STATUS).records(MEMORIES))


async def test_no_tool_leaves_an_exception_to_its_caller_for_a_wrong_input(on_files: Any) -> None:
    for tool in DESCRIPTORS:
        output = await on_files.direct(tool.name, {"nonsense": 1})
        assert output.error.code == "INVALID_INPUT", tool.name
