"""The seven later tools and the fields of the full tool set, on every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from conductor_packs.sidekick.records import CHANNELS, MESSAGES, ROUTINES, TASKS
from conductor_sdk.testing.tools import ToolCaller

DESTRUCTIVE = ["task:cancel", "memory:forget", "channel:delete", "routine:delete"]


async def make(sidekick: Any, title: str, **fields: Any) -> str:
    return (await sidekick.ok("task:create", {"title": title, **fields}))["task"]["id"]


async def titles(sidekick: Any, **wanted: Any) -> list[str]:
    return sorted(item["title"] for item in (await sidekick.ok("task:list", wanted))["items"])


async def test_update_changes_only_what_is_named(sidekick: Any) -> None:
    task_id = await make(sidekick, "old", priority="P1", tags=["x"], description="d")
    sidekick.later()
    changed = (await sidekick.ok("task:update", id=task_id, title="new", description=None))["task"]
    assert ("new", "P1", ["x"]) == (changed["title"], changed["priority"], changed["tags"])
    assert "description" not in changed
    assert changed["updated_at"] > changed["created_at"]
    event = (await sidekick.port.audit_events())[-1]
    assert ("update", {"fields": ["description", "title"]}) == (event.op, event.details)


async def test_update_of_nothing_is_refused_and_without_a_difference_is_silent(
    sidekick: Any,
) -> None:
    task_id = await make(sidekick, "same")
    assert await sidekick.code("task:update", id=task_id) == "INVALID_INPUT"
    sidekick.later()
    kept = (await sidekick.ok("task:update", id=task_id, title="same", note=None))["task"]
    assert kept["updated_at"] == kept["created_at"]
    assert len(await sidekick.trail()) == 1


async def test_update_is_dry_where_it_is_asked_to_be(sidekick: Any) -> None:
    task_id = await make(sidekick, "old")
    data = await sidekick.ok("task:update", id=task_id, title="new", dry_run=True)
    assert ("new", True) == (data["task"]["title"], data["dry_run"])
    assert ["old"] == await titles(sidekick)


async def test_a_schedule_is_cleared_with_null(sidekick: Any) -> None:
    task_id = await make(sidekick, "x", due_at="2026-02-01T00:00:00Z")
    data = await sidekick.ok("task:schedule", id=task_id, due_at=None, cron="0 9 * * *")
    assert ("0 9 * * *", False) == (data["task"]["cron"], "due_at" in data["task"])


async def test_cancel_is_final_and_names_who_waits(sidekick: Any) -> None:
    first = await make(sidekick, "first")
    second = await make(sidekick, "second", depends_on=[first])
    data = await sidekick.ok("task:cancel", id=first, reason="not needed")
    assert ("canceled", "not needed") == (data["task"]["status"], data["task"]["reason"])
    assert [second] == data["dependents"]
    sidekick.later()
    assert data == await sidekick.ok("task:cancel", id=first, reason="another")
    assert len(await sidekick.trail()) == 3
    for tool, more in (
        ("task:complete", {}), ("task:update", {"title": "x"}),
        ("task:schedule", {"cron": "* * * * *"}),
    ):  # fmt: skip
        assert await sidekick.code(tool, id=first, **more) == "CONFLICT"
    assert ["second"] == await titles(sidekick, view="blocked")
    [listed] = (await sidekick.ok("task:list", view="blocked"))["items"]
    assert [first] == listed["blocked_by"]
    assert ["first"] == await titles(sidekick, status="canceled")


async def test_a_done_task_is_not_canceled(sidekick: Any) -> None:
    task_id = await make(sidekick, "x")
    await sidekick.ok("task:complete", id=task_id)
    assert await sidekick.code("task:cancel", id=task_id) == "CONFLICT"
    assert await sidekick.code("task:cancel", id="task-00000000") == "NOT_FOUND"


async def test_a_dry_cancel_tells_who_would_wait(sidekick: Any) -> None:
    first = await make(sidekick, "first")
    second = await make(sidekick, "second", depends_on=[first])
    data = await sidekick.ok("task:cancel", id=first, dry_run=True)
    assert ([second], True) == (data["dependents"], data["dry_run"])
    assert ["pending"] * 2 == [one.status for one in await sidekick.stored(TASKS)]


async def test_completing_the_last_dependency_names_what_is_unblocked(sidekick: Any) -> None:
    first, second = await make(sidekick, "first"), await make(sidekick, "second")
    third = await make(sidekick, "third", depends_on=[first, second, first])
    assert ["first", "second"] == await titles(sidekick, view="ready")
    assert "unblocked" not in await sidekick.ok("task:complete", id=first)
    tried = await sidekick.ok("task:complete", id=second, dry_run=True)
    assert [third] == tried["unblocked"]
    assert [third] == (await sidekick.ok("task:complete", id=second))["unblocked"]
    assert ["third"] == await titles(sidekick, view="ready")


async def test_dependencies_that_cannot_be_are_refused(sidekick: Any) -> None:
    first = await make(sidekick, "first")
    second = await make(sidekick, "second", depends_on=[first])
    third = await make(sidekick, "third", depends_on=[second])
    gone = await make(sidekick, "gone")
    await sidekick.ok("task:cancel", id=gone)
    for depends_on, message in (
        (["task-00000000"], "there is no task task-00000000"),
        ([gone], f"{gone} is canceled"),
        ([first], f"goes round in a circle: {first} > {first}"),
        ([third], f"goes round in a circle: {first} > {third} > {second} > {first}"),
    ):
        output = await sidekick.call("task:update", id=first, depends_on=depends_on)
        assert output.error.code == "INVALID_INPUT"
        assert [message] == [one["message"] for one in output.error.details["problems"]]
    assert await sidekick.code("task:create", title="x", depends_on=[gone]) == "INVALID_INPUT"


async def test_deferred_tasks_are_not_ready_until_their_time(sidekick: Any) -> None:
    await make(sidekick, "later", defer_until="2026-01-01T06:00:00Z")
    await make(sidekick, "now")
    assert ["later"] == await titles(sidekick, view="deferred")
    assert ["now"] == await titles(sidekick, view="ready")
    sidekick.later(6 * 3600)
    assert [] == await titles(sidekick, view="deferred")
    assert ["later", "now"] == await titles(sidekick, view="ready")


async def test_due_is_today_and_overdue_is_past(sidekick: Any) -> None:
    await make(sidekick, "tonight", due_at="2026-01-01T22:00:00Z")
    await make(sidekick, "tomorrow", due_at="2026-01-02T00:00:00Z")
    done = await make(sidekick, "done", due_at="2026-01-01T01:00:00Z")
    await sidekick.ok("task:complete", id=done)
    daily = await make(sidekick, "daily")
    await sidekick.ok("task:schedule", id=daily, cron="0 9 * * *")
    assert ["daily", "tonight"] == await titles(sidekick, view="due")
    assert [] == await titles(sidekick, view="overdue")
    sidekick.later(23 * 3600)
    assert ["tonight"] == await titles(sidekick, view="overdue")
    assert ["tonight"] == await titles(sidekick, view="due")


async def test_a_view_counts_only_pending_tasks_and_joins_other_filters(sidekick: Any) -> None:
    done = await make(sidekick, "done")
    await sidekick.ok("task:complete", id=done)
    await make(sidekick, "urgent", priority="P0")
    await make(sidekick, "calm")
    assert ["urgent"] == await titles(sidekick, view="ready", priority="P0")


async def test_a_memory_is_changed_and_found_by_its_new_words(sidekick: Any) -> None:
    given = {"type": "note", "content": "tea", "tags": ["drink"]}
    kept = (await sidekick.ok("memory:store", given))["memory"]
    sidekick.later()
    changed = (await sidekick.ok("memory:update", id=kept["id"], content="coffee"))["memory"]
    assert ("coffee", "note", ["drink"]) == (changed["content"], changed["type"], changed["tags"])
    assert (await sidekick.ok("memory:recall", query="coffee"))["count"] == 1
    assert (await sidekick.ok("memory:recall", query="tea"))["count"] == 0
    event = (await sidekick.port.audit_events())[-1]
    assert ("memory:update", {"fields": ["content"]}) == (event.tool, event.details)


async def test_a_memory_update_refuses_and_previews(sidekick: Any) -> None:
    kept = (await sidekick.ok("memory:store", type="note", content="tea"))["memory"]
    assert await sidekick.code("memory:update", id=kept["id"]) == "INVALID_INPUT"
    assert await sidekick.code("memory:update", id="mem-00000000", type="fact") == "NOT_FOUND"
    data = await sidekick.ok("memory:update", id=kept["id"], tags=["x"], dry_run=True)
    assert (["x"], True) == (data["memory"]["tags"], data["dry_run"])
    assert kept == (await sidekick.ok("memory:update", id=kept["id"], type="note"))["memory"]
    assert len(await sidekick.trail()) == 1


async def test_channels_are_listed_with_what_they_hold(sidekick: Any) -> None:
    await sidekick.ok("channel:configure", name="quiet")
    sidekick.later()
    await sidekick.ok("channel:send", channel="busy", content="one")
    sidekick.later()
    await sidekick.ok("channel:send", channel="busy", content="two")
    items = (await sidekick.ok("channel:list"))["items"]
    assert [("busy", 2, "2026-01-01T00:00:02.000Z"), ("quiet", 0, None)] == [
        (item["name"], item["message_count"], item.get("last_message_at")) for item in items
    ]
    assert (await sidekick.ok("channel:list", limit=1, type="terminal"))["count"] == 1


async def test_a_channel_is_deleted_with_its_messages_alone(sidekick: Any) -> None:
    await sidekick.ok("channel:send", channel="a", content="one")
    await sidekick.ok("channel:send", channel="b", content="two")
    tried = await sidekick.ok("channel:delete", name="a", dry_run=True)
    assert (1, True) == (tried["deleted_messages"], tried["dry_run"])
    data = await sidekick.ok("channel:delete", name="a")
    assert data["deleted_messages"] == 1
    assert ["b"] == [one.name for one in await sidekick.stored(CHANNELS)]
    assert ["two"] == [one.content for one in await sidekick.stored(MESSAGES)]
    assert ("channel:delete", "delete") == (await sidekick.trail())[-1]
    assert await sidekick.code("channel:delete", name="a") == "NOT_FOUND"


async def test_a_routine_is_changed_stopped_and_deleted(sidekick: Any) -> None:
    given = {"name": "r", "steps": ["task:list"], "cron": "0 9 * * *"}
    made = (await sidekick.ok("routine:create", given))["routine"]
    sidekick.later()
    data = await sidekick.ok("routine:update", id=made["id"], enabled=False, steps=["x:y"])
    assert (False, "0 9 * * *") == (data["routine"]["enabled"], data["routine"]["cron"])
    assert ["step 0: there is no tool x:y now"] == data["warnings"]
    cleared = await sidekick.ok("routine:update", id=made["id"], cron=None)
    assert "cron" not in cleared["routine"]
    assert (await sidekick.ok("routine:list", enabled_only=True))["count"] == 0
    assert await sidekick.code("routine:update", id=made["id"]) == "INVALID_INPUT"
    strict = {"id": made["id"], "steps": ["x:y"], "strict": True}
    assert await sidekick.code("routine:update", strict) == "INVALID_INPUT"
    assert {"deleted_id": made["id"]} == await sidekick.ok("routine:delete", id=made["id"])
    assert [] == await sidekick.stored(ROUTINES)
    assert await sidekick.code("routine:delete", id=made["id"]) == "NOT_FOUND"
    assert ["create", "update", "update", "delete"] == [op for _, op in await sidekick.trail()]


async def test_a_dry_deletion_keeps_the_routine(sidekick: Any) -> None:
    made = (await sidekick.ok("routine:create", name="r", steps=["task:list"]))["routine"]
    same = await sidekick.ok("routine:update", id=made["id"], name="r", dry_run=True)
    assert same["dry_run"] is True
    data = await sidekick.ok("routine:delete", id=made["id"], dry_run=True)
    assert {"deleted_id": made["id"], "dry_run": True} == data
    assert len(await sidekick.stored(ROUTINES)) == 1


@pytest.mark.parametrize("tool", DESTRUCTIVE)
async def test_what_destroys_needs_an_approval(on_files: Any, tool: str) -> None:
    given = {"name": "x"} if tool == "channel:delete" else {"id": "x"}
    caller = ToolCaller(actor="alice")
    output = await on_files.harness.call_tool(tool, given, caller=caller)
    assert output.error.code == "APPROVAL_REQUIRED"


async def test_the_core_tool_set_has_no_later_tool_and_no_later_field(
    open_with: Callable[..., AsyncIterator[Any]],
) -> None:
    async for core in open_with(toolset="core"):
        assert len(core.harness.tools.names()) == 16
        assert await core.code("task:update", id="x", title="y") == "TOOL_NOT_FOUND"
        assert await core.code("task:create", title="x", depends_on=["y"]) == "INVALID_INPUT"
        assert await core.code("task:list", view="ready") == "INVALID_INPUT"
        assert await core.code("task:list", status="canceled") == "INVALID_INPUT"
        kept = (await core.ok("memory:store", type="note", content="x"))["memory"]
        caller = ToolCaller(actor="alice")
        output = await core.harness.call_tool("memory:forget", {"id": kept["id"]}, caller=caller)
        assert output.success
