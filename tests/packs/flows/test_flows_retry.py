"""A run that failed, tried again from its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flow_desk
from conductor_packs.flows import kinds
from conductor_packs.flows.errors import NotFailed
from conductor_sdk.handler import Handled, Reject, Replayed
from conductor_sdk.testing import PackHarness
from conductor_sdk.tool_output import ToolOutput
from flow_pack_harness import Make, ask, at_work, code, ended, event, told, until
from flow_pack_world import COMPLETED, FAILED, RETRY, effects, shout_fails


@pytest.fixture
def harness(make: Make, tmp_path: Path) -> PackHarness:
    """One whose `strong` fails in its last node until the gate is open."""
    made = make()
    shout_fails(tmp_path)
    return made


async def failed_run(harness: PackHarness, flow: str = "strong", number: int = 1) -> str:
    before = len(told(harness, FAILED))
    await ask(harness, flow, number)
    return str((await ended(harness, FAILED, before + 1))[-1]["run_id"])


def details(answer: ToolOutput) -> Any:
    return None if answer.error is None else (answer.error.details or {}).get("code")


async def test_it_goes_on_where_it_failed_under_the_same_id_and_has_no_effect_twice(
    harness: PackHarness, tmp_path: Path, desk: flow_desk.Desk
) -> None:
    run_id = await failed_run(harness)
    before = effects(tmp_path)
    desk.gate.set()
    answer = await harness.call_tool(RETRY, {"run_id": run_id})
    assert {"item": "TEA", "note": ""} == (answer.data or {})["result"]
    assert (run_id, 2) == ((answer.data or {})["run_id"], (answer.data or {})["starts"])
    assert (3, before) == (len(before), effects(tmp_path))
    # What had ended is not run again, only what failed.
    assert {"take": 1, "reserve": 1, "charge": 1, "mail": 1, "shout": 1} == dict(desk.calls)
    assert [run_id] == [each["run_id"] for each in told(harness, COMPLETED)]


async def test_it_is_in_the_journal_with_who_asked(
    harness: PackHarness, desk: flow_desk.Desk
) -> None:
    run_id = await failed_run(harness)
    desk.gate.set()
    await harness.call_tool(RETRY, {"run_id": run_id})
    entries = [each for each in harness.journal.entries if each.payload["run_id"] == run_id]
    assert [
        "FLOW_RUN_STARTED", "FLOW_RUN_FAILED", "FLOW_RUN_RETRIED", "FLOW_RUN_RESUMED",
        "FLOW_RUN_COMPLETED",
    ] == [each.event_type for each in entries]  # fmt: skip
    assert ("tester", "FLOW_NODE_FAILED") == (
        entries[2].payload["retried_by"], entries[2].payload["code"]
    )  # fmt: skip


async def test_each_failure_is_told(harness: PackHarness) -> None:
    run_id = await failed_run(harness)
    answer = await harness.call_tool(RETRY, {"run_id": run_id})
    assert ("FLOW_NODE_FAILED", "failed") == (code(answer), (answer.data or {})["state"])
    events = [each for each in harness.pushed if each.kind == FAILED]
    assert (2, 2) == (len(events), len({each.event_id for each in events}))
    failures = [e for e in harness.journal.entries if e.event_type == kinds.FAILED_ENTRY]
    assert 2 == len(failures)


async def test_an_event_asks_for_it_once(harness: PackHarness, desk: flow_desk.Desk) -> None:
    run_id = await failed_run(harness)
    desk.gate.set()
    assert Handled(run_id) == await harness.deliver(event(RETRY, 2, run_id=run_id))
    assert Replayed() == await harness.deliver_again()
    [completed] = await ended(harness, COMPLETED)
    assert run_id == completed["run_id"]
    late = await harness.deliver(event(RETRY, 3, run_id=run_id))
    assert isinstance(late, Reject)
    assert "FLOWS_NOT_FAILED" in late.reason


async def test_what_cannot_be_tried_again_is_refused_with_a_code(
    harness: PackHarness, desk: flow_desk.Desk
) -> None:
    given = {"flow": "echo", "payload": {"item": "tea"}, "wait_s": 0}
    queued = ((await harness.call_tool("flows:run", given)).data or {})["run_id"]
    halting = {"flow": "approved", "payload": {"item": "tea"}}
    halted = ((await harness.call_tool("flows:run", halting)).data or {})["run_id"]
    plain = (await harness.call_tool("flows:run", {**halting, "flow": "failing"})).data or {}
    said = [
        await harness.call_tool(RETRY, {"run_id": run_id})
        for run_id in ("run-none", queued, halted, plain["run_id"])
    ]
    assert [
        "FLOWS_RUN_UNKNOWN", "FLOWS_NOT_FAILED", "FLOWS_NOT_FAILED", "FLOWS_NO_CHECKPOINT"
    ] == [details(each) for each in said]  # fmt: skip
    assert ["NOT_FOUND", "FLOWS_NOT_FAILED"] == [code(each) for each in said[:2]]


async def test_a_checkpoint_that_is_gone_is_told(harness: PackHarness) -> None:
    run_id = await failed_run(harness)
    found = (await harness.call_tool("flows:show", {"run_id": run_id})).data or {}
    engine = harness.pack_context.engine
    async with engine.workshop.open():
        await engine.workshop.held.release(run_id, found["checkpoint_id"])
    answer = await harness.call_tool(RETRY, {"run_id": run_id})
    assert "FLOWS_NO_CHECKPOINT" == code(answer)


async def test_a_changed_flow_is_refused_until_it_is_put_back(
    harness: PackHarness, tmp_path: Path, desk: flow_desk.Desk
) -> None:
    run_id, path = await failed_run(harness), tmp_path / "flows" / "shop.py"
    before = path.read_text()
    path.write_text(before + "# changed\n")
    assert "FLOWS_FLOW_CHANGED" == code(await harness.call_tool(RETRY, {"run_id": run_id}))
    shown = (await harness.call_tool("flows:show", {"run_id": run_id})).data or {}
    assert ("FLOW_NODE_FAILED", 1) == (shown["error"]["code"], shown["starts"])
    path.write_text(before)
    desk.gate.set()
    assert code(await harness.call_tool(RETRY, {"run_id": run_id})) is None


async def test_of_two_that_ask_at_once_one_is_refused(harness: PackHarness) -> None:
    run_id = await failed_run(harness)
    shown = (await harness.call_tool("flows:show", {"run_id": run_id})).data or {}
    runs = harness.pack_context.engine.runs
    await runs.told(run_id)
    taken = await runs.again(run_id, shown["checkpoint_id"], once="first")
    assert "failed" == taken.state
    with pytest.raises(NotFailed, match="queued"):
        await runs.again(run_id, shown["checkpoint_id"], once="second")


async def test_a_run_whose_process_died_before_its_checkpoint_was_known_is_tried_again(
    harness: PackHarness, desk: flow_desk.Desk
) -> None:
    run_id = await failed_run(harness)
    await harness.storage.run(lambda rows: rows.execute("UPDATE runs SET checkpoint_id = NULL"))
    desk.gate.set()
    assert code(await harness.call_tool(RETRY, {"run_id": run_id})) is None


async def test_a_failure_that_nobody_was_told_of_is_told_before_it_is_tried_again(
    harness: PackHarness, desk: flow_desk.Desk
) -> None:
    run_id = await failed_run(harness)
    await harness.storage.run(lambda rows: rows.execute("UPDATE runs SET told = 0"))
    harness.pushed.clear()
    desk.gate.set()
    async with at_work(harness):
        assert isinstance(await harness.deliver(event(RETRY, 2, run_id=run_id)), Handled)
        await until(lambda: told(harness, COMPLETED))
    assert [FAILED, COMPLETED] == [each.kind for each in harness.pushed]
