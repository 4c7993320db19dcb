"""A stream may be taken up again where its route says so, and then without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conductor_flows.host.web import live
from conductor_flows.host.web.application import WebHost
from flow_web import EVENTS, Asked, counting, program_of, web
from virtual_time import turns, virtual


def resumable(count: int = 10, every_s: float = 1.0, **route: Any) -> WebHost:
    program = program_of(counting(count, every_s), streams=True)
    return web(program, **({"resumable_s": 30.0} | route))


async def read_until(asked: Asked, number: int) -> str:
    """Read to an event, and go away; returns its id."""
    while len(asked.events) <= number:
        await asked.begun(len(asked.sent) + 1)
    asked.disconnect()
    await asked.done()
    return str(asked.events[number].id)


def back_at(app: WebHost, last: str) -> Asked:
    return Asked(app, body=b"1", headers=EVENTS | {"last-event-id": last})


@virtual
async def test_a_client_that_comes_back_goes_on_after_its_last_event() -> None:
    app = resumable()
    first = Asked(app, body=b"1", headers=EVENTS)
    last = await read_until(first, 3)
    await asyncio.sleep(3)
    again = await back_at(app, last).done()
    assert list(range(4, 10)) == [event.data for event in again.events]
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    ids = [str(event.id) for event in again.events]
    assert [last.replace(".4", f".{number}") for number in range(5, 11)] == ids


@virtual
async def test_events_that_were_lost_on_the_way_come_again() -> None:
    app = resumable()
    last = await read_until(Asked(app, body=b"1", headers=EVENTS), 5)
    again = await back_at(app, last.replace(".6", ".2")).done()
    assert list(range(2, 10)) == [event.data for event in again.events]


@virtual
async def test_a_run_that_is_over_is_not_begun_again() -> None:
    app = resumable()
    asked = await Asked(app, body=b"1", headers=EVENTS).done()
    end = str(asked.events[-1].id)
    stop = await back_at(app, end).done()
    assert (204, b"") == (stop.status, stop.body)
    lost = await back_at(app, end.replace(".10", ".8")).done()
    assert [8, 9] == [event.data for event in lost.events]
    await asyncio.sleep(31)
    assert 0 == len(app.site.live[0])
    assert 204 == (await back_at(app, end.replace(".10", ".8")).done()).status


@virtual
async def test_a_run_to_which_nobody_comes_back_ends_after_its_grace() -> None:
    app = resumable(count=1000, concurrency=1)
    last = await read_until(Asked(app, body=b"1", headers=EVENTS), 1)
    await asyncio.sleep(29)
    assert 1 == len(app.site.live[0])
    await asyncio.sleep(2)
    assert 0 == len(app.site.live[0])
    assert 204 == (await back_at(app, last).done()).status
    # The place is free again.
    begun = await Asked(app, body=b"1", headers=EVENTS).begun(4)
    assert [0, 1] == [event.data for event in begun.events]
    await app.drain()


@virtual
async def test_a_run_whose_client_went_before_it_took_the_head_ends_after_its_grace() -> None:
    app = resumable(count=1000, concurrency=1, waiting=0)
    gone = Asked(app, body=b"1", headers=EVENTS, takes=asyncio.Event())
    await asyncio.sleep(1)
    gone.disconnect()
    await gone.done()
    await asyncio.sleep(29)
    full = await Asked(app, body=b"1").done()
    assert 503 == full.status
    await asyncio.sleep(2)
    assert 0 == len(app.site.live[0])
    again = await Asked(app, body=b"1", headers=EVENTS).begun(3)
    assert [0] == [event.data for event in again.events]
    again.disconnect()
    await again.done()
    await app.drain()


@virtual
async def test_a_run_without_grace_ends_with_its_connection() -> None:
    app = resumable(resumable_s=0.0)
    last = await read_until(Asked(app, body=b"1", headers=EVENTS), 1)
    assert 204 == (await back_at(app, last).done()).status


@virtual
async def test_an_id_of_somebody_else_begins_a_run() -> None:
    app = resumable(count=2)
    for last in ("7", "run-1.2", "", "run-" + "0" * 36 + ".x", "\xff"):
        assert [0, 1] == [event.data for event in (await back_at(app, last).done()).events]


@virtual
async def test_a_run_is_told_only_on_its_own_route() -> None:
    mine, other = resumable(), resumable()
    last = await read_until(Asked(mine, body=b"1", headers=EVENTS), 1)
    assert 204 == (await back_at(other, last).done()).status
    await mine.drain()


@virtual
async def test_an_event_that_has_not_been_is_a_410() -> None:
    app = resumable()
    last = await read_until(Asked(app, body=b"1", headers=EVENTS), 1)
    asked = await back_at(app, last.replace(".2", ".9")).done()
    (event,) = asked.events
    assert ("error", "FLOW_REQUEST_REFUSED") == (event.name, event.data["code"])
    await app.drain()


@virtual
async def test_what_is_not_kept_any_more_is_a_410_and_no_gap() -> None:
    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            for _ in range(6):
                await asyncio.sleep(1)
                yield "x" * (live.KEPT_BYTES // 2)

        return each()

    app = web(program_of(give, streams=True), resumable_s=30.0)
    last = await read_until(Asked(app, body=b"1", headers=EVENTS), 4)
    asked = await back_at(app, last.replace(".5", ".1")).done()
    (event,) = asked.events
    assert "What came after event 1 is not kept any more" == event.data["error"]
    assert 1 == len((await back_at(app, last).done()).events)


@virtual
async def test_a_second_reader_takes_the_place_of_the_first() -> None:
    app = resumable()
    first = Asked(app, body=b"1", headers=EVENTS)
    while len(first.events) < 3:
        await first.begun(len(first.sent) + 1)
    second = back_at(app, str(first.events[2].id))
    await first.done()
    await second.done()
    assert [0, 1, 2] == [event.data for event in first.events]
    assert list(range(3, 10)) == [event.data for event in second.events]


@virtual
async def test_a_run_is_not_far_ahead_of_its_reader() -> None:
    given: list[int] = []

    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            for number in range(10_000):
                given.append(number)
                yield number

        return each()

    app = web(program_of(give, streams=True), resumable_s=30.0)
    takes = asyncio.Event()
    asked = Asked(app, body=b"1", headers=EVENTS, takes=takes)
    await turns(1000)
    assert live.AHEAD == len(given)
    takes.set()
    await asked.begun(500)
    asked.disconnect()
    await asked.done()
    await app.drain()


@virtual
async def test_what_nobody_has_read_is_kept_however_large_and_then_nothing_more_is_made() -> None:
    given: list[int] = []

    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            for number in range(9):
                given.append(number)
                yield [number, "x" * (live.KEPT_BYTES // 2)]

        return each()

    app = web(program_of(give, streams=True), resumable_s=30.0)
    takes = asyncio.Event()
    asked = Asked(app, body=b"1", headers=EVENTS, takes=takes)
    await turns(1000)
    assert [0, 1] == given
    takes.set()
    await asked.done()
    assert list(range(9)) == [event.data[0] for event in asked.events]


@virtual
async def test_a_failure_is_told_to_the_reader_who_came_back() -> None:
    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            yield 0
            await asyncio.sleep(5)
            raise LookupError("gone")

        return each()

    app = web(program_of(give, streams=True), resumable_s=30.0)
    last = await read_until(Asked(app, body=b"1", headers=EVENTS), 0)
    (event,) = (await back_at(app, last).done()).events
    assert ("error", "FLOW_NODE_FAILED") == (event.name, event.data["code"])


@virtual
async def test_what_is_kept_of_runs_that_have_ended_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def large(_: Any) -> AsyncIterator[Any]:
        async def pieces() -> AsyncIterator[Any]:
            yield "x" * 400
            yield "x" * 400

        return pieces()

    for limit, value in (("ENDED_BYTES", 2000), ("ENDED_MAX", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(live, limit, value)
            app = web(program_of(large, streams=True), resumable_s=30.0)
            firsts = [(await Asked(app, body=b"1", headers=EVENTS).done()).events[0].id
                      for _ in range(8)]  # fmt: skip
            (runs,) = app.site.live
            assert 3 == len(runs)  # the last one came after there was room for it
            answers = [(await back_at(app, str(each)).done()).status for each in firsts]
            assert [204] * 5 + [200] * 3 == answers
            await app.drain()


@virtual
async def test_a_run_that_is_being_read_makes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ENDED_MAX", 0)
    app = resumable(3, 0.0)
    takes = asyncio.Event()
    slow = Asked(app, body=b"1", headers=EVENTS, takes=takes)
    await turns()
    await Asked(app, body=b"1", headers=EVENTS).done()
    takes.set()
    await slow.done()
    assert [0, 1, 2] == [event.data for event in slow.events]
