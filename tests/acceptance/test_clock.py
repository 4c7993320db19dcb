"""Clock jumps: retention, retry and expiry, on the real stores with a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conductor_handlers.dispatcher import Dispatcher
from conductor_handlers.settlement import RetryPolicy
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.handler import Handled, Retry
from conductor_sdk.records import Arrival, Delivered, Outgoing, RetryLater
from conductor_sdk.workspace import resolve_workspace
from conductor_sidecar.app import Stores, open_stores
from conductor_sidecar.report import read_stores
from conductor_sidecar.settings import Settings
from dispatch_bench import KIND, Bench, Seen, make_event, subscriber

HOUR = 3600.0
WEEK = 7 * 24 * HOUR


@asynccontextmanager
async def opened(
    directory: Path, clock: ManualClock, settings: Settings | None = None
) -> AsyncIterator[Stores]:
    workspace = resolve_workspace(directory)
    async with open_stores(workspace, settings or Settings(), clock=clock) as stores:
        yield stores


async def settle_one(stores: Stores, number: int) -> None:
    event = make_event(number)
    arrival = Arrival(event.event_id, event.kind, event.to_json())
    receipt = await stores.log.receive("epoch", number, [arrival])
    [position] = receipt.positions
    assert position is not None
    await stores.log.claim([position])
    await stores.log.settle([Delivered(position, "handled", "done")])


async def resend(stores: Stores, number: int) -> int:
    """Receive an event again; returns how many were known as settled."""
    event = make_event(number)
    arrival = Arrival(event.event_id, event.kind, event.to_json())
    return (await stores.log.receive("epoch", number, [arrival])).replayed


async def prune(stores: Stores, clock: ManualClock) -> int:
    window = timedelta(days=7)
    return await stores.log.prune(epoch_ms(clock.now() - window), 1000)


@pytest.mark.parametrize("jump_s", [-24 * HOUR, -1.0, 0.0, 24 * HOUR])
async def test_a_clock_that_jumps_forgets_nothing_inside_the_window(
    tmp_path: Path, jump_s: float
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as stores:
        await settle_one(stores, 1)
        clock.jump(jump_s)
        await settle_one(stores, 2)
        clock.advance(WEEK - 25 * HOUR)

        assert await prune(stores, clock) == 0
        assert [1, 1] == [await resend(stores, number) for number in (1, 2)]


async def test_after_the_window_what_is_settled_is_forgotten_even_if_the_clock_went_back(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as stores:
        await settle_one(stores, 1)
        clock.jump(-HOUR)
        await settle_one(stores, 2)
        clock.advance(WEEK + 3 * HOUR)
        while await prune(stores, clock):
            pass

        assert [0, 0] == [await resend(stores, number) for number in (1, 2)]


async def test_an_unsettled_event_outlives_every_jump(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as stores:
        event = make_event(1)
        arrival = Arrival(event.event_id, event.kind, event.to_json())
        await stores.log.receive("epoch", 1, [arrival])
        clock.jump(10 * WEEK)
        await prune(stores, clock)

        assert [of.event_id for of in await stores.log.pending(0, 10)] == [event.event_id]


async def test_a_retry_is_not_put_off_by_a_clock_that_went_back_during_the_night() -> None:
    """Stored as due in a year by a clock that was wrong: it waits no longer than one retry may."""
    runs: list[int] = []

    async def handler(event: Any, _: Any) -> Handled:
        runs.append(1)
        return Handled()

    policy = RetryPolicy(max_attempts=3, first_delay_s=0.01, cap_s=0.05)
    bench = Bench({KIND: (subscriber(handler, policy=policy),)})
    [(position, _)] = await bench.store(make_event(1))
    await bench.log.claim([position])
    due = epoch_ms(bench.clock.now()) + 365 * 86_400_000
    await bench.log.settle([RetryLater(position, 1, due, "later")])
    async with bench.running():
        await bench.dispatcher.resume(await bench.log.pending(0, 10))
        await bench.settled(1)

    assert runs == [1]


@pytest.mark.parametrize("jump_s", [-365 * 24 * HOUR, 365 * 24 * HOUR])
async def test_a_jump_between_attempts_neither_stalls_nor_hastens_the_next_ones(
    jump_s: float,
) -> None:
    runs: list[int] = []
    bench: Bench

    async def handler(event: Any, _: Any) -> Any:
        runs.append(1)
        if len(runs) < 3:
            bench.clock.jump(jump_s)
            return Retry("soon", after_s=0.01)
        return Handled()

    bench = Bench({KIND: (subscriber(handler),)})
    async with bench.running():
        await bench.arrive(make_event(1))
        await bench.settled(3)

    assert len(runs) == 3


async def test_expiry_goes_by_the_age_and_survives_a_clock_that_went_back(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = Settings.model_validate({"outbox": {"max_age_s": 60}})
    async with opened(tmp_path, clock, settings) as stores:
        await stores.outbox.put([Outgoing("a", "acme-demo:job_queued", b"{}")])
        clock.jump(-HOUR)
        assert await stores.outbox.expire(epoch_ms(clock.now())) == 0
        facts = await read_stores(stores.log, stores.outbox, stores.desk.approvals, clock)
        assert facts.outbox.oldest_age_s == 0.0
        clock.jump(HOUR)
        assert await stores.outbox.expire(epoch_ms(clock.now())) == 0
        clock.advance(61)

        assert await stores.outbox.expire(epoch_ms(clock.now())) == 1
        counts = (await stores.outbox.counts())["acme-demo:job_queued"]
        assert (counts.buffered, dict(counts.dropped)) == (0, {"expired": 1})


async def test_the_journal_is_whole_when_the_clock_goes_back(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as stores:
        for _ in range(3):
            await stores.journal.append("SOMETHING", "operator", {"n": 1})
            clock.jump(-HOUR)

        assert (await stores.journal.verify()).chain == "OK"


async def test_a_story_is_told_in_the_order_of_its_steps_whatever_the_clock_says(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with opened(tmp_path, clock) as stores:
        seen = Seen()

        async def handler(event: Any, _: Any) -> Handled:
            clock.jump(-HOUR)
            await asyncio.sleep(0)
            return Handled()

        dispatcher = Dispatcher(
            stores.log, {KIND: (subscriber(handler),)}, clock, random=lambda: 0.0, observer=seen
        )
        running = asyncio.create_task(dispatcher.run())
        event = make_event(1)
        arrival = Arrival(event.event_id, event.kind, event.to_json())
        receipt = await stores.log.receive("epoch", 1, [arrival])
        await dispatcher.submit([(receipt.positions[0] or 0, event)])
        await seen.until(lambda: len(seen.outcomes) == 1)
        story = await stores.log.story(event.event_id)
        await dispatcher.drain(1.0)
        await running

    assert story is not None
    assert ["received", "stored", "attempt", "settled"] == [step.what for step in story.steps]
