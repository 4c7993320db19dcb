"""The operations as tools: one table, the same refusals, nothing done in a preview."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.plan.operations import OPERATIONS
from conductor_packs.plan.pack import pack
from conductor_packs.plan.tools import input_schema, manifests
from conductor_sdk.event import KernelEvent
from conductor_sdk.testing import PackHarness, run_conformance
from conductor_sdk.tool_output import ToolOutput


async def call(harness: PackHarness, tool: str, **fields: Any) -> ToolOutput:
    return await harness.call_tool(tool, fields)


async def good(harness: PackHarness, tool: str, **fields: Any) -> Mapping[str, Any]:
    answer = await call(harness, tool, **fields)
    assert answer.success, answer.error
    return answer.data or {}


@pytest.fixture
async def harness(tmp_path: Path) -> Any:
    async with PackHarness(pack, workspace=tmp_path) as made:
        yield made


async def test_agents_can_work_through_tools_alone(harness: PackHarness) -> None:
    await good(harness, "plan:create", plan_id="P", title="Day")
    for item_id in ("A", "B"):
        await good(harness, "item:add", plan_id="P", item_id=item_id, title=item_id)
    await good(harness, "link:add", from_item_id="B", to_item_id="A")
    claim = await good(harness, "item:claim", plan_id="P")
    assert ("A", 1) == (claim["item_id"], claim["token"])
    await good(harness, "item:transition", item_id="A", to_state="DONE", expected_version=2,
               token=1)  # fmt: skip
    ready = await good(harness, "plan:ready", plan_id="P")
    assert ["B"] == [each["item_id"] for each in ready["ready"]]
    shown = await good(harness, "plan:show", plan_id="P")
    assert ["DONE", "TODO"] == [item["state"] for item in shown["items"]]


async def test_a_refusal_is_an_answer_with_a_stable_code(harness: PackHarness) -> None:
    await good(harness, "plan:create", plan_id="P", title="Day")
    await good(harness, "item:add", plan_id="P", item_id="A", title="A")
    late = await call(harness, "item:transition", item_id="A", to_state="DONE", expected_version=9)
    missing = await call(harness, "plan:show", plan_id="Q")
    wrong = await call(harness, "item:add", plan_id="P")
    assert ["PLAN_CONFLICT", "NOT_FOUND", "INVALID_INPUT"] == [
        answer.error.code for answer in (late, missing, wrong) if answer.error is not None
    ]
    assert late.error is not None
    assert late.error.details is not None
    assert (9, 1) == (
        late.error.details["expected_version"], late.error.details["current_version"],
    )  # fmt: skip


async def test_a_preview_changes_nothing(harness: PackHarness) -> None:
    answer = await good(harness, "plan:create", plan_id="P", title="Day", dry_run=True)
    assert (True, "P") == (answer["dry_run"], answer["plan_id"])
    assert {"plans": []} == await good(harness, "plan:list")


async def test_a_key_in_the_input_is_one_change(harness: PackHarness) -> None:
    await good(harness, "plan:create", plan_id="P", title="Day")
    for _ in range(2):
        await good(harness, "item:add", plan_id="P", title="one", idempotency_key="k")
    assert 1 == len((await good(harness, "item:list", plan_id="P"))["items"])


async def test_agents_behind_one_credential_are_told_apart(harness: PackHarness) -> None:
    await good(harness, "plan:create", plan_id="P", title="Day")
    await good(harness, "item:add", plan_id="P", item_id="A", title="A", assigned_to="Codex")
    refused = await call(harness, "item:claim", item_id="A", agent="Mary")
    assert refused.error is not None
    assert "PLAN_NOT_CLAIMABLE" == refused.error.code
    claim = await good(harness, "item:claim", plan_id="P", agent="Codex")
    assert claim["holder"].endswith("/Codex")
    held = await call(harness, "item:claim", item_id="A")
    assert held.error is not None
    assert "PLAN_CLAIM_HELD" == held.error.code


def test_every_operation_is_a_tool_with_a_closed_schema() -> None:
    names = [tool.name for tool in manifests()]
    assert [operation.tool for operation in OPERATIONS] == names
    assert len(set(names)) == len(names)
    for operation in OPERATIONS:
        schema = input_schema(operation)
        assert ("object", False) == (schema["type"], schema["additionalProperties"])
        assert ("dry_run" in schema["properties"]) == (operation.access == "write")
        assert "$ref" not in str(schema)


def test_the_pack_conforms() -> None:
    report = run_conformance(pack)
    assert [] == [result for result in report.results if not result.passed]


def event(kind: str, event_id: str, **payload: Any) -> KernelEvent:
    return KernelEvent(2, kind, event_id, "2026-01-01T00:00:00Z", "control", payload)


async def test_the_conductor_creates_and_assigns_items_once(harness: PackHarness) -> None:
    created = event("conductor:plan_item_created", "evt-1", plan_id="P", plan_title="Shared",
                    item_id="A", title="From afar")  # fmt: skip
    assigned = event("conductor:plan_item_assigned", "evt-2", item_id="A", assigned_to="Codex")
    for each in (created, assigned, created, assigned):
        await harness.deliver(each)
    [item] = (await good(harness, "item:list", plan_id="P"))["items"]
    assert ("From afar", "Codex", 2) == (item["title"], item["assigned_to"], item["version"])


async def test_a_resent_assignment_does_not_undo_a_later_one(harness: PackHarness) -> None:
    first = event("conductor:plan_item_assigned", "evt-1", plan_id="P", plan_title="Shared",
                  item_id="A", title="t", assigned_to="Codex")  # fmt: skip
    await harness.deliver(first)
    await harness.deliver(
        event("conductor:plan_item_assigned", "evt-2", item_id="A", assigned_to="Mary")
    )
    from conductor_packs.plan import handlers

    again = await handlers.on_item_assigned(typed(first), harness.context)
    assert "replayed" == again.status
    [item] = (await good(harness, "item:list", plan_id="P"))["items"]
    assert "Mary" == item["assigned_to"]


def typed(said: KernelEvent) -> KernelEvent:
    import msgspec

    from conductor_packs.plan.handlers import ItemAssigned

    return msgspec.structs.replace(said, payload=msgspec.convert(said.payload, ItemAssigned))


async def test_an_assignment_of_nothing_is_a_dead_letter(harness: PackHarness) -> None:
    answer = await harness.deliver(
        event("conductor:plan_item_assigned", "evt-1", item_id="Z", assigned_to="Codex")
    )
    assert "reject" == answer.status


async def test_changes_are_pushed_once_in_order_and_heartbeats_are_not(
    harness: PackHarness,
) -> None:
    from conductor_packs.plan.feed import tick
    from conductor_packs.plan.store import Plans

    harness.connect()
    await good(harness, "plan:create", plan_id="P", title="Day")
    await good(harness, "item:add", plan_id="P", item_id="A", title="A")
    await good(harness, "item:claim", item_id="A", ttl_s=60)
    await good(harness, "item:heartbeat", item_id="A", token=1)
    plans = Plans(harness.journal, harness.clock)
    assert 3 == await tick(harness.context, plans)
    harness.clock.advance(100)
    assert 1 == await tick(harness.context, plans)
    assert 0 == await tick(harness.context, plans)
    assert ["plan:plan_created", "plan:item_added", "plan:item_claimed",
            "plan:item_lease_expired"] == [each.kind for each in harness.pushed]  # fmt: skip
    added = harness.pushed[1].payload
    assert ("A", "PLAN_ITEM_ADDED", 2) == (
        added["item_id"], added["event_type"], added["sequence"],
    )  # fmt: skip


async def test_a_crash_between_push_and_forgetting_repeats_the_same_event(
    harness: PackHarness,
) -> None:
    from conductor_packs.plan.feed import _event, tick
    from conductor_packs.plan.store import Plans

    harness.connect()
    await good(harness, "plan:create", plan_id="P", title="Day")
    plans = Plans(harness.journal, harness.clock)
    [waiting] = await plans.unsent(10)
    await harness.context.sync_port.push_kernel_events([_event(harness.context, waiting)])
    await tick(harness.context, plans)
    assert 1 == len({each.event_id for each in harness.pushed})
