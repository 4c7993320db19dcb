"""A reload: what it takes over, what it refuses, and what it never loses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from conductor_sidecar.app import open_journal
from conductor_sidecar.settings import Settings
from conductor_sidecar.surfaces import Served
from conductor_state.journal import SqliteJournal
from conductor_state.journal_errors import JournalBusy
from reload_pack import ASKED, GUEST, STEADY
from reload_world import ReloadWorld, changes


async def handled(world: ReloadWorld, *numbers: int) -> None:
    await world.until(
        "the events are handled", lambda: sorted(world.pack().handled) == sorted(numbers)
    )


async def test_nothing_changed_is_nothing_done(world: ReloadWorld) -> None:
    await world.run()
    report = await world.reload()
    assert ("unchanged", [], False) == (
        report["outcome"], report["changes"], report["restart_needed"]
    )  # fmt: skip


async def test_settings_are_in_force_for_the_next_event(world: ReloadWorld) -> None:
    await world.run()
    world.write({
        "dispatch": {"concurrency": 2, "window": 64},
        "pack": {STEADY: {"greeting": "hello"}},
    })  # fmt: skip
    report = await world.reload()
    assert [
        ("setting", "dispatch.concurrency", "changed"), ("setting", "dispatch.window", "changed"),
        ("setting", f"pack.{STEADY}.greeting", "added"),
    ] == changes(report)[:3]  # fmt: skip
    await world.send(1)
    await handled(world, 1)
    assert (["hello"], {"hello"}) == (world.pack().greetings, world.pack().running)
    assert (2, 64) == (
        world.applied[-1].dispatch.concurrency, world.applied[-1].dispatch.window
    )  # fmt: skip


async def test_the_difference_hides_what_a_pack_is_told(world: ReloadWorld) -> None:
    await world.run()
    world.write({"pack": {STEADY: {"greeting": "hunter2"}}, "drain": {"deadline_s": 0.25}})
    report = await world.reload()
    shown = {c["name"]: (c.get("old"), c.get("new")) for c in report["changes"]}
    assert (("0.5", "0.25"), (None, "…")) == (
        shown["drain.deadline_s"], shown[f"pack.{STEADY}.greeting"]
    )  # fmt: skip
    assert "hunter2" not in str(report)


async def test_a_pack_comes_and_goes_and_the_conductor_knows(world: ReloadWorld) -> None:
    world.write({"packs": {"disabled": ["acme-demo", "sidekick", "plan", GUEST]}})
    await world.run()
    assert [STEADY] == await world.loaded()
    world.write({})
    report = await world.reload()
    assert ("pack", GUEST, "added") in changes(report)
    assert ("tool", f"{GUEST}:say", "added") in changes(report)
    assert ("subscription", f"{GUEST} {ASKED}", "added") in changes(report)
    assert report["conductor_told"] is True
    assert GUEST in [notice.slug for notice in (await told(world))]
    await world.send(1)
    await handled(world, 1)
    await world.until("the guest has it too", lambda: world.pack(GUEST).handled == [1])
    world.write({"packs": {"disabled": ["acme-demo", "sidekick", "plan", GUEST]}})
    assert ("pack", GUEST, "removed") in changes(await world.reload())
    assert GUEST not in [notice.slug for notice in (await told(world))]
    assert set() == world.pack(GUEST).running
    await world.send(2)
    await handled(world, 1, 2)
    assert [1] == world.pack(GUEST).handled
    await world.settled()


async def told(world: ReloadWorld) -> list[object]:
    from delivery_world import SUBJECT

    return list((await world.conductor.workspace(SUBJECT)).packs)


async def test_a_manifest_is_read_again(world: ReloadWorld) -> None:
    await world.run()
    world.manifest(STEADY, version="1.1.0", description="Says more.", more="more_said")
    report = await world.reload()
    assert [("manifest", STEADY, "changed"), ("tool", f"{STEADY}:say", "changed")] == changes(
        report
    )
    packs = {p["slug"]: p for p in (await world.status())["packs"]}
    assert ("1.1.0", f"{STEADY}:more_said") == (
        packs[STEADY]["version"], packs[STEADY]["emits"][-1]
    )  # fmt: skip
    [receipt] = await world.push(7, kind=f"{STEADY}:more_said")
    assert "queued" == receipt.status
    assert "unchanged" == (await world.reload())["outcome"]


async def tool(world: ReloadWorld, name: str) -> dict[str, Any]:
    """A tool as it is listed."""
    tools = (await world.get("/tools"))["tools"]
    return next(dict(each) for each in tools if each["name"] == name)


async def test_a_pack_that_chooses_its_tools_gets_those_of_its_new_manifest(
    world: ReloadWorld,
) -> None:
    await world.run()
    world.manifest(GUEST, description="Says it louder.")
    report = await world.reload()
    assert [("manifest", GUEST, "changed"), ("tool", f"{GUEST}:say", "changed")] == changes(report)
    assert not report["restart_needed"]
    assert "Says it louder." == (await tool(world, f"{GUEST}:say"))["description"]
    assert "unchanged" == (await world.reload())["outcome"]


async def test_tools_that_a_pack_makes_in_code_stay_and_that_is_said(world: ReloadWorld) -> None:
    world.write({"pack": {GUEST: {"toolset": "own"}}})
    await world.run()
    world.manifest(GUEST, description="Says it louder.")
    report = await world.reload()
    assert [("manifest", GUEST, "changed")] == changes(report)
    assert (True, "the pack chooses its tools by code of its own") == (
        report["restart_needed"], report["changes"][0]["why"]
    )  # fmt: skip
    assert "Says it." == (await tool(world, f"{GUEST}:say"))["description"]


async def test_what_is_wrong_changes_nothing(world: ReloadWorld) -> None:
    await world.run()
    before = await world.loaded()
    codes: list[str] = []
    world.write_text("[dispatch\n")
    codes.append((await world.refused())["code"])
    world.write({"dispatch": {"concurency": 3}})
    codes.append((await world.refused())["code"])
    world.write({})
    world.manifest(STEADY, "id: [")
    codes.append((await world.refused())["code"])
    world.manifest(STEADY, "id: reload-steady\nversion: 1.0.0\nnonsense: 1\n")
    codes.append((await world.refused())["code"])
    world.manifest(STEADY)
    world.manifest(GUEST, tool=f"{STEADY}:say")
    codes.append((await world.refused())["code"])
    world.manifest(GUEST)
    world.write({"pack": {GUEST: {"refuse": True}}, "dispatch": {"concurrency": 3}})
    error = await world.refused()
    codes.append(error["code"])
    assert [
        "CONFIG_INVALID", "CONFIG_INVALID", "RELOAD_PACK_REFUSED", "RELOAD_PACK_REFUSED",
        "RELOAD_TOOL_REFUSED", "RELOAD_PACK_REFUSED",
    ] == codes  # fmt: skip
    assert ("setting", "dispatch.concurrency", "changed") in changes(error)
    assert (before, []) == (await world.loaded(), world.applied)
    await world.send(1)
    await handled(world, 1)


async def test_what_needs_a_restart_is_said_and_the_rest_applies(world: ReloadWorld) -> None:
    await world.run()
    code = world.packs / "reload_steady" / "pack.py"
    await asyncio.sleep(0.05)  # the code is measured once everything runs
    code.write_text(code.read_text() + "\n# changed\n")
    traces = {"sample_ratio": 0.5}
    world.write({"link": {"http_fallback_after_s": 9}, "dispatch": {"concurrency": 3},
                 "traces": traces})  # fmt: skip
    report = await world.reload()
    effects = {(c["what"], c["name"]): c.get("effect", "applied") for c in report["changes"]}
    assert {
        ("setting", "link.http_fallback_after_s"): "applied", ("code", STEADY): "restart",
        ("setting", "dispatch.concurrency"): "applied",
        ("setting", "traces.sample_ratio"): "restart",
    } == effects  # fmt: skip
    assert {
        "code is imported once", "the exporter of traces is opened once, when the daemon starts",
    } == {change["why"] for change in report["changes"] if "why" in change}  # fmt: skip
    now = world.applied[-1]
    assert (3, 9, 1.0) == (
        now.dispatch.concurrency,
        now.link.http_fallback_after_s,
        now.traces.sample_ratio,
    )
    again = await world.reload()
    assert (True, 2) == (again["restart_needed"], len(again["changes"]))


async def test_a_dry_run_shows_the_difference_and_changes_nothing(world: ReloadWorld) -> None:
    await world.run()
    world.write({"dispatch": {"concurrency": 3}})
    report = await world.reload(dry_run=True)
    assert ("planned", [("setting", "dispatch.concurrency", "changed")], []) == (
        report["outcome"], changes(report), world.applied
    )  # fmt: skip


async def test_handlers_that_run_are_waited_for(world: ReloadWorld) -> None:
    await world.run()
    await world.send(1, do="wait")
    await world.until("it runs", lambda: world.pack().calls[1] == 1)
    world.write({"pack": {STEADY: {"greeting": "new"}}})
    reload = asyncio.create_task(world.reload())
    await asyncio.sleep(0.1)
    await world.send(2)
    assert not reload.done()
    assert {} == {n: c for n, c in world.pack().calls.items() if n == 2}
    world.open_gates()
    await reload
    await handled(world, 1, 2)
    assert [None, "new"] == world.pack().greetings


async def test_handlers_that_take_too_long_leave_all_as_it_was(world: ReloadWorld) -> None:
    world.write({"reload": {"timeout_s": 0.1}})
    await world.run()
    await world.send(1, do="wait")
    await world.until("it runs", lambda: world.pack().calls[1] == 1)
    world.write({"pack": {STEADY: {"greeting": "new"}}, "reload": {"timeout_s": 0.1}})
    error = await world.refused()
    assert ("RELOAD_TIMEOUT", True) == (
        error["code"], ("setting", f"pack.{STEADY}.greeting", "added") in changes(error)
    )  # fmt: skip
    world.open_gates()
    await world.send(2)
    await handled(world, 1, 2)
    assert [None, None] == world.pack().greetings


async def test_an_exchange_that_fails_half_way_is_put_back(
    world: ReloadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.run()
    before = await world.loaded()
    renew = Served.renew

    def fails(self: Served, settings: Settings) -> None:  # the last step of an exchange
        monkeypatch.setattr(Served, "renew", renew)
        raise OSError("no more of something")

    monkeypatch.setattr(Served, "renew", fails)
    world.write({
        "packs": {"disabled": ["acme-demo", "sidekick", "plan", GUEST]},
        "dispatch": {"window": 64},
    })  # fmt: skip
    error = await world.refused()
    assert ("RELOAD_FAILED", []) == (error["code"], world.applied)
    assert ([GUEST, STEADY], before) == (sorted(before), await world.loaded())
    assert f"{GUEST}:say" == (await tool(world, f"{GUEST}:say"))["name"]
    await world.send(1)
    await handled(world, 1)
    assert "applied" == (await world.reload())["outcome"]
    assert [STEADY] == await world.loaded()


async def test_one_reload_at_a_time(world: ReloadWorld) -> None:
    await world.run()
    await world.send(1, do="wait")
    await world.until("it runs", lambda: world.pack().calls[1] == 1)
    world.write({"dispatch": {"concurrency": 3}})
    first = asyncio.create_task(world.reload())
    await asyncio.sleep(0.1)
    assert "RELOAD_BUSY" == (await world.refused())["code"]
    world.open_gates()
    assert "applied" == (await first)["outcome"]


async def test_the_journal_has_an_entry_of_what_changed(world: ReloadWorld) -> None:
    await world.run()
    world.write({"dispatch": {"concurrency": 3}})
    await world.reload()
    journal = open_journal(world.workspace)
    entries = [e for e in await journal.latest(50) if e.event_type == "RELOADED"]
    await journal.close()
    assert [[("setting", "dispatch.concurrency", "changed")]] == [
        changes(json.loads(entry.payload)) for entry in entries
    ]


async def test_a_journal_that_refuses_takes_no_reload_back(
    world: ReloadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = SqliteJournal.append

    async def refuses(self: SqliteJournal, event_type: str, *given: Any, **more: Any) -> int:
        if event_type == "RELOADED":
            raise JournalBusy("somebody writes")
        return await append(self, event_type, *given, **more)

    await world.run()
    monkeypatch.setattr(SqliteJournal, "append", refuses)
    world.write({"dispatch": {"concurrency": 3}})
    assert "applied" == (await world.reload())["outcome"]
    assert 3 == world.applied[-1].dispatch.concurrency
    assert JournalBusy.code in [error["code"] for error in (await world.status())["errors"]]


async def test_a_signal_asks_for_the_same(world: ReloadWorld) -> None:
    await world.run()
    world.write({"dispatch": {"concurrency": 3}})
    world.reloading.asked.set()
    await world.until("it is applied", lambda: len(world.applied) == 1)
