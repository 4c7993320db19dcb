"""The pack in the harness: what it is asked, what it refuses, what it keeps."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

import flow_desk
from conductor_handlers.pack_lint.lint import lint_pack
from conductor_handlers.pack_lint.place import installed_places
from conductor_packs.flows import engine
from conductor_packs.flows.background import run_background
from conductor_packs.flows.errors import ResultTooLarge, SettingsInvalid
from conductor_packs.flows.limits import DEPTH_MAX, KEYS_MAX, encoded
from conductor_packs.flows.pack import pack
from conductor_packs.flows.settings import Settings, settings
from conductor_sdk.event import with_context
from conductor_sdk.handler import Handled, Ignored, Reject, Replayed
from conductor_sdk.testing import PackHarness, check_conformance, run_conformance
from conductor_sdk.trace_context import event_context
from flow_pack_harness import Make, ask, at_work, code, ended, event, told, until
from flow_pack_world import (
    APPROVE,
    COMPLETED,
    FAILED,
    HALTED,
    NAMES,
    RUN,
    config,
    effects,
    flows_in,
)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_it_conforms_where_no_flow_is_configured() -> None:
    report = run_conformance(pack)
    assert [] == [result for result in report.results if not result.passed]


async def test_it_conforms_with_a_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desk: flow_desk.Desk
) -> None:
    flows_in(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "flows"))
    section = {"flows": {"echo": "shop:echo"}, "bind": ["db=memory"]}
    sample = {"flow": "echo", "payload": {"item": "tea"}}
    report = await check_conformance(pack, config=section, samples={RUN: [sample]})
    mine = [result for result in report.results if result.kind in {RUN, None}]
    assert [] == [result for result in mine if not result.passed]
    assert {"outcome", "replay", "crash", "cancel", "state"} <= {each.name for each in mine}


def test_its_files_and_tools_pass_the_checks_of_packs() -> None:
    places = {place.name: place for place in installed_places()}
    verdict = lint_pack(places["flows"], pack, config=config())
    assert [] == [finding for check in verdict.checks for finding in check.findings]
    assert 8 == len(pack.toolset(config()) if pack.toolset else ())


async def test_without_a_flow_it_does_nothing_and_has_no_tool(tmp_path: Path) -> None:
    async with PackHarness(pack, workspace=tmp_path) as harness:
        await run_background(harness.context)
        assert Ignored("no flow is configured") == await ask(harness, "echo")
    assert () == (pack.toolset({}) if pack.toolset else None)
    assert [] == names_in(tmp_path)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"flows": {"Echo": "a:b"}}, r"key` in `\$\.flows"),
        ({"flows": ["a:b"]}, "flows"),
        ({"flows": {"a": "b"}, "concurrency": 0}, "concurrency"),
        ({"flows": {"a": "b"}, "concurency": 1}, "concurency"),
        ({"flows": {"a": "b"}, "bind": ["kv=memory"], "lock": "l.json"}, "lock"),
    ],
)
async def test_a_wrong_section_is_refused_with_the_field(
    section: dict[str, Any], named: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsInvalid, match=named):
        settings(section)
    # Not later, when a request comes: the pack is refused as a whole.
    with pytest.raises(SettingsInvalid, match=named):
        async with PackHarness(pack, workspace=tmp_path, config=section):
            pass


def test_the_defaults_are_those_that_are_documented() -> None:
    assert Settings(deadline_s=3600.0, concurrency=4, result_max_bytes=65_536) == settings({})


async def test_a_request_is_kept_before_it_runs_and_once(make: Make) -> None:
    harness = make()
    outcome = await ask(harness, "echo")
    assert isinstance(outcome, Handled)
    assert Replayed() == await harness.deliver_again()
    [completed] = await ended(harness, COMPLETED)
    assert outcome.action == completed["run_id"]
    assert Replayed() == await harness.deliver_again()


@pytest.mark.parametrize(
    "spec",
    ["../outside.py:echo", "flows/link.py:echo", "linked/shop.py:echo", ".lumenflow/x.py:echo",
     "/etc/hosts.py", "flows/none.py:echo", "flows/shop.py:nothing", "no_such_module_at_all:x"],
)  # fmt: skip
async def test_a_spec_that_leads_out_or_nowhere_breaks_that_flow_alone(
    make: Make, tmp_path: Path, spec: str
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    flows_in(outside)
    (tmp_path.parent / "outside.py").write_text((outside / "flows" / "shop.py").read_text())
    (tmp_path / "flows" / "link.py").symlink_to(outside / "flows" / "shop.py")
    (tmp_path / "linked").symlink_to(outside / "flows")
    harness = make(flows={"bad": spec, "echo": "flows/shop.py:echo"})
    assert isinstance(refused := await ask(harness, "bad"), Reject)
    assert "FLOWS_FLOW_BROKEN" in refused.reason
    [failed] = told(harness, FAILED)
    assert (True, "FLOWS_FLOW_BROKEN") == (failed["refused"], failed["error"]["code"])
    assert isinstance(await ask(harness, "echo", 2), Handled)


async def test_a_broken_flow_is_in_the_log_before_it_is_asked_for(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "flows" / "bad.py").write_text("from nowhere_at_all import flow\n")
    harness = make(flows={"bad": "flows/bad.py", "echo": "flows/shop.py:echo"})
    async with at_work(harness):
        [entry] = await until(
            lambda: [each for each in harness.log.entries if each.event == "flow_broken"]
        )
    assert ("bad", "FLOWS_FLOW_BROKEN") == (entry.fields["flow"], entry.fields["code"])


@pytest.mark.parametrize("where", ["bind", "lock", "checkpoints"])
async def test_no_store_stands_outside_of_the_workspace(make: Make, where: str) -> None:
    given: dict[str, Any] = {
        "bind": {"bind": ["db=sqlite:../out.db"]},
        "lock": {"bind": [], "lock": "../out.json"},
        "checkpoints": {"checkpoints": "../out.db"},
    }[where]
    harness = make(**given)
    if where == "checkpoints":
        with pytest.raises(SettingsInvalid):
            await run_background(harness.context)
        return
    await ask(harness, "echo")
    [failed] = await ended(harness, FAILED)
    assert "FLOWS_PATH_REFUSED" == failed["error"]["code"]


async def test_a_changed_file_is_another_flow_from_the_next_run_on(
    make: Make, tmp_path: Path
) -> None:
    harness, path = make(), tmp_path / "flows" / "shop.py"
    await ask(harness, "echo")
    [first] = await ended(harness, COMPLETED)
    stamp = path.stat()
    path.write_text(path.read_text().replace("upper()", "lower()"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    await ask(harness, "echo", 2, payload={"item": "TEA"})
    [_, second] = await ended(harness, COMPLETED, 2)
    assert ("TEA", "tea") == (first["result"]["item"], second["result"]["item"])


async def test_a_timer_goes_on_when_its_time_has_come(make: Make) -> None:
    harness = make()
    await ask(harness, "later")
    async with at_work(harness):
        [halted] = await until(lambda: told(harness, HALTED))
        [wait] = halted["waits"]
        assert ("timer", "2026-01-01T01:00:00.000Z") == (wait["kind"], wait["until"])
        assert "token" not in wait
        harness.clock.advance(3599)
        await ask(harness, "echo", 2)
        await until(lambda: told(harness, COMPLETED))
        assert 1 == len(told(harness, COMPLETED))
        harness.clock.advance(2)
        await until(lambda: len(told(harness, COMPLETED)) == 2)


async def test_a_timer_does_not_go_on_with_a_changed_flow_and_says_so(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "HELD_MS", 1000)
    harness, path = make(), tmp_path / "flows" / "shop.py"
    before = path.read_text()
    await ask(harness, "later")
    async with at_work(harness):
        await until(lambda: told(harness, HALTED))
        path.write_text(before + "# changed\n")
        harness.clock.advance(3601)
        entries = harness.journal.entries
        [refused] = await until(
            lambda: [each for each in entries if each.event_type == "FLOW_RUN_REFUSED"]
        )
        assert "FLOWS_FLOW_CHANGED" == refused.payload["code"]
        assert [] == told(harness, COMPLETED)
        path.write_text(before)
        harness.clock.advance(2)
        await until(lambda: told(harness, COMPLETED))


async def test_an_answer_that_is_too_large_for_an_event_is_a_coded_failure(make: Make) -> None:
    harness = make(result_max_bytes=1000)
    await ask(harness, "large", payload={"item": "x", "count": 2000})
    await ask(harness, "stream", 2, payload={"item": "x", "count": 2000})
    await ask(harness, "large", 3, payload={"item": "x", "count": 900})
    failed = await ended(harness, FAILED, 2)
    assert ["FLOWS_RESULT_TOO_LARGE"] * 2 == [each["error"]["code"] for each in failed]
    assert 1 == len(await ended(harness, COMPLETED))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_what_an_event_can_carry_passes_and_no_more() -> None:
    assert encoded(nested(DEPTH_MAX), 1000)
    assert encoded({str(number): number for number in range(KEYS_MAX)}, 100_000)
    for value in (
        nested(DEPTH_MAX + 1), nested(100_000), {str(n): n for n in range(KEYS_MAX + 1)},
        "x" * 1000, object(),
    ):  # fmt: skip
        with pytest.raises(ResultTooLarge):
            encoded(value, 100_000 if not isinstance(value, str) else 1000)


async def test_a_stream_is_collected(make: Make) -> None:
    harness = make()
    await ask(harness, "stream", payload={"item": "x", "count": 3})
    [completed] = await ended(harness, COMPLETED)
    assert [0, 1, 2] == completed["result"]


async def test_a_run_that_is_too_slow_fails_at_its_deadline(
    make: Make, desk: flow_desk.Desk
) -> None:
    harness = make()
    await ask(harness, "waiting", deadline_s=0.02)
    [failed] = await ended(harness, FAILED)
    assert ("FLOW_DEADLINE_EXCEEDED", True, 1) == (
        failed["error"]["code"], failed["error"]["retryable"], desk.cancelled,
    )  # fmt: skip


async def test_a_run_that_kills_the_sidecar_each_time_is_given_up(
    make: Make, desk: flow_desk.Desk
) -> None:
    harness = make(max_attempts=2)
    await ask(harness, "waiting")
    runs = harness.pack_context.engine.runs
    for _ in range(2):  # as two processes that claimed it and died
        await runs.claim(1)
        await runs.recover()
    desk.gate.set()
    [failed] = await ended(harness, FAILED)
    assert "FLOWS_RUN_ABANDONED" == failed["error"]["code"]


async def test_a_read_tool_runs_no_flow_that_changes_something(make: Make, tmp_path: Path) -> None:
    harness = make()
    given = {"payload": {"item": "tea"}}
    pure = await harness.call_tool("flows:ask", {"flow": "echo", **given})
    changing = await harness.call_tool("flows:ask", {"flow": "strong", **given})
    assert {"item": "TEA", "note": ""} == (pure.data or {})["result"]
    assert "FLOWS_EFFECTS_DENIED" == code(changing)
    assert [] == effects(tmp_path)
    assert code(await harness.call_tool("flows:run", {"flow": "strong", **given})) is None
    assert 3 == len(effects(tmp_path))


async def test_a_call_that_waits_for_nothing_leaves_its_run_for_the_daemon(make: Make) -> None:
    harness = make()
    given = {"flow": "echo", "payload": {"item": "tea"}, "wait_s": 0}
    answer = (await harness.call_tool("flows:run", given)).data or {}
    assert "queued" == answer["state"]
    [completed] = await ended(harness, COMPLETED)
    assert answer["run_id"] == completed["run_id"]


async def test_tools_refuse_what_does_not_fit_before_anything_is_kept(make: Make) -> None:
    harness = make()
    asked = {
        "payload": {"flow": "echo", "payload": {"item": 7}},
        "flow": {"flow": "nothing"},
        "entrypoint": {"flow": "echo", "entrypoint": "shout"},
    }
    answers = {name: await harness.call_tool("flows:run", given) for name, given in asked.items()}
    assert {"payload": "INVALID_INPUT", "flow": "NOT_FOUND", "entrypoint": "NOT_FOUND"} == {
        name: code(answer) for name, answer in answers.items()
    }
    wrong = answers["payload"].error
    assert wrong is not None
    assert "/item" == (wrong.details or {})["pointer"]
    listed = await harness.call_tool("flows:runs")
    assert {"runs": []} == listed.data


async def test_tools_describe_flows_and_runs(make: Make) -> None:
    harness = make()
    described = (await harness.call_tool("flows:describe", {"flow": "strong"})).data or {}
    assert ("effectful", "strong", ["resource::db::write"]) == (
        described["effects"], described["durability"], described["needs"],
    )  # fmt: skip
    [way] = described["entrypoints"]
    assert "item" in str(way["takes"])
    await harness.call_tool("flows:run", {"flow": "failing", "payload": {"item": "tea"}})
    [run] = ((await harness.call_tool("flows:runs", {"state": "failed"})).data or {})["runs"]
    shown = (await harness.call_tool("flows:show", {"run_id": run["run_id"]})).data or {}
    assert ("FLOW_NODE_FAILED", 1) == (shown["error"]["code"], shown["nodes"]["refuse"]["errors"])
    status = (await harness.call_tool("flows:status")).data or {}
    assert (True, sorted(NAMES)) == (status["healthy"], [each["name"] for each in status["flows"]])
    assert "NOT_FOUND" == code(await harness.call_tool("flows:show", {"run_id": "run-none"}))


async def test_a_flow_without_what_it_needs_is_told_by_status_and_fails_with_its_code(
    make: Make,
) -> None:
    harness = make(bind=[])
    status = (await harness.call_tool("flows:status")).data or {}
    broken = {each["name"]: each["error"]["code"] for each in status["flows"] if "error" in each}
    assert {"strong": "CAP101", "approved": "CAP101"} == broken
    await ask(harness, "strong")
    [failed] = await ended(harness, FAILED)
    assert "CAP101" == failed["error"]["code"]


async def test_a_signal_says_what_it_is_for(make: Make) -> None:
    harness = make()
    outcome = await harness.deliver(event(APPROVE, token="none", approved=True))
    assert isinstance(outcome, Reject)
    assert "FLOW_TOKEN_UNKNOWN" in outcome.reason
    bad = await harness.deliver(event(APPROVE, 2, token="none"))
    assert isinstance(bad, Reject)
    assert "approved" in bad.reason


async def test_a_thousand_runs_wait_in_the_storage_and_not_in_memory(
    make: Make, desk: flow_desk.Desk
) -> None:
    harness = make(concurrency=8)
    payload = {"item": "x" * 2000}
    for number in range(1000):
        await ask(harness, "waiting", number, payload=payload)
    async with at_work(harness):
        await until(lambda: desk.inside == 8)
        named = [task.get_name() for task in asyncio.all_tasks()]
        assert 8 == sum(name == "flows.waiting" for name in named)
        counts = await harness.pack_context.engine.runs.counts()
        assert {"waiting": {"running": 8, "queued": 992}} == counts
    # The stop was no attempt: all wait again, those that ran first too.
    runs = harness.pack_context.engine.runs
    assert {"waiting": {"queued": 1000}} == await runs.counts()
    assert 0 == max(run.attempts for run in await runs.recent(1000))


async def test_what_ended_long_ago_is_forgotten(make: Make) -> None:
    harness = make(retain_days=1)
    await ask(harness, "echo")
    await ended(harness, COMPLETED)
    runs = harness.pack_context.engine.runs
    assert 1 == len(await runs.recent(10))
    harness.clock.advance(2 * 86_400)
    harness.pack_context.engine._forgotten_at = 0.0
    await ask(harness, "echo", 2)
    await ended(harness, COMPLETED, 2)
    assert ["evt-2"] == [run.event_id for run in await runs.recent(10)]


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_what_is_told_of_a_run_is_in_the_trace_of_its_request(make: Make) -> None:
    harness = make()
    for number, flow in ((1, "echo"), (2, "approved"), (3, "failing"), (4, "nothing")):
        asked = event(RUN, number, flow=flow, payload={"item": "tea"})
        await harness.deliver(with_context(asked, TRACE, None))
    await ask(harness, "echo", 5)
    async with at_work(harness):
        await until(lambda: 5 <= len(harness.pushed))
    derived = event_context("evt-5", None).traceparent
    found = {each.payload["event_id"]: each.traceparent for each in harness.pushed}
    traces = {f"evt-{number}": TRACE for number in (1, 2, 3, 4)} | {"evt-5": derived}
    assert traces == found
    # With the same key it is the same run, whatever trace asks for it.
    runs = harness.pack_context.engine.runs
    for number in (6, 7):
        asked = event(RUN, number, flow="echo", payload={"item": "tea"}, idempotency_key="one")
        outcome = await harness.deliver(asked)
    assert isinstance(outcome, Replayed)
    (run,) = [each for each in await runs.recent(10) if each.event_id == "evt-6"]
    assert event_context("evt-6", None).traceparent == await runs.traceparent(run.run_id)
    await runs.forget(run.run_id)
    assert await runs.traceparent(run.run_id) is None
