"""Issue 2, "What a user gets", 7, and "The pack SDK": packs in the real daemon."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from real_world import COMPLETED, QUEUED, RECOVERY, Sidecar, World, until

JOB = {"wu_id": "acme-job-1"}
BAD = {
    "mismatch": "PACK_SLUG_MISMATCH",
    "unpressed": "BACKPRESSURE_MISSING",
    "deaf": "HANDLER_MISSING",
    "surface": "SURFACE_UNAVAILABLE",
    "approval": "APPROVAL_PROVIDER_MISSING",
    "reserved": "SLUG_RESERVED",
    "double": "SLUG_TAKEN",
    "shape": "PACK_NOT_A_PACK",
    "broken": "PACK_IMPORT_FAILED",
    "absent": "PACK_IMPORT_FAILED",
}


def install_bad(world: World) -> None:
    points = {name: f"bad_packs:{name}" for name in BAD}
    points |= {"broken": "broken_import:pack", "absent": "bad_packs:absent"}
    points |= {"contextless": "bad_packs:contextless", "leaving": "bad_packs:leaving"}
    world.with_packs(points)
    # By default somebody here can give any approval.
    world.env["CONDUCTOR_APPROVALS__PROVIDERS"] = '["sidekick:*", "plan:*"]'


def test_every_bad_pack_is_explained_by_code_value_and_fix(world: World) -> None:
    install_bad(world)
    done = world.command("packs", "--json")
    found = {of["name"]: of["problems"] for of in done.json["refused"]}

    assert done.code == 0, done.err
    assert {name: [problem["code"] for problem in found[name]] for name in BAD} == {
        name: [code] for name, code in BAD.items()
    }
    for [problem] in found.values():
        assert problem["data"]["value"]
        assert problem["hint"]
    assert "acme-demo" in [of["slug"] for of in done.json["loaded"]]
    shown = world.command("packs").out
    assert shown.count("fix: ") == len(BAD)
    assert max(map(len, shown.splitlines())) <= 80


def test_bad_packs_do_not_stop_the_others(world: World) -> None:
    install_bad(world)
    sidecar = world.loopback("one")
    sidecar.send(RECOVERY, JOB)
    sidecar.until(RECOVERY, delivered=1)
    states = {of["slug"]: of["state"] for of in sidecar.status()["packs"]}

    assert states["acme-demo"] == "loaded"
    assert {states[name] for name in BAD} == {"refused"}
    assert states["contextless"] == "refused"
    assert "no context today" in world.command("status", "-w", str(sidecar.workspace)).out
    listed = world.command("packs", "--json", "-w", str(sidecar.workspace)).json["refused"]
    [problem] = next(of["problems"] for of in listed if of["name"] == "contextless")
    assert problem["code"] == "PACK_CONTEXT_FAILED"
    sidecar.running.wait_for("background_failed.*\n(.*\n)*.*background_failed")
    assert sidecar.stop() == 0


def test_a_pack_can_be_turned_off(world: World) -> None:
    sidecar = world.loopback("one", "--set", 'packs.disabled=["acme-demo"]')
    sidecar.send(RECOVERY, JOB)
    sidecar.until(RECOVERY, accepted=1, dropped={"unhandled": 1})

    states = {of["slug"].replace("_", "-"): of["state"] for of in sidecar.status()["packs"]}
    assert states["acme-demo"] == "disabled"


@pytest.fixture
def kinds(world: World) -> Sidecar:
    """A sidecar with the two packs that use everything."""
    world.with_packs({"kind": "kind_pack:kind", "hearer": "kind_pack:hearer"})
    return world.loopback("one", "--set", "pack.kindness.forbidden=gold", "--log-level", "info")


def orders(sidecar: Sidecar) -> list[Any]:
    path = sidecar.workspace / ".lumenflow/state/packs/kind.db"
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT item, count FROM orders ORDER BY item").fetchall()
    finally:
        connection.close()


def test_a_pack_gets_all_that_its_context_promises(world: World, kinds: Sidecar) -> None:
    first = kinds.send("kind:order", {"item": "tea", "count": 2}, "o-1")
    kinds.until("kind:order", delivered=1)
    assert kinds.send("kind:order", {"item": "tea", "count": 2}, "o-1") == first
    kinds.send("kind:order", {"item": "gold"})
    kinds.until("kind:order", accepted=2, delivered=2)
    kinds.until("kind:done", "outbound", delivered=2)
    tail = world.command("log", "tail", "--json", "-w", str(kinds.workspace)).out.splitlines()
    [taken] = [of for of in map(json.loads, tail) if of["event_type"] == "ORDER_TAKEN"]

    assert orders(kinds) == [("tea", 2)]
    assert (taken["actor"], taken["payload"]) == ("pack:kind", {"item": "tea", "receipt": "sent"})
    assert kinds.counts("kind:seen", "outbound")["accepted"] == 1
    kinds.running.wait_for('"item": "tea", "left": true, "event": "order"')


def test_two_packs_share_a_kind_and_one_hears_the_others_events(
    world: World, kinds: Sidecar
) -> None:
    kinds.send("kind:order", {"item": "late"})
    kinds.until("kind:order", delivered=1, buffered=0)
    kinds.send("kind:done", {"item": "from elsewhere"})
    kinds.until("kind:done", delivered=1)
    kinds.until("hearer:heard", "outbound", delivered=2)

    assert orders(kinds) == [("late", 1)]  # the other pack's retry did not repeat it


def test_a_payload_that_does_not_fit_is_a_dead_letter_with_the_field_named(
    world: World, kinds: Sidecar
) -> None:
    kinds.send("kind:order", {"item": "tea", "count": "many"})
    [letter] = until(kinds.letters, "a dead letter")

    assert letter["error_code"] == "PAYLOAD_INVALID"
    assert "$.count" in letter["error"]


def test_a_background_task_pushes_by_itself(world: World, kinds: Sidecar) -> None:
    kinds.until("kind:done", "outbound", delivered=1)

    assert kinds.stop() == 0


def test_a_scaffolded_pack_validates_and_conforms_where_it_stands(world: World) -> None:
    assert world.command("pack", "new", "acme-jobs").code == 0
    for words in (("validate", "acme-jobs"), ("test", "acme-jobs")):
        done = world.command("pack", *words)

        assert (done.code, done.err) == (0, "")
    report = world.command("pack", "test", "acme-jobs", "--json").json["packs"][0]
    names = {of["name"] for of in report["results"]}
    assert {"emit", "replay", "crash", "undeclared"} <= names
    assert report["passed"] is True


def test_a_pack_that_is_broken_after_scaffolding_fails_the_suite(world: World) -> None:
    world.command("pack", "new", "acme-jobs")
    handlers = next((world.directory / "acme-jobs").rglob("handlers.py"))
    text = handlers.read_text()
    handlers.write_text(text.replace(" ON CONFLICT DO NOTHING", "").replace(
        'return Replayed("noop")', "pass"))  # fmt: skip
    done = world.command("pack", "test", "acme-jobs")

    assert done.code == 5
    assert "FAIL" in done.out
    assert "fix: " in done.out
    manifest = next((world.directory / "acme-jobs").rglob("manifest.yaml"))
    manifest.write_text(manifest.read_text() + "nonsense: 1\n")
    refused = world.command("pack", "validate", "acme-jobs")
    assert refused.code == 1
    assert "nonsense" in refused.out


def test_push_receipts_say_queued_sent_or_dropped(world: World) -> None:
    sidecar = world.loopback("one")
    both = sidecar.push({"kind": QUEUED, "payload": {}}, {"kind": COMPLETED, "payload": {}})

    assert [of["status"] for of in both] == ["queued", "sent"]
    workspace: Path = world.directory / "two"
    conductor = world.conductor()
    conductor.enroll(workspace)
    conductor.running.end()
    lonely = world.sidecar(workspace)
    both = lonely.push({"kind": QUEUED, "payload": {}}, {"kind": COMPLETED, "payload": {}})
    assert [(of["status"], of["reason"]) for of in both] == [
        ("queued", None),
        ("dropped", "disconnected"),
    ]
