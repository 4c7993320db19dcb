"""Y1 to Y11 and U1 to U5: the pack's own tools, and routing by name, on every adapter."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

STORES = ["tasks", "memories", "channels", "messages", "routines"]


async def filled(sidekick: Any) -> None:
    await sidekick.ok("task:create", title="one")
    await sidekick.ok("task:create", title="two")
    await sidekick.ok("memory:store", type="note", content="a note", tags=["x"])
    await sidekick.ok("channel:send", content="hello")
    await sidekick.ok("routine:create", name="r", steps=["task:list"])


async def test_y1_init_says_initialized(sidekick: Any) -> None:
    data = await sidekick.ok("sidekick:init")
    assert {"initialized": True, "root_dir": str(sidekick.root)} == data


async def test_y2_init_twice_succeeds_and_is_audited_once(sidekick: Any) -> None:
    assert await sidekick.ok("sidekick:init") == await sidekick.ok("sidekick:init")
    assert [("sidekick:init", "create")] == await sidekick.trail()


async def test_y3_init_is_audited_with_the_directory(sidekick: Any) -> None:
    await sidekick.ok("sidekick:init")
    [event] = await sidekick.port.audit_events()
    assert ("sidekick:init", "create") == (event.tool, event.op)
    assert {"root_dir": str(sidekick.root)} == event.details


async def test_y4_status_counts_everything(sidekick: Any) -> None:
    await filled(sidekick)
    assert {
        "initialized": True, "version": "0.1.0", "task_count": 2, "pending_tasks": 2,
        "completed_tasks": 0, "canceled_tasks": 0, "memory_entries": 1, "channels": 1,
        "messages": 1, "routines": 1, "audit_events": 5,
    } == await sidekick.ok("sidekick:status")  # fmt: skip


async def test_y5_two_tasks_are_counted_by_state(sidekick: Any) -> None:
    made = (await sidekick.ok("task:create", title="one"))["task"]
    await sidekick.ok("task:create", title="two")
    await sidekick.ok("task:complete", id=made["id"])
    status = await sidekick.ok("sidekick:status")
    assert (2, 1, 1) == tuple(
        status[name] for name in ("task_count", "pending_tasks", "completed_tasks")
    )


async def test_y6_status_leaves_a_read_event_where_the_storage_is_in_use(sidekick: Any) -> None:
    await sidekick.ok("sidekick:init")
    await sidekick.ok("sidekick:status")
    event = (await sidekick.port.audit_events())[-1]
    assert ("sidekick:status", "read", "alice") == (event.tool, event.op, event.actor)
    assert {"task_count": 0} == event.details


async def test_y7_export_has_a_time_and_five_stores(sidekick: Any) -> None:
    await filled(sidekick)
    data = await sidekick.ok("sidekick:export")
    assert ("2026-01-01T00:00:00.000Z", "0.1.0") == (data["exported_at"], data["version"])
    assert [2, 1, 1, 1, 1] == [len(data["data"][store]) for store in STORES]


async def test_y8_export_has_the_audit_trail_by_default(sidekick: Any) -> None:
    await filled(sidekick)
    data = await sidekick.ok("sidekick:export")
    assert ["task:create"] * 2 == [event["tool"] for event in data["data"]["audit"]][:2]
    assert len(data["data"]["audit"]) == 5


async def test_y9_export_without_the_audit_trail(sidekick: Any) -> None:
    await filled(sidekick)
    data = await sidekick.ok("sidekick:export", include_audit=False)
    assert sorted(STORES) == sorted(data["data"])


async def test_y10_export_leaves_an_export_event(sidekick: Any) -> None:
    await filled(sidekick)
    await sidekick.ok("sidekick:export", include_audit=False)
    event = (await sidekick.port.audit_events())[-1]
    assert ("sidekick:export", "export") == (event.tool, event.op)
    assert {"include_audit": False} == event.details


async def test_y11_export_names_no_file(sidekick: Any) -> None:
    await filled(sidekick)
    data = await sidekick.ok("sidekick:export", include_audit=False)
    assert sorted(data) == ["checksum", "data", "exported_at", "version"]
    assert str(sidekick.root) not in json.dumps(data)


async def test_the_checksum_of_an_export_can_be_computed_again(sidekick: Any) -> None:
    await filled(sidekick)
    exported = await sidekick.ok("sidekick:export")
    text = json.dumps(
        exported["data"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    assert "sha256:" + hashlib.sha256(text).hexdigest() == exported["checksum"]
    await sidekick.ok("task:create", title="three")
    assert exported["checksum"] != (await sidekick.ok("sidekick:export"))["checksum"]


async def test_a_dry_init_makes_nothing(sidekick: Any) -> None:
    data = await sidekick.ok("sidekick:init", dry_run=True)
    assert (True, True) == (data["initialized"], data["dry_run"])
    assert [] == await sidekick.trail()
    assert not sidekick.root.exists()


@pytest.mark.parametrize(
    ("group", "foreign"),
    [
        pytest.param("task", "memory:store", id="U1"),
        pytest.param("memory", "task:create", id="U2"),
        pytest.param("channel", "task:create", id="U3"),
        pytest.param("routine", "task:create", id="U4"),
        pytest.param("sidekick", "task:create", id="U5"),
    ],
)
async def test_a_name_outside_of_its_group_is_unknown(
    on_files: Any, group: str, foreign: str
) -> None:
    for name in (f"{group}:nothing", foreign, ""):
        output = await on_files.direct(name, {}, group=group)
        assert output.error.code == "UNKNOWN_TOOL"
