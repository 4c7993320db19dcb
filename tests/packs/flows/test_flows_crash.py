"""A sidecar that is killed in the middle of a run: the same run ends, its effects once."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import flow_desk
from conductor_packs.flows import engine
from flow_pack_world import (
    APPROVE,
    COMPLETED,
    FAILED,
    HALTED,
    RETRY,
    FlowWorld,
    attempts,
    config,
    effects,
    shout_fails,
)

REST = pytest.mark.soak
STRONG = [
    "before charge",
    "Carrier.carry.after",
    "Teller.rest.before",
    "HeldStore.release.after",
    *(pytest.param(point, marks=REST) for point in (
        "after reserve", "after mail", "Teller.started.before", "Teller.started.after",
        "Runs.finish.after", "Teller.rest.after", "Runs.told.after",
    )),
]  # fmt: skip
"""In a node of the flow, and between a run's end and everybody's knowing it."""
ENDED = {"Carrier.carry.after", "Runs.finish.after", "Teller.rest.before", "Teller.rest.after",
         "HeldStore.release.after", "Runs.told.after"}  # fmt: skip
HALTING = ["Carrier.carry.after", *(
    pytest.param(point, marks=REST) for point in ("Runs.finish.after", "Teller.rest.after")
)]  # fmt: skip
DECIDED = ["after ship", *(
    pytest.param(point, marks=REST) for point in ("Carrier.carry.after", "Runs.answer.after")
)]  # fmt: skip
RETRIED = ["Runs.again.after", *(
    pytest.param(point, marks=REST) for point in ("Teller.retried.after", "Teller.started.after")
)]  # fmt: skip
ONCE = [("reserve", "tea"), ("charge", "tea"), ("mail", "tea")]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FlowWorld]:
    monkeypatch.setattr(engine, "LOOK_S", 0.02)
    monkeypatch.setattr(flow_desk, "desk", flow_desk.Desk())
    made = FlowWorld(tmp_path)
    await made.open()
    yield made
    await made.end()


async def taken_up(world: FlowWorld) -> None:
    await world.start(pack={"flows": config()})
    await world.linked()


@pytest.mark.parametrize("point", STRONG)
async def test_a_strong_run_that_is_killed_ends_once_in_effect(
    world: FlowWorld, point: str
) -> None:
    await world.ask("strong")
    assert -signal.SIGKILL == await world.dies(point)
    await taken_up(world)
    [event] = await world.told(COMPLETED)
    await world.settled()
    assert {"item": "TEA", "note": ""} == event.payload["result"]
    assert ONCE == effects(world.workspace.root)
    assert 1 == len(await world.pushed(COMPLETED))
    if point in ENDED:
        assert ["reserve", "charge", "mail"] == attempts(world.workspace.root)


@pytest.mark.parametrize("point", HALTING)
async def test_a_run_that_is_killed_as_it_halts_asks_once(world: FlowWorld, point: str) -> None:
    await world.ask("approved")
    assert -signal.SIGKILL == await world.dies(point)
    await taken_up(world)
    [halted] = await world.told(HALTED)
    token = halted.payload["waits"][0]["token"]
    await world.say(APPROVE, {"token": token, "approved": True})
    await world.told(COMPLETED)
    await world.settled()
    assert 1 == len(await world.pushed(HALTED))
    assert [("ship", "tea")] == effects(world.workspace.root)


@pytest.mark.parametrize("point", DECIDED)
async def test_a_decision_is_asked_for_once_though_the_sidecar_dies_after_it(
    world: FlowWorld, point: str
) -> None:
    await taken_up(world)
    await world.ask("approved")
    [halted] = await world.told(HALTED)
    await world.stop()
    await world.say(APPROVE, {"token": halted.payload["waits"][0]["token"], "approved": True})
    assert -signal.SIGKILL == await world.dies(point)
    await taken_up(world)
    await world.told(COMPLETED)
    await world.settled()
    assert (1, 1) == (len(await world.pushed(HALTED)), len(await world.pushed(COMPLETED)))
    assert [("ship", "tea")] == effects(world.workspace.root)


@pytest.mark.parametrize("point", RETRIED)
async def test_a_run_that_is_tried_again_goes_on_though_the_sidecar_dies(
    world: FlowWorld, point: str
) -> None:
    shout_fails(world.workspace.root)
    await taken_up(world)
    await world.ask("strong")
    [failed] = await world.told(FAILED)
    await world.stop()
    await world.say(RETRY, {"run_id": failed.payload["run_id"]}, "again")
    assert -signal.SIGKILL == await world.dies(point)
    flow_desk.desk.gate.set()
    await taken_up(world)
    [completed] = await world.told(COMPLETED)
    await world.settled()
    assert failed.payload["run_id"] == completed.payload["run_id"]
    assert (1, ONCE) == (len(await world.pushed(FAILED)), effects(world.workspace.root))
    assert ["reserve", "charge", "mail"] == attempts(world.workspace.root)
