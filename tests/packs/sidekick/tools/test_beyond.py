"""X1 to X12, X15, X16, X22 and X23: what the shipped pack got wrong or left open."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.sidekick.records import MEMORIES, MESSAGES, ROUTINES, TASKS
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort


async def make(sidekick: Any, **fields: Any) -> dict[str, Any]:
    return (await sidekick.ok("task:create", {"title": "a task", **fields}))["task"]


async def test_x1_a_snippet_is_kept(sidekick: Any) -> None:
    await sidekick.ok("memory:store", type="snippet", content="ls -l")
    assert ["snippet"] == [one.type for one in await sidekick.stored(MEMORIES)]


async def test_x2_a_recall_of_snippets_has_only_those(sidekick: Any) -> None:
    await sidekick.ok("memory:store", type="snippet", content="ls -l")
    await sidekick.ok("memory:store", type="note", content="ls -l lists")
    for query in ({}, {"query": "ls"}):
        data = await sidekick.ok("memory:recall", type="snippet", **query)
        assert ["snippet"] == [item["type"] for item in data["items"]]


async def test_x3_search_looks_at_title_and_description(sidekick: Any) -> None:
    await make(sidekick, title="Call the bank", description="about the Mortgage")
    await make(sidekick, title="Call mother")
    for search, count in (("CALL", 2), ("mortgage bank", 1), ("mortgage mother", 0), ("  ", 2)):
        assert (await sidekick.ok("task:list", search=search))["count"] == count, search


async def test_x4_since_leaves_out_what_is_older(sidekick: Any) -> None:
    await sidekick.ok("channel:send", content="old")
    sidekick.later(60)
    await sidekick.ok("channel:send", content="new")
    data = await sidekick.ok("channel:receive", since="2026-01-01T01:01:00+01:00")
    assert ["new"] == [item["content"] for item in data["items"]]
    assert (await sidekick.ok("channel:receive", since="2999-01-01T00:00:00Z"))["count"] == 0


async def test_x5_a_routine_keeps_cron_and_enabled_and_the_list_filters(sidekick: Any) -> None:
    given = {"steps": ["task:list"], "cron": "0 9 * * *"}
    await sidekick.ok("routine:create", name="on", **given)
    await sidekick.ok("routine:create", name="off", enabled=False, **given)
    assert [("on", "0 9 * * *", True), ("off", "0 9 * * *", False)] == [
        (one.name, one.cron, one.enabled) for one in await sidekick.stored(ROUTINES)
    ]
    data = await sidekick.ok("routine:list", enabled_only=True)
    assert ["on"] == [item["name"] for item in data["items"]]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("soon", id="X6 words"),
        pytest.param("2026-03-01", id="a date alone"),
        pytest.param("2026-03-01T09:00:00", id="no offset"),
        pytest.param("2026-02-30T09:00:00Z", id="no such day"),
        pytest.param("", id="blank"),
    ],
)
async def test_x6_a_time_that_is_none_is_refused(on_files: Any, text: str) -> None:
    made = await make(on_files)
    for tool, given, field in (
        ("task:create", {"title": "x"}, "due_at"),
        ("task:create", {"title": "x"}, "defer_until"),
        ("task:schedule", {"id": made["id"]}, "due_at"),
        ("task:list", {}, "due_before"),
        ("channel:receive", {}, "since"),
        ("memory:recall", {}, "since"),
    ):
        output = await on_files.direct(tool, {**given, field: text})
        assert output.error.code == "INVALID_INPUT"
        assert [f"/{field}"] == [one["pointer"] for one in output.error.details["problems"]]
        assert await on_files.code(tool, {**given, field: text}) == "INVALID_INPUT"
    assert len(await on_files.stored(TASKS)) == 1


@pytest.mark.parametrize("text", ["banana", "* * * *", "0 0 9 * * *", "61 * * * *", "0 0 31 2 *"])
async def test_x7_a_cron_expression_that_is_none_is_refused(on_files: Any, text: str) -> None:
    made = await make(on_files)
    routine = {"name": "x", "steps": ["task:list"]}
    for tool, given in (("task:schedule", {"id": made["id"]}), ("routine:create", routine)):
        assert await on_files.code(tool, cron=text, **given) == "INVALID_INPUT"


async def test_x8_a_schedule_of_nothing_is_refused(sidekick: Any) -> None:
    made = await make(sidekick)
    assert await sidekick.code("task:schedule", id=made["id"]) == "INVALID_INPUT"
    assert [("task:create", "create")] == await sidekick.trail()


async def test_x9_completing_twice_keeps_the_time_and_audits_once(sidekick: Any) -> None:
    made = await make(sidekick)
    first = await sidekick.ok("task:complete", id=made["id"], note="done")
    sidekick.later()
    assert first == await sidekick.ok("task:complete", id=made["id"])
    assert len(await sidekick.trail()) == 2
    again = (await sidekick.ok("task:complete", id=made["id"], note="really"))["task"]
    assert (first["task"]["completed_at"], "really") == (again["completed_at"], again["note"])


async def test_x10_of_three_forgets_at_once_one_succeeds(sidekick: Any) -> None:
    kept = (await sidekick.ok("memory:store", type="note", content="x"))["memory"]
    outputs = await asyncio.gather(
        *(sidekick.call("memory:forget", id=kept["id"]) for _ in range(3))
    )
    codes = sorted(output.error.code if output.error else "ok" for output in outputs)
    assert ["NOT_FOUND", "NOT_FOUND", "ok"] == codes
    assert [("memory:store", "create"), ("memory:forget", "delete")] == await sidekick.trail()


async def test_x11_reads_on_an_empty_workspace_create_nothing(sidekick: Any) -> None:
    for tool in (
        "task:list", "memory:recall", "channel:receive", "channel:list", "routine:list",
        "sidekick:status", "sidekick:export",
    ):  # fmt: skip
        await sidekick.ok(tool)
    await sidekick.code("routine:run", id="routine-00000000")
    assert [] == list(sidekick.root.parent.iterdir())
    assert (await sidekick.ok("sidekick:status"))["initialized"] is False


@pytest.fixture
async def unwritable(tmp_path: Path) -> AsyncIterator[Any]:
    """A way to take the right to write away: by modes, and from root, who passes over them, by
    the lock that every writer needs."""
    port = FilesystemStoragePort(tmp_path / ".sidekick", lock_wait_s=0.01)
    changed: list[tuple[Path, int]] = []
    with contextlib.ExitStack() as held:

        def take() -> None:
            lock = held.enter_context((port.root_dir / ".lock").open("ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            for path in [*port.root_dir.rglob("*"), port.root_dir]:
                changed.append((path, path.stat().st_mode))
                path.chmod(0o555 if path.is_dir() else 0o444)

        yield port, take
    for path, mode in changed:
        path.chmod(mode)
    await port.close()


async def test_x12_reads_of_a_read_only_workspace_succeed(on_port: Any, unwritable: Any) -> None:
    port, take = unwritable
    async for sidekick in on_port(port):
        made = (await sidekick.ok("routine:create", name="r", steps=["task:list"]))["routine"]
        take()
        assert (await sidekick.ok("sidekick:status"))["routines"] == 1
        assert (await sidekick.ok("sidekick:export"))["data"]["routines"]
        assert (await sidekick.ok("routine:run", id=made["id"]))["plan_only"] is True
        assert await sidekick.code("task:create", title="x") in {
            "SIDEKICK_STORE_BUSY", "SIDEKICK_STORAGE_FAILED",
        }  # fmt: skip
        assert [("routine:create", "create")] == await sidekick.trail()


async def test_x15_a_corrupt_store_is_named_and_others_work(on_files: Any) -> None:
    await make(on_files)
    await on_files.ok("memory:store", type="note", content="still here")
    file = on_files.root / "tasks" / "tasks.json"
    file.write_text('[{"id": "task-')
    output = await on_files.call("task:list")
    assert output.error.code == "SIDEKICK_STORE_CORRUPT"
    assert "tasks.json" in output.error.message
    assert await on_files.code("task:create", title="x") == "SIDEKICK_STORE_CORRUPT"
    assert (await on_files.ok("memory:recall", query="still"))["count"] == 1
    assert '[{"id": "task-' == file.read_text()


async def test_x16_one_channel_never_empties_another(sidekick: Any) -> None:
    await sidekick.ok("channel:send", channel="b", content="mine")
    for number in range(101):
        await sidekick.ok("channel:send", channel="a", content=f"{number}")
    data = await sidekick.ok("channel:receive", channel="b")
    assert ["mine"] == [item["content"] for item in data["items"]]
    assert len(await sidekick.stored(MESSAGES)) == 101


async def test_x22_a_dry_run_reserves_no_id(sidekick: Any) -> None:
    tried = (await sidekick.ok("task:create", title="x", dry_run=True))["task"]
    made = (await sidekick.ok("task:create", title="x"))["task"]
    assert tried["id"] != made["id"]
    assert {**tried, "id": ""} == {**made, "id": ""}


async def test_x23_doubtful_steps_are_kept_with_a_warning(sidekick: Any) -> None:
    steps = ["task:list", "nobody:knows", {"tool": "routine:run", "input": {"id": "r"}}, " "]
    data = await sidekick.ok("routine:create", name="x", steps=steps)
    assert ["task:list", "nobody:knows", "routine:run"] == [
        step["tool"] for step in data["routine"]["steps"]
    ]
    assert [
        "step 1: there is no tool nobody:knows now",
        "step 2: routine:run only plans; its steps are not called",
        "step 3: is no tool's name and no object with one; left out",
    ] == data["warnings"]


async def test_a_dry_run_that_the_caller_asks_for_stores_nothing(sidekick: Any) -> None:
    output = await sidekick.direct("task:create", {"title": "x"}, dry_run=True)
    assert output.data["dry_run"] is True
    assert [] == await sidekick.stored(TASKS)
