"""T1 to T22: the task tools of the core tool set, on every adapter."""

from __future__ import annotations

import re
from typing import Any

from conductor_packs.sidekick.records import TASKS


async def task(sidekick: Any, **fields: Any) -> dict[str, Any]:
    return (await sidekick.ok("task:create", {"title": "Write the report", **fields}))["task"]


async def test_t1_create_needs_only_a_title(sidekick: Any) -> None:
    made = await task(sidekick)
    assert re.fullmatch(r"task-[0-9a-f]{8}", made["id"])
    assert ("pending", "P2") == (made["status"], made["priority"])


async def test_t2_a_created_task_is_stored(sidekick: Any) -> None:
    made = await task(sidekick)
    [stored] = await sidekick.stored(TASKS)
    assert (made["id"], "Write the report") == (stored.id, stored.title)


async def test_t3_create_leaves_one_audit_event_with_the_caller(sidekick: Any) -> None:
    made = await task(sidekick)
    [event] = await sidekick.port.audit_events()
    assert ("task:create", "create", (made["id"],)) == (event.tool, event.op, event.ids)
    assert event.actor == "alice"


async def test_t4_a_dry_run_echoes_and_stores_nothing(sidekick: Any) -> None:
    data = await sidekick.ok("task:create", title="Only a try", dry_run=True)
    assert data["dry_run"] is True
    assert data["task"]["title"] == "Only a try"
    assert [] == await sidekick.stored(TASKS)
    assert [] == await sidekick.trail()


async def test_t5_create_without_a_title_is_refused(sidekick: Any) -> None:
    assert await sidekick.code("task:create") == "INVALID_INPUT"
    direct = await sidekick.direct("task:create", {})
    assert direct.error.code == "INVALID_INPUT"
    assert direct.error.details == {"problems": [{"pointer": "/title", "message": "is required"}]}


async def test_t6_create_keeps_priority_due_time_tags_and_description(sidekick: Any) -> None:
    given = {
        "priority": "P0", "due_at": "2026-03-01T09:00:00Z", "tags": ["work", "urgent"],
        "description": "All of it",
    }  # fmt: skip
    made = await task(sidekick, **given)
    assert given == {name: made[name] for name in given}


async def test_t7_an_empty_list(sidekick: Any) -> None:
    assert {"items": [], "count": 0} == await sidekick.ok("task:list")


async def test_t8_list_returns_all(sidekick: Any) -> None:
    await task(sidekick)
    await task(sidekick)
    assert (await sidekick.ok("task:list"))["count"] == 2


async def test_t9_list_by_status(sidekick: Any) -> None:
    await task(sidekick)
    assert (await sidekick.ok("task:list", status="done"))["count"] == 0
    assert (await sidekick.ok("task:list", status="pending"))["count"] == 1


async def test_t10_list_by_priority(sidekick: Any) -> None:
    await task(sidekick, priority="P0")
    await task(sidekick, priority="P3")
    data = await sidekick.ok("task:list", priority="P0")
    assert ["P0"] == [item["priority"] for item in data["items"]]


async def test_t11_list_by_tag_in_any_case(sidekick: Any) -> None:
    await task(sidekick, tags=["Work", "q1"])
    await task(sidekick, tags=["home"])
    assert (await sidekick.ok("task:list", tags=["work"]))["count"] == 1
    assert (await sidekick.ok("task:list", tags=["work", "home"]))["count"] == 0


async def test_t12_list_by_due_time_leaves_out_what_has_none(sidekick: Any) -> None:
    await task(sidekick, due_at="2026-01-15T00:00:00Z")
    await task(sidekick, due_at="2027-01-15T00:00:00Z")
    await task(sidekick)
    assert (await sidekick.ok("task:list", due_before="2026-06-01T00:00:00Z"))["count"] == 1


async def test_t13_list_up_to_a_limit_has_the_last_changed_first(sidekick: Any) -> None:
    await task(sidekick, title="older")
    sidekick.later()
    await task(sidekick, title="newer")
    data = await sidekick.ok("task:list", limit=1)
    assert ["newer"] == [item["title"] for item in data["items"]]


