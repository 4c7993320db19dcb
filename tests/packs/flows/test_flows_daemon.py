"""Flows in a whole sidecar, with a real conductor: events in, events out, once in effect."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import flow_desk
from conductor_packs.flows import engine
from conductor_sdk.client import connect
from conductor_sidecar.cli.main import cli
from conductor_sidecar.mcp.line import DaemonLine
from conductor_sidecar.settings import ToolPolicy
from flow_pack_world import (
    APPROVE,
    COMPLETED,
    FAILED,
    HALTED,
    NAMES,
    RETRY,
    RUN,
    SIGNAL,
    FlowWorld,
    config,
    effects,
    shout_fails,
)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> flow_desk.Desk:
    monkeypatch.setattr(engine, "LOOK_S", 0.02)
    monkeypatch.setattr(engine, "AGAIN_MS", 20)
    made = flow_desk.Desk()
    monkeypatch.setattr(flow_desk, "desk", made)
    return made


@pytest.fixture
async def world(tmp_path: Path, desk: flow_desk.Desk) -> AsyncIterator[FlowWorld]:
    made = FlowWorld(tmp_path)
    yield made
    await made.end()


async def entries(world: FlowWorld, run_id: str) -> list[dict[str, Any]]:
    """What the journal says of a run, by the command that an operator types."""
    from click.testing import CliRunner

    words = ["log", "task-timeline", "--task-id", run_id, "--json", "-w", str(world.workspace.root)]
    told = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert 0 == told.exit_code, told.output
    return [json.loads(line) for line in told.output.splitlines()]


async def written(world: FlowWorld, run_id: str, count: int) -> list[dict[str, Any]]:
    """Those entries, once there are so many: an entry follows its event."""

    async def there() -> bool:
        return len(await entries(world, run_id)) >= count

    await world.until(f"{count} entries", there)
    return await entries(world, run_id)


async def types(world: FlowWorld, run_id: str) -> list[str]:
    return [entry["event_type"] for entry in await entries(world, run_id)]


async def test_an_event_runs_a_flow_and_its_answer_goes_up(world: FlowWorld) -> None:
    await world.begin()
    event_id = await world.ask("echo")
    [event] = await world.told(COMPLETED)
    assert {"item": "TEA", "note": ""} == event.payload["result"]
    assert ("echo", "1.0.0", event_id) == (
        event.payload["flow"], event.payload["flow_version"], event.payload["event_id"],
    )  # fmt: skip


async def test_a_run_explains_itself_in_the_journal(world: FlowWorld) -> None:
    await world.begin()
    await world.ask("echo")
    [event] = await world.told(COMPLETED)
    started, ended = await written(world, event.payload["run_id"], 2)
    assert ("FLOW_RUN_STARTED", "FLOW_RUN_COMPLETED") == (
        started["event_type"], ended["event_type"],
    )  # fmt: skip
    assert {"take", "shout"} == set(ended["payload"]["nodes"])
    assert 64 == len(started["payload"]["code_hash"])
    assert "TEA" not in json.dumps([started, ended])


async def test_a_redelivered_request_runs_once(world: FlowWorld, desk: flow_desk.Desk) -> None:
    await world.begin()
    await world.ask("echo")
    await world.told(COMPLETED)
    await world.ask("echo", again=True)
    await world.ask("echo", key="2")
    await world.told(COMPLETED, 2)
    await world.settled()
    assert 2 == desk.calls["shout"]
    assert 1 == (await world.counts(RUN))["replayed"]


async def test_two_events_with_one_key_are_one_run_and_another_request_is_refused(
    world: FlowWorld, desk: flow_desk.Desk
) -> None:
    await world.begin()
    await world.ask("echo", "1", idempotency_key="order-7")
    await world.ask("echo", "2", idempotency_key="order-7")
    await world.ask("echo", "3", idempotency_key="order-7", payload={"item": "milk"})
    [letter] = await world.dead()
    [event] = await world.told(COMPLETED)
    await world.settled()
    assert 1 == desk.calls["shout"]
    assert "FLOWS_KEY_CONFLICT" in letter["error"]
    assert {"item": "TEA", "note": ""} == event.payload["result"]


async def test_a_failing_flow_is_told_with_its_code_and_is_no_dead_letter(
    world: FlowWorld,
) -> None:
    await world.begin()
    await world.ask("failing")
    await world.ask("echo", "2", payload={"item": 7})
    first, second = sorted(await world.told(FAILED, 2), key=lambda event: event.payload["flow"])
    await world.settled()
    assert ("FLOW_PORT_REFUSED", "/item") == (
        first.payload["error"]["code"], first.payload["error"]["details"]["pointer"],
    )  # fmt: skip
    assert "FLOW_NODE_FAILED" == second.payload["error"]["code"]
    assert "no stock" in second.payload["error"]["message"]
    assert 0 == (await world.counts(RUN))["dead_lettered"]
    await written(world, second.payload["run_id"], 2)
    assert ["FLOW_RUN_STARTED", "FLOW_RUN_FAILED"] == await types(world, second.payload["run_id"])


async def test_what_cannot_be_run_is_a_dead_letter_and_runs_when_it_is_redriven_after_repair(
    world: FlowWorld,
) -> None:
    flow = world.workspace.root / "flows" / "late.py"
    await world.open()
    await world.start(pack={"flows": {"flows": {"late": "flows/late.py:echo"}}})
    await world.linked()
    await world.ask("late")
    [letter] = await world.dead()
    [told] = await world.told(FAILED)
    assert "FLOWS_FLOW_BROKEN" in letter["error"]
    assert (True, "FLOWS_FLOW_BROKEN") == (
        told.payload["refused"], told.payload["error"]["code"],
    )  # fmt: skip
    flow.write_text((flow.parent / "shop.py").read_text())
    await world.post("/v1/dead-letters/redrive", {"event_ids": [letter["event_id"]]})
    [event] = await world.told(COMPLETED)
    assert told.payload["run_id"] == event.payload["run_id"]


async def test_an_unknown_flow_and_a_request_of_the_wrong_shape_are_dead_letters(
    world: FlowWorld,
) -> None:
    await world.begin()
    await world.ask("nothing")
    await world.say(RUN, {"payload": 1}, "2")
    await world.until("both are dead", lambda: _dead(world, 2))
    said = " ".join(letter["error"] for letter in await world.dead())
    assert "FLOWS_FLOW_UNKNOWN" in said
    assert "flow" in said


async def _dead(world: FlowWorld, count: int) -> bool:
    return len((await world.get("/v1/dead-letters"))["dead_letters"]) >= count


async def test_one_broken_flow_leaves_the_others_and_the_daemon_alone(world: FlowWorld) -> None:
    (world.workspace.root / "flows" / "broken.py").write_text("import no_such_module\n")
    flows = {**config()["flows"], "broken": "flows/broken.py"}
    await world.open()
    await world.start(pack={"flows": {**config(), "flows": flows}})
    await world.linked()
    await world.ask("broken")
    await world.ask("echo", "2")
    await world.told(COMPLETED)
    [letter] = await world.dead()
    status = (await connect(world.workspace.root).tools.call("flows:status")).data or {}
    states = {flow["name"]: flow["state"] for flow in status["flows"]}
    assert "broken.py:1" in letter["error"]
    assert (False, "broken", "ready") == (status["healthy"], states["broken"], states["echo"])


async def test_an_approval_halts_the_run_and_the_decision_completes_it(world: FlowWorld) -> None:
    await world.begin()
    await world.ask("approved")
    [halted] = await world.told(HALTED)
    [wait] = halted.payload["waits"]
    assert ("decide", "approval", "tea") == (
        wait["alias"], wait["kind"], wait["payload"]["item"],
    )  # fmt: skip
    decision = {"token": wait["token"], "approved": True, "approver": "ann", "comment": "fine"}
    await world.say(APPROVE, decision)
    [event] = await world.told(COMPLETED)
    assert {"item": "tea", "note": "approved by ann: fine"} == event.payload["result"]
    assert halted.payload["run_id"] == event.payload["run_id"]
    assert [("ship", "tea")] == effects(world.workspace.root)
    said = await written(world, event.payload["run_id"], 5)
    assert [
        "FLOW_RUN_STARTED", "FLOW_RUN_HALTED", "FLOW_RUN_ANSWERED", "FLOW_RUN_RESUMED",
        "FLOW_RUN_COMPLETED",
    ] == [entry["event_type"] for entry in said]  # fmt: skip
    assert wait["token"] not in json.dumps(said)


async def test_a_decision_counts_once_and_a_second_one_is_a_dead_letter(world: FlowWorld) -> None:
    await world.begin()
    await world.ask("approved")
    [halted] = await world.told(HALTED)
    token = halted.payload["waits"][0]["token"]
    await world.say(APPROVE, {"token": token, "approved": True}, "yes")
    await world.say(APPROVE, {"token": token, "approved": False}, "no")
    await world.say(APPROVE, {"token": "made up", "approved": True}, "other")
    [event] = await world.told(COMPLETED)
    await world.until("both others are dead", lambda: _dead(world, 2))
    assert event.payload["result"]["note"].startswith("approved by")
    said = " ".join(letter["error"] for letter in await world.dead())
    assert "FLOW_TOKEN_UNKNOWN" in said
    assert "FLOW_TOKEN_USED" in said or "FLOWS_NOT_WAITING" in said
    assert [("ship", "tea")] == effects(world.workspace.root)


async def test_an_answer_that_does_not_fit_is_refused_and_the_run_waits_on(
    world: FlowWorld,
) -> None:
    await world.begin()
    await world.ask("approved")
    [halted] = await world.told(HALTED)
    token = halted.payload["waits"][0]["token"]
    await world.say(SIGNAL, {"token": token, "payload": {"approved": "perhaps"}}, "bad")
    [letter] = await world.dead()
    assert "FLOW_PORT_REFUSED" in letter["error"]
    await world.say(SIGNAL, {"token": token, "payload": {"approved": False, "context": {
        "item": "tea"}}}, "good")  # fmt: skip
    [event] = await world.told(COMPLETED)
    assert "refused by None" == event.payload["result"]["note"]


async def test_a_halted_run_survives_a_restart_and_its_token_holds(world: FlowWorld) -> None:
    await world.begin()
    await world.ask("approved")
    [halted] = await world.told(HALTED)
    await world.stop()
    await world.start()
    await world.linked()
    token = halted.payload["waits"][0]["token"]
    await world.say(APPROVE, {"token": token, "approved": True})
    await world.told(COMPLETED)
    await world.settled()
    assert 1 == len(await world.pushed(HALTED))


async def test_a_halted_run_does_not_go_on_with_a_flow_that_has_changed(world: FlowWorld) -> None:
    await world.begin()
    await world.ask("approved")
    [halted] = await world.told(HALTED)
    path = world.workspace.root / "flows" / "shop.py"
    before = path.read_text()
    path.write_text(before + "\n# changed\n")
    token = halted.payload["waits"][0]["token"]
    event_id = await world.say(APPROVE, {"token": token, "approved": True})
    [letter] = await world.dead()
    assert "FLOWS_FLOW_CHANGED" in letter["error"]
    assert [] == await world.pushed(COMPLETED)
    path.write_text(before)
    await world.post("/v1/dead-letters/redrive", {"event_ids": [event_id]})
    await world.told(COMPLETED)
    assert [("ship", "tea")] == effects(world.workspace.root)


async def test_a_stop_cancels_runs_and_the_next_start_takes_them_up(
    world: FlowWorld, desk: flow_desk.Desk
) -> None:
    await world.begin(concurrency=2)
    for number in range(3):
        await world.ask("waiting", str(number))
    await world.until("two run", lambda: desk.inside == 2)
    await world.stop()
    assert (0, 2) == (desk.inside, desk.cancelled)
    desk.gate.set()
    await world.start()
    await world.linked()
    told = await world.told(COMPLETED, 3)
    assert 3 == len({event.payload["run_id"] for event in told})
    assert [] == await world.pushed(FAILED)


async def test_a_long_run_holds_up_neither_other_runs_nor_other_packs(
    world: FlowWorld, desk: flow_desk.Desk
) -> None:
    await world.begin()
    for number in range(3):
        await world.ask("waiting", str(number))
    await world.until("they wait", lambda: desk.inside == 3)
    await world.ask("echo", "other")
    await world.say("conductor:plan_created", {"plan_id": "P-1", "title": "A plan"})
    await world.told(COMPLETED)
    await world.told("plan:plan_created")
    assert 0 == (await world.status())["backlog"]
    desk.gate.set()
    await world.told(COMPLETED, 4)


async def test_a_tool_call_runs_a_flow_and_the_key_gives_the_first_answer(
    world: FlowWorld, desk: flow_desk.Desk
) -> None:
    await world.begin()
    client = connect(world.workspace.root)
    given = {"flow": "echo", "payload": {"item": "tea"}, "idempotency_key": "k"}
    answers = [(await client.tools.call("flows:run", given)).data or {} for _ in range(2)]
    assert [{"item": "TEA", "note": ""}] * 2 == [answer["result"] for answer in answers]
    assert 1 == desk.calls["shout"]
    [event] = await world.told(COMPLETED)
    assert answers[0]["run_id"] == event.payload["run_id"]


async def test_a_tool_call_does_not_wait_longer_than_it_says(
    world: FlowWorld, desk: flow_desk.Desk
) -> None:
    await world.begin()
    client = connect(world.workspace.root)
    given = {"flow": "waiting", "payload": {"item": "tea"}, "wait_s": 0}
    answer = (await client.tools.call("flows:run", given)).data or {}
    assert answer["state"] in {"queued", "running"}
    desk.gate.set()
    await world.told(COMPLETED)
    shown = (await client.tools.call("flows:show", {"run_id": answer["run_id"]})).data or {}
    assert ("completed", {"item": "tea", "note": ""}) == (shown["state"], shown["result"])


async def test_a_thousand_requests_run_a_few_at_a_time(
    world: FlowWorld, desk: flow_desk.Desk
) -> None:
    await world.begin(concurrency=8)
    await world.until("nothing", lambda: True)
    for number in range(40):
        await world.ask("waiting", str(number))
    await world.until("eight run", lambda: desk.inside == 8)
    desk.gate.set()
    told = await world.told(COMPLETED, 40)
    assert (40, 8) == (len(told), desk.most)
    assert Counter({"take": 40}) == desk.calls


async def test_each_flow_is_a_tool_and_a_reload_lists_it_as_it_is(world: FlowWorld) -> None:
    async def listed() -> dict[str, list[str]]:
        tools = await connect(world.workspace.root).tools.list()
        return {
            tool.name: list(tool.input_schema["properties"])
            for tool in tools if tool.name.removeprefix("flows:") in NAMES
        }  # fmt: skip

    path = world.workspace.root / "flows" / "shop.py"
    await world.begin()
    before = await listed()
    path.write_text(path.read_text().replace("count: int = 1", "count: int = 1\n    rush: int = 0"))
    # The call is checked against the port as it is now, whatever is listed.
    client = connect(world.workspace.root)
    answer = await client.tools.call("flows:echo", {"item": "tea", "rush": 1})
    assert {"item": "TEA", "note": ""} == (answer.data or {})["result"]
    assert before == await listed()
    report = await world.post("/v1/reload", {"dry_run": False})
    assert {("tool", f"flows:{name}", "changed") for name in NAMES} == {
        (each["what"], each["name"], each["action"]) for each in report["changes"]
    }
    assert ({"item", "count", "_run"}, {"item", "count", "rush", "_run"}) == (
        set(before["flows:echo"]), set((await listed())["flows:echo"]),
    )  # fmt: skip
    path.write_text("oops(")
    report = await world.post("/v1/reload", {"dry_run": False})
    assert "applied" == report["outcome"]
    assert {} == await listed()


async def test_mcp_lists_the_port_of_a_flow_as_it_is_after_a_reload(world: FlowWorld) -> None:
    async def fields() -> set[str]:
        line = DaemonLine(world.workspace, "1.0.0")
        tools = (await line.request("tools/list", {}))["tools"]
        [echo] = [tool for tool in tools if tool["name"] == "flows_echo"]
        return set(echo["inputSchema"]["properties"])

    path = world.workspace.root / "flows" / "shop.py"
    await world.begin()
    assert {"item", "count", "_run"} == await fields()
    path.write_text(path.read_text().replace("count: int = 1", "count: int = 1\n    rush: int = 0"))
    await world.post("/v1/reload", {"dry_run": False})
    assert {"item", "count", "rush", "_run"} == await fields()


async def test_what_is_decided_about_running_flows_holds_for_the_tool_of_each(
    world: FlowWorld,
) -> None:
    denied = ToolPolicy(tool="flows:run", decision="deny")
    await world.open()
    tools = world.settings.tools.model_copy(update={"policies": [denied]})
    await world.start(pack={"flows": config()}, tools=tools)
    client = connect(world.workspace.root)
    refused = await client.tools.call("flows:strong", {"item": "tea"})
    asked = await client.tools.call("flows:echo", {"item": "tea"})
    assert refused.error is not None
    assert ("POLICY_DENIED", True) == (refused.error.code, asked.success)
    assert [] == effects(world.workspace.root)


async def test_a_run_that_failed_is_tried_again_after_a_restart_with_no_effect_twice(
    world: FlowWorld, desk: flow_desk.Desk
) -> None:
    shout_fails(world.workspace.root)
    await world.begin()
    await world.ask("strong")
    [failed] = await world.told(FAILED)
    run_id = failed.payload["run_id"]
    await world.stop()
    await world.start()
    await world.linked()
    desk.gate.set()
    await world.say(RETRY, {"run_id": run_id}, "again")
    [completed] = await world.told(COMPLETED)
    assert (run_id, 3) == (completed.payload["run_id"], len(effects(world.workspace.root)))
    assert {"take": 1, "reserve": 1, "charge": 1, "mail": 1, "shout": 1} == dict(desk.calls)

    async def written() -> bool:  # the entry follows the event
        return "FLOW_RUN_COMPLETED" in await types(world, run_id)

    await world.until("the entries", written)
    assert [
        "FLOW_RUN_STARTED", "FLOW_RUN_FAILED", "FLOW_RUN_RETRIED", "FLOW_RUN_RESUMED",
        "FLOW_RUN_COMPLETED",
    ] == await types(world, run_id)  # fmt: skip
