"""A thousand events and up to fifty SIGKILLs of either end: none lost, each effect once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crash_inprocess
import crash_pack
from crash_children import Home
from crash_traffic import SUBJECT
from installed import install
from mosquitto import Broker
from thousand import EVENTS, Carrier, Tally, Thousand, deaths, one, read_tally

CARRIERS: tuple[Carrier, ...] = ("websocket", "mqtt")


@contextmanager
def lineage(carrier: Carrier, directory: Path, seed: int, number: int) -> Iterator[Thousand]:
    home = Home(directory / "home", seed=seed, resends=False)
    home.directory.mkdir()
    line = Thousand(home, carrier=carrier, per_death=EVENTS // (number + 1) + 1)
    broker = Broker(directory / "broker")
    if carrier == "mqtt":
        broker.__enter__()
        line.broker = broker.address()
    try:
        line.begin()
        yield line
    finally:
        for life in line.lives.values():
            life.process.kill()
            life.process.join()
        broker.stop()


def judge(tally: Tally) -> None:
    sent = {one(n).event_id for n in range(1, EVENTS + 1)}
    assert (EVENTS, sent) == (len(tally.effects), set(tally.effects))
    assert (EVENTS, {one(n).done_id for n in range(1, EVENTS + 1)}) == (
        len(tally.pushed), set(tally.pushed)
    )  # fmt: skip
    assert (EVENTS, EVENTS, True) == (tally.accepted, tally.delivered, tally.balanced)


def endure(carrier: Carrier, directory: Path, *, seed: int, number: int) -> None:
    with lineage(carrier, directory, seed, number) as line:
        line.suffer(deaths(carrier, number, seed))
        line.drain()
        tally = asyncio.run(read_tally(line.home))
        assert number == len(line.deaths)
    judge(tally)


async def endure_in_memory(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, seed: int, number: int
) -> None:
    """The same with both ends in this process: the memory adapter has no other."""
    home = Home(directory / f"home{seed}", seed=seed, resends=False)
    (home.directory / SUBJECT).mkdir(parents=True)
    install(
        home.installed, packs={"crash_pack": "crash_pack:pack"},
        adapters={"simulated": "crash_inprocess:adapter"},
    )  # fmt: skip
    monkeypatch.syspath_prepend(str(home.installed))
    monkeypatch.setattr(crash_pack, "hooks", crash_pack.Hooks())
    suffered = await crash_inprocess.endure(home, deaths=number, seed=seed)
    judge(await read_tally(home))
    assert number == sum(suffered.values())


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_thousand_events_survive_five_kills(carrier: Carrier, tmp_path: Path) -> None:
    endure(carrier, tmp_path, seed=1, number=5)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_thousand_events_survive_fifty_kills(carrier: Carrier, seed: int, tmp_path: Path) -> None:
    endure(carrier, tmp_path, seed=seed, number=50)


async def test_a_thousand_events_in_memory_survive_five_simulated_deaths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await endure_in_memory(tmp_path, monkeypatch, seed=1, number=5)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
async def test_a_thousand_events_in_memory_survive_fifty_simulated_deaths(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await endure_in_memory(tmp_path, monkeypatch, seed=seed, number=50)