async def test_t14_complete_marks_done_and_audits_once(sidekick: Any) -> None:
    made = await task(sidekick)
    sidekick.later()
    done = (await sidekick.ok("task:complete", id=made["id"], note="at last"))["task"]
    assert ("done", "at last") == (done["status"], done["note"])
    assert done["completed_at"] == "2026-01-01T00:00:01.000Z"
    assert [("task:create", "create"), ("task:complete", "update")] == await sidekick.trail()


async def test_t15_a_dry_completion_leaves_the_task_pending(sidekick: Any) -> None:
    made = await task(sidekick)
    data = await sidekick.ok("task:complete", id=made["id"], note="n", dry_run=True)
    assert ("done", "n", True) == (data["task"]["status"], data["task"]["note"], data["dry_run"])
    assert ["pending"] == [one.status for one in await sidekick.stored(TASKS)]


async def test_t16_completing_an_unknown_task(sidekick: Any) -> None:
    assert await sidekick.code("task:complete", id="task-00000000") == "NOT_FOUND"
    assert await sidekick.code("task:complete", id="task-00000000", dry_run=True) == "NOT_FOUND"


async def test_t17_completing_without_an_id(sidekick: Any) -> None:
    assert await sidekick.code("task:complete") == "INVALID_INPUT"


async def test_t18_schedule_sets_the_due_time(sidekick: Any) -> None:
    made = await task(sidekick)
    data = await sidekick.ok("task:schedule", id=made["id"], due_at="2026-02-01T12:00:00+02:00")
    assert data["task"]["due_at"] == "2026-02-01T12:00:00+02:00"


async def test_t19_schedule_sets_a_cron_expression_and_returns_it(sidekick: Any) -> None:
    made = await task(sidekick)
    data = await sidekick.ok("task:schedule", id=made["id"], cron=" 30  9 * * MON ")
    assert data["task"]["cron"] == "30 9 * * MON"
    [listed] = (await sidekick.ok("task:list"))["items"]
    assert listed["next_due_at"] == "2026-01-05T09:30:00.000Z"


async def test_t20_schedule_leaves_one_audit_event(sidekick: Any) -> None:
    made = await task(sidekick)
    await sidekick.ok("task:schedule", id=made["id"], due_at="2026-02-01T00:00:00Z")
    assert ("task:schedule", "update") == (await sidekick.trail())[-1]
    assert len(await sidekick.trail()) == 2


async def test_t21_a_dry_schedule_sets_nothing(sidekick: Any) -> None:
    made = await task(sidekick)
    await sidekick.ok("task:schedule", id=made["id"], due_at="2026-02-01T00:00:00Z", dry_run=True)
    assert [None] == [one.due_at for one in await sidekick.stored(TASKS)]


async def test_t22_scheduling_an_unknown_task(sidekick: Any) -> None:
    given = {"id": "task-00000000", "due_at": "2026-02-01T00:00:00Z"}
    assert await sidekick.code("task:schedule", given) == "NOT_FOUND"


async def test_strings_are_trimmed_and_tags_are_kept_once(sidekick: Any) -> None:
    made = await task(sidekick, title="  a title ", description="  ", tags=[" x ", "", "x", "X"])
    assert ("a title", ["x", "X"]) == (made["title"], made["tags"])
    assert "description" not in made


async def test_more_than_a_limit_is_refused_with_its_place(sidekick: Any) -> None:
    for given, pointer in (
        ({"title": "x" * 501}, "/title"),
        ({"title": "x", "description": "x" * 20_001}, "/description"),
        ({"title": "x", "tags": ["x"] * 51}, "/tags"),
        ({"title": "x", "tags": ["y", "x" * 101]}, "/tags/1"),
    ):
        for output in (
            await sidekick.call("task:create", given),
            await sidekick.direct("task:create", given),
        ):
            assert output.error.code == "INVALID_INPUT"
            assert [pointer] == [one["pointer"] for one in output.error.details["problems"]]


async def test_an_unknown_field_is_refused(sidekick: Any) -> None:
    assert await sidekick.code("task:create", title="x", colour="red") == "INVALID_INPUT"
    direct = await sidekick.direct("task:create", {"title": "x", "colour": "red"})
    problem = {"pointer": "/colour", "message": "is not a field of this tool"}
    assert [problem] == direct.error.details["problems"]
