"""A collector that is slow, broken or away changes nothing for events, and is counted."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import delivery_pack
from conductor_sdk.errors import Exit
from conductor_sidecar.cli.main import cli
from conductor_sidecar.settings import DrainSettings, TracesSettings
from conductor_sidecar.tracing.errors import OtlpAddressInvalid
from delivery_pack import QUEUED
from delivery_world import World, install_delivery_pack
from otlp_collector import Collector, collecting

EVENTS = 50
ROOM = 16


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    install_delivery_pack(tmp_path, monkeypatch)
    world = World(tmp_path, "inprocess")
    yield world
    await world.end()


def hang(collector: Collector) -> None:
    collector.open.clear()


def refuse(collector: Collector) -> None:
    collector.status = 500


def vanish(collector: Collector) -> None:
    collector.url = "http://127.0.0.1:9"  # the discard port: nobody listens there


@pytest.mark.parametrize("trouble", [hang, refuse, vanish], ids=lambda trouble: trouble.__name__)
async def test_every_event_is_delivered_whatever_the_collector_does(
    world: World, collector: Collector, trouble: Any
) -> None:
    trouble(collector)
    await world.open()
    await world.start(
        traces=TracesSettings(otlp_endpoint=collector.url, timeout_s=0.2, queue_spans=ROOM),
        drain=DrainSettings(deadline_s=0.5),
    )
    await world.send(*range(EVENTS), do="push")
    status = await world.settled()
    assert list(range(EVENTS)) == sorted(world.desk.handled)
    assert list(range(EVENTS)) == sorted(await world.pushed_numbers())
    traces = status["traces"]
    assert 0 == traces["exported"]
    # A span for each attempt and each push, and one or more for the batches.
    assert 2 * EVENTS < sum(traces.values())
    assert traces["queued"] <= ROOM
    await world.stop()


async def test_all_spans_of_many_events_arrive(world: World, collector: Collector) -> None:
    await world.open()
    await world.start(traces=TracesSettings(otlp_endpoint=collector.url))
    await world.send(*range(EVENTS), do="push")
    await world.settled()
    await world.stop()
    assert [EVENTS, EVENTS] == [
        len(collector.named(name)) for name in (f"handle {delivery_pack.ASKED}", f"push {QUEUED}")
    ]
    assert "traces" not in {thread.name for thread in threading.enumerate()}


async def test_a_wrong_address_ends_the_start(world: World) -> None:
    await world.open()
    with pytest.raises(OtlpAddressInvalid):
        await world.start(traces=TracesSettings(otlp_endpoint="collector:4317"))


@pytest.mark.parametrize(
    "command",
    ["push a:b", "inbox --send a:b", "dev send a:b --to ws"],
)
def test_a_traceparent_that_is_none_is_refused_before_anything_is_sent(command: str) -> None:
    words = [*command.split(), "--traceparent", "00-abc-def-01"]
    done = CliRunner().invoke(cli, words)
    assert (Exit.USAGE, True) == (done.exit_code, "32 hex digits" in done.output)
