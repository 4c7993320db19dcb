"""Work orders: taken in once, routed as asked, handed out by turn, given up in the end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.plan.batch import Settings
from conductor_packs.plan.errors import (
    NoOrderDue,
    OrderInFlight,
    OrderNotHeld,
    OrderRefused,
    PlanInputInvalid,
)
from conductor_packs.plan.feed import tick
from conductor_packs.plan.gateway.orders import normalise
from conductor_packs.plan.gateway.requests import (
    ClaimOrder,
    CompleteOrder,
    FailOrder,
    ListOrders,
    OfOrder,
    RedriveOrder,
    SubmitOrder,
)
from conductor_packs.plan.gateway.routing import backoff, route
from conductor_packs.plan.order_inbox import take_in
from conductor_packs.plan.order_questions import list_orders, show_order
from conductor_packs.plan.pack import pack
from conductor_packs.plan.records import Unchanged
from conductor_packs.plan.routes import Routes
from conductor_packs.plan.tools import settings
from conductor_sdk.testing import PackHarness
from plan_world import CODEX, LIAM, World, world

ROUTES = Routes(
    targets=("CLC", "ops"), default_target="ops", hints={"dev": "CLC"},
    max_attempts=3, backoff_s=10, backoff_max_s=15, lease_s=60,
)  # fmt: skip
SETTINGS = Settings(gateway=ROUTES)


async def submit(made: World, wo_id: str, **fields: Any) -> Any:
    order = {"wo_id": wo_id, "title": wo_id, **fields}
    return await made.plans.change(SubmitOrder(order=order), LIAM)


async def claim(made: World, target: str = "ops") -> dict[str, Any]:
    return (await made.plans.change(ClaimOrder(target=target), CODEX)).payload  # type: ignore[union-attr]


async def status(made: World, wo_id: str) -> tuple[str, int]:
    order = (await show_order(made.plans, OfOrder(wo_id=wo_id)))["order"]
    return order["status"], order["attempts"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("P0", "P0"), ("p1", "P1"), (3, "P3"), ("high", "P1"), ("LOW", "P3"), (None, "P2")],
)
def test_every_spelling_of_a_priority_means_one(given: Any, expected: str) -> None:
    assert expected == normalise({"wo_id": "W", "title": "t", "priority": given}, "").priority


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "no id"},
        {"wo_id": "W"},
        {"wo_id": "W", "title": "t", "priority": "P4"},
        {"wo_id": "W", "title": "t", "priority": "soonish"},
        {"wo_id": "W", "title": "t", "not_before": "later"},
        {"wo_id": "W", "title": "t", "not_before": "2026-01-01T00:00:00"},
        {"wo_id": "W", "title": "t", "share": 0.5},
        {"wo_id": "W", "title": "t", "strict_target": "nobody"},
    ],
)
async def test_what_is_not_understood_is_refused_and_journaled(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    async with world(tmp_path, SETTINGS) as made:
        with pytest.raises(OrderRefused):
            await made.plans.change(SubmitOrder(order=fields), LIAM)
        assert "PLAN_ORDER_REFUSED" == (await made.types())[-1]
        assert [] == (await list_orders(made.plans, ListOrders()))["orders"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"strict_target": "clc", "routing_hint": "x"}, ("CLC", "strict_target")),
        ({"routing_hint": "Dev"}, ("CLC", "routing_hint")),
        ({"routing_hint": "unknown"}, ("ops", "default_target")),
        ({}, ("ops", "default_target")),
    ],
)
def test_a_target_is_chosen_by_strictness_then_hint_then_default(
    fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert expected == route(normalise({"wo_id": "W", "title": "t", **fields}, ""), ROUTES)


def test_without_a_default_nothing_is_guessed() -> None:
    order = normalise({"wo_id": "W", "title": "t"}, "")
    with pytest.raises(OrderRefused):
        route(order, Routes(targets=("a",), default_target=None))


def test_a_route_to_nobody_is_a_wrong_configuration() -> None:
    with pytest.raises(PlanInputInvalid):
        settings({"gateway": {"targets": ["a"], "default_target": "b"}})
    assert ROUTES.hints == settings({"gateway": {
        "targets": ["CLC"], "default_target": "CLC", "hints": {"dev": "CLC"},
    }}).gateway.hints  # fmt: skip


async def test_orders_come_by_priority_then_arrival_and_not_before_their_time(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, SETTINGS) as made:
        await submit(made, "W-low", priority="low")
        made.clock.advance(1)
        await submit(made, "W-first", priority="P1")
        made.clock.advance(1)
        await submit(made, "W-second", priority="P1")
        await submit(made, "W-later", priority="P0", not_before="2026-01-01T01:00:00+00:00")
        assert ["W-first", "W-second", "W-low"] == [(await claim(made))["wo_id"] for _ in "123"]
        with pytest.raises(NoOrderDue):
            await claim(made)
        made.clock.advance(3600)
        assert "W-later" == (await claim(made))["wo_id"]
        assert ["OK", None] == await made.sound()


async def test_a_failed_order_waits_longer_each_time_and_is_given_up(tmp_path: Path) -> None:
    async with world(tmp_path, SETTINGS) as made:
        await submit(made, "W", body={"deep": ["x"]})
        for attempt in (1, 2):
            taken = await claim(made)
            assert {"body": {"deep": ["x"]}} == taken["body"]
            await made.do(FailOrder(wo_id="W", token=taken["token"], error="no"), CODEX)
            with pytest.raises(NoOrderDue):
                await claim(made)
            made.clock.advance(backoff("W", attempt, ROUTES))
        taken = await claim(made)
        await made.do(FailOrder(wo_id="W", token=taken["token"], error="no"), CODEX)
        assert ("DEAD", 3) == await status(made, "W")
        assert "PLAN_ORDER_DEAD" == (await made.types())[-1]
        await made.do(RedriveOrder(wo_id="W"))
        taken = await claim(made)
        await made.do(CompleteOrder(wo_id="W", token=taken["token"]), CODEX)
        assert ("DONE", 1) == await status(made, "W")
        assert ["OK", None] == await made.sound()


def test_delays_double_up_to_their_bound_and_differ_between_orders() -> None:
    routes = Routes(backoff_s=8, backoff_max_s=100)
    delays = [backoff("W", attempt, routes) for attempt in range(1, 9)]
    for attempt, delay in enumerate(delays, start=1):
        full = min(100, 8 * 2 ** (attempt - 1))
        assert full * 0.75 - 1 <= delay <= full
    assert len({backoff(f"W{number}", 4, routes) for number in range(50)}) > 5
    assert backoff("W", 10_000, routes) <= 100


async def test_a_resent_order_is_known_unless_it_was_given_up(tmp_path: Path) -> None:
    routes = Routes(targets=("ops",), default_target="ops", max_attempts=1)
    async with world(tmp_path, Settings(gateway=routes)) as made:
        await submit(made, "W")
        assert isinstance(await submit(made, "W"), Unchanged)
        with pytest.raises(OrderInFlight):
            await submit(made, "W", note="other")
        taken = await claim(made)
        await made.do(FailOrder(wo_id="W", token=taken["token"], error="no"), CODEX)
        await submit(made, "W")  # it failed, so it is not skipped as known
        taken = await claim(made)
        assert 2 == taken["token"]
        await made.do(CompleteOrder(wo_id="W", token=2), CODEX)
        assert isinstance(await submit(made, "W"), Unchanged)
        assert ["OK", None] == await made.sound()


async def test_a_silent_holder_loses_the_order(tmp_path: Path) -> None:
    async with world(tmp_path, SETTINGS) as made:
        await submit(made, "W")
        old = await claim(made)
        made.clock.advance(61)
        assert 1 == len(await made.plans.expire())
        made.clock.advance(20)
        new = await claim(made)
        assert (1, 2) == (old["token"], new["token"])
        with pytest.raises(OrderNotHeld):
            await made.do(CompleteOrder(wo_id="W", token=1), CODEX)
        assert ["OK", None] == await made.sound()


async def test_files_are_taken_in_once_and_never_replace_each_other(tmp_path: Path) -> None:
    async with world(tmp_path, SETTINGS) as made:
        inbox = tmp_path / ".lumenflow" / "gateway" / "inbox"
        inbox.mkdir(parents=True)
        (inbox / "a.json").write_text(json.dumps({"wo_id": "W-1", "title": "one"}))
        (inbox / "b.yaml").write_text("wo_id: W-2\ntitle: two\nstrict_target: CLC\n")
        (inbox / "c.json").write_text("{ not json")
        (inbox / "d.yml").write_text("wo_id: W-3\ntitle: x\nstrict_target: nobody\n")
        (inbox / "notes.txt").write_text("not an order")
        (inbox / "link.json").symlink_to(tmp_path / "elsewhere.json")
        os.utime(inbox / "b.yaml", (1, 1))
        taken = await take_in(made.plans, tmp_path)
        assert "b.yaml" == taken[0].name
        assert {"a.json": "processed/a.json", "b.yaml": "processed/b.yaml",
                "c.json": "error/c.json", "d.yml": "error/d.yml"} == {
            each.name: each.moved_to for each in taken
        }  # fmt: skip
        assert (
            (tmp_path / ".lumenflow" / "gateway" / "error" / "d.yml.reason")
            .read_text()
            .startswith("ORDER_")
        )
        (inbox / "a.json").write_text(json.dumps({"wo_id": "W-1", "title": "one"}))
        [again] = await take_in(made.plans, tmp_path)
        assert "processed/a.1.json" == again.moved_to
        assert 2 == len((await list_orders(made.plans, ListOrders()))["orders"])
        assert ["link.json", "notes.txt"] == sorted(each.name for each in inbox.iterdir())
        assert ["OK", None] == await made.sound()


async def test_an_inbox_outside_of_the_workspace_is_not_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "a.json").write_text(json.dumps({"wo_id": "W-1", "title": "one"}))
    (root / ".lumenflow" / "gateway").mkdir(parents=True)
    (root / ".lumenflow" / "gateway" / "inbox").symlink_to(outside)
    async with world(root, SETTINGS) as made:
        assert [] == await take_in(made.plans, root)


async def test_an_event_and_a_file_reach_the_queue_through_the_daemon(tmp_path: Path) -> None:
    from conductor_packs.plan.store import Plans

    async with PackHarness(pack, workspace=tmp_path) as harness:
        harness.connect()
        inbox = tmp_path / ".lumenflow" / "gateway" / "inbox"
        inbox.mkdir(parents=True)
        (inbox / "a.json").write_text(json.dumps({"wo_id": "W-1", "title": "one"}))
        await harness.deliver({
            "kind": "conductor:work_order_submitted", "wo_id": "W-2", "title": "two",
            "priority": "urgent",
        })  # fmt: skip
        await tick(harness.context, Plans(harness.journal, harness.clock))
        answer = await harness.call_tool("order:claim", {"target": "main"})
        assert answer.data is not None
        assert "W-2" == answer.data["wo_id"]
        assert ["plan:order_received"] * 2 == [event.kind for event in harness.pushed]
