"""R1 to R17: the routine tools of the core tool set, on every adapter."""

from __future__ import annotations

import re
from typing import Any

from conductor_packs.sidekick.records import MEMORIES, ROUTINES, TASKS

STEPS = [{"tool": "task:list", "input": {"limit": 3}}]


async def routine(sidekick: Any, steps: Any = STEPS, **fields: Any) -> dict[str, Any]:
    given = {"name": "Morning", "steps": steps, **fields}
    return (await sidekick.ok("routine:create", given))["routine"]


async def test_r1_create_returns_name_and_steps(sidekick: Any) -> None:
    made = await routine(sidekick)
    assert re.fullmatch(r"routine-[0-9a-f]{8}", made["id"])
    assert ("Morning", STEPS) == (made["name"], made["steps"])


async def test_r2_a_routine_is_stored(sidekick: Any) -> None:
    await routine(sidekick)
    assert ["Morning"] == [one.name for one in await sidekick.stored(ROUTINES)]


async def test_r3_create_is_audited(sidekick: Any) -> None:
    made = await routine(sidekick)
    [event] = await sidekick.port.audit_events()
    assert ("routine:create", "create", (made["id"],)) == (event.tool, event.op, event.ids)


async def test_r4_a_dry_create_keeps_nothing(sidekick: Any) -> None:
    data = await sidekick.ok("routine:create", name="x", steps=STEPS, dry_run=True)
    assert data["dry_run"] is True
    assert [] == await sidekick.stored(ROUTINES)


async def test_r5_create_without_a_name(sidekick: Any) -> None:
    assert await sidekick.code("routine:create", steps=STEPS) == "INVALID_INPUT"


async def test_r6_create_without_steps(sidekick: Any) -> None:
    assert await sidekick.code("routine:create", name="x", steps=[]) == "INVALID_INPUT"
    direct = await sidekick.direct("routine:create", {"name": "x", "steps": []})
    assert direct.error.code == "INVALID_INPUT"


async def test_r7_a_string_is_a_step_with_empty_input(sidekick: Any) -> None:
    assert [{"tool": "task:list", "input": {}}] == (await routine(sidekick, ["task:list"]))["steps"]


async def test_r8_strings_and_objects_mix_in_order(sidekick: Any) -> None:
    made = await routine(sidekick, [*STEPS, "sidekick:status"])
    assert [*STEPS, {"tool": "sidekick:status", "input": {}}] == made["steps"]


async def test_r9_what_is_no_step_is_left_out_with_a_warning(sidekick: Any) -> None:
    given = {"name": "x", "steps": [42, None, {"tool": "task:list"}]}
    data = (await sidekick.direct("routine:create", given)).data
    assert [{"tool": "task:list", "input": {}}] == data["routine"]["steps"]
    assert ["step 0", "step 1"] == [warning[:6] for warning in data["warnings"]]


async def test_r10_no_step_at_all_is_refused_with_the_index(sidekick: Any) -> None:
    output = await sidekick.direct("routine:create", {"name": "x", "steps": [42, {"tool": " "}]})
    assert output.error.code == "INVALID_INPUT"
    assert "step 0" in output.error.message
    assert ["/steps/0", "/steps/1"] == [
        problem["pointer"] for problem in output.error.details["problems"]
    ]


async def test_r11_a_list_of_nothing(sidekick: Any) -> None:
    assert {"items": [], "count": 0} == await sidekick.ok("routine:list")


async def test_r12_list_returns_all(sidekick: Any) -> None:
    await routine(sidekick)
    await routine(sidekick)
    assert (await sidekick.ok("routine:list"))["count"] == 2


async def test_r13_list_up_to_a_limit(sidekick: Any) -> None:
    await routine(sidekick)
    sidekick.later()
    newer = await routine(sidekick)
    items = (await sidekick.ok("routine:list", limit=1))["items"]
    assert [newer["id"]] == [item["id"] for item in items]


async def test_r14_run_plans_and_calls_nothing(sidekick: Any) -> None:
    steps = [
        {"tool": "task:create", "input": {"title": "from a routine"}},
        {"tool": "memory:store", "input": {"type": "note", "content": "from a routine"}},
    ]
    made = await routine(sidekick, steps)
    data = await sidekick.ok("routine:run", id=made["id"])
    assert (made["id"], "Morning", True) == (data["routine_id"], data["name"], data["plan_only"])
    assert [{"index": index, **step} for index, step in enumerate(steps)] == data["plan"]
    assert data["governance"]["dispatch_required"] is True
    assert [] == await sidekick.stored(TASKS)
    assert [] == await sidekick.stored(MEMORIES)


async def test_r15_run_leaves_one_execute_event(sidekick: Any) -> None:
    made = await routine(sidekick)
    await sidekick.ok("routine:run", id=made["id"])
    event = (await sidekick.port.audit_events())[-1]
    assert ("routine:run", "execute", (made["id"],)) == (event.tool, event.op, event.ids)
    assert {"plan_only": True} == event.details
    assert len(await sidekick.trail()) == 2


async def test_r16_running_an_unknown_routine(sidekick: Any) -> None:
    assert await sidekick.code("routine:run", id="routine-00000000") == "NOT_FOUND"
    assert [] == await sidekick.trail()


async def test_r17_running_without_an_id(sidekick: Any) -> None:
    assert await sidekick.code("routine:run") == "INVALID_INPUT"


async def test_a_step_that_is_no_tool_shape_is_named(sidekick: Any) -> None:
    given = {"name": "x", "steps": [{"tool": "task:list", "when": 1}, {"tool": "a", "input": 3}]}
    output = await sidekick.direct("routine:create", given)
    assert [
        "step 0: has keys other than tool and input; left out",
        "step 1: has an input that is no object; left out",
    ] == [problem["message"] for problem in output.error.details["problems"]]


async def test_a_strict_routine_is_never_shortened(sidekick: Any) -> None:
    given = {"name": "x", "steps": ["task:list", "nobody:knows"], "strict": True}
    assert await sidekick.code("routine:create", given) == "INVALID_INPUT"
    assert [] == await sidekick.stored(ROUTINES)
