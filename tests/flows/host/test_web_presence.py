"""Runs end with their clients and their host; places are bounded and come free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conductor_flows.execute.notices import Notice
from conductor_flows.execute.services import Services
from conductor_flows.host.errors import Overloaded
from conductor_flows.host.hooks import Call, Ended
from conductor_flows.host.web.gate import Gate
from conductor_flows.host.web.site import Choices
from flow_web import EVENTS, JSON, Asked, Recorded, back, program_of, web
from virtual_time import turns, virtual


class Slow:
    """A node that takes a while, and knows when it was cancelled."""

    def __init__(self, takes_s: float = 3600.0) -> None:
        self.takes_s = takes_s
        self.began: list[Any] = []
        self.cancelled_at: list[float] = []

    async def run(self, value: Any) -> Any:
        self.began.append(value)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled_at.append(asyncio.get_running_loop().time())
            raise
        return value

    async def stream(self, value: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            yield 0
            yield await self.run(value)

        return each()


def slowly(takes_s: float = 3600.0) -> tuple[Slow, Any]:
    slow = Slow(takes_s)

    async def give(value: Any) -> Any:
        return await slow.run(value)

    return slow, give


def streaming(takes_s: float = 3600.0) -> tuple[Slow, Any]:
    slow = Slow(takes_s)

    async def give(value: Any) -> Any:
        return await slow.stream(value)

    return slow, give


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("at_s", [0.0, 0.005, 0.5, 40.0])
def test_a_client_that_goes_cancels_its_run_within_50_ms(*, streams: bool, at_s: float) -> None:
    @virtual
    async def run() -> None:
        slow, give = streaming() if streams else slowly()
        recorder = Recorded()
        app = web(program_of(give, streams=streams), Services(recorder=recorder), concurrency=1)
        asked = Asked(app, body=b"1", headers=JSON)
        await turns()
        await asyncio.sleep(at_s)
        assert [1] == slow.began
        gone_at = asyncio.get_running_loop().time()
        asked.disconnect()
        await asked.done()
        (cancelled_at,) = slow.cancelled_at
        assert cancelled_at - gone_at < 0.05
        assert 0 == len(app.site.guests)
        if not streams:
            assert [] == asked.sent
            assert 1 == recorder.counts["host.http_requests_total", "4xx"]
        # The place is free again.
        slow.takes_s = 0
        again = await Asked(app, body=b"2", headers=JSON).done()
        assert 200 == again.status

    run()


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("resumable_s", [0.0, 60.0])
def test_a_run_that_ends_with_its_client_is_told_as_web201(
    *, streams: bool, resumable_s: float
) -> None:
    @virtual
    async def run() -> None:
        _, give = streaming() if streams else slowly()
        told: list[Notice] = []
        program = program_of(give, streams=streams)
        app = web(program, Services(tell=told.append), resumable_s=resumable_s)
        async with app.alive():
            asked = Asked(app, body=b"1", headers=JSON)
            await asyncio.sleep(0.04)
            asked.disconnect()
            await asked.done()
        text = "connection closed after "
        # A stream that may be taken up again goes on.
        expected = [] if streams and resumable_s else [("WEB201", "asked", "POST /asked", text)]
        assert expected == [
            (each.code, each.flow, each.where, each.detail[: len(text)]) for each in told
        ]

    run()


@virtual
async def test_a_client_that_goes_before_it_took_the_head_of_a_stream_ends_its_run() -> None:
    ended: list[Ended] = []

    class Watches:
        async def before_execute(self, call: Call) -> None:
            del call

        async def after_execute(self, call: Call, how: Ended) -> None:
            del call
            ended.append(how)

    recorder = Recorded()
    _, give = streaming()
    program = program_of(give, streams=True)
    app = web(program, Services(recorder=recorder), hooks=(Watches(),))
    asked = Asked(app, body=b"1", headers=EVENTS, takes=asyncio.Event())
    await asyncio.sleep(1)
    asked.disconnect()
    await asked.done()
    assert [0] == [each.pieces for each in ended]
    levels = dict(recorder.levels)
    assert (0, 0) == (levels["host.sse_clients"], levels["host.http_inflight_requests"])


@virtual
async def test_a_client_that_goes_before_a_run_began_ended_none() -> None:
    told: list[Notice] = []
    app = web(program_of(back), Services(tell=told.append))
    asked = Asked(app, body=None, headers=JSON)
    await turns()
    asked.disconnect()
    await asked.done()
    assert [] == told


@virtual
async def test_a_client_that_goes_while_it_waits_leaves_its_place_in_the_queue() -> None:
    slow, give = slowly(2.0)
    app = web(program_of(give), concurrency=1, waiting=1)
    first = Asked(app, body=b"1", headers=JSON)
    await turns()
    second = Asked(app, body=b"2", headers=JSON)
    await asyncio.sleep(0.1)
    second.disconnect()
    await second.done()
    third = Asked(app, body=b"3", headers=JSON)
    assert [200, 200] == [(await asked.done()).status for asked in (first, third)]
    assert [1, 3] == slow.began


@virtual
async def test_more_than_may_wait_are_refused_at_once_and_those_who_wait_too_long_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow, give = slowly(20.0)
    app = web(program_of(give), concurrency=1, waiting=1, wait_s=5.0)
    first = Asked(app, body=b"1", headers=JSON)
    await turns()
    second = Asked(app, body=b"2", headers=JSON)
    await turns()
    third = await Asked(app, body=b"3", headers=JSON).done()
    assert 0.0 == asyncio.get_running_loop().time()
    await second.done()
    assert 5 == round(asyncio.get_running_loop().time())
    for refused in (second, third):
        assert (503, "FLOW_ROUTE_OVERLOADED") == (refused.status, refused.json["code"])
        assert "5" == refused.headers["retry-after"]
    assert (200, [1]) == ((await first.done()).status, slow.began)
    assert "" == caplog.text  # a crowd does not write our log


@virtual
async def test_a_deadline_cancels_and_is_a_504() -> None:
    slow, give = slowly()
    asked = await Asked(web(program_of(give), deadline_s=25.0), body=b"1", headers=JSON).done()
    assert 504 == asked.status
    assert 25 == round(slow.cancelled_at[0])


@virtual
async def test_a_cancellation_by_somebody_else_is_no_answer() -> None:
    slow, give = slowly()
    asked = Asked(web(program_of(give)), body=b"1", headers=JSON)
    await asyncio.sleep(1)
    asked.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked.task
    assert 1 == len(slow.cancelled_at)
    assert [] == asked.sent


# Draining


@pytest.mark.parametrize("streams", [False, True])
def test_draining_refuses_what_comes_and_lets_what_runs_end(*, streams: bool) -> None:
    @virtual
    async def run() -> None:
        _, give = streaming(3.0) if streams else slowly(3.0)
        app = web(program_of(give, streams=streams))
        asked = Asked(app, body=b"1", headers=JSON)
        await turns()
        draining = asyncio.create_task(app.drain())
        await turns()
        late = await Asked(app, body=b"2", headers=JSON).done()
        assert (503, "FLOW_HOST_DRAINING", "1") == (
            late.status, late.json["code"], late.headers["retry-after"]
        )  # fmt: skip
        assert 503 == (await Asked(app, "GET", "/healthz").done()).status
        await draining
        assert 3 == round(asyncio.get_running_loop().time())
        await asked.done()
        found = [event.data for event in asked.events] if streams else asked.json
        assert ([0, 1] if streams else 1) == found

    run()


@virtual
async def test_what_does_not_end_in_time_is_cancelled_and_told_so() -> None:
    slow, give = slowly()
    flowing, stream = streaming()
    plain = web(program_of(give), choices=Choices(drain_s=7))
    events = web(program_of(stream, streams=True), choices=Choices(drain_s=7))
    asked = [Asked(app, body=b"1", headers=JSON) for app in (plain, events)]
    await turns()
    await asyncio.gather(plain.drain(), events.drain())
    for each in asked:
        await each.done()
    assert [7, 7] == [round(each.cancelled_at[0]) for each in (slow, flowing)]
    assert (503, "FLOW_CANCELLED") == (asked[0].status, asked[0].json["code"])
    first, last = asked[1].events
    assert (0, "error", "FLOW_CANCELLED") == (first.data, last.name, last.data["code"])


@virtual
async def test_draining_an_idle_host_takes_no_time() -> None:
    app = web(program_of(back))
    await Asked(app, body=b"1", headers=JSON).done()
    await app.drain()
    assert 0.0 == asyncio.get_running_loop().time()


# Streams


@virtual
async def test_a_silent_stream_is_kept_open_by_comments() -> None:
    _, give = streaming(100.0)
    asked = await Asked(web(program_of(give, streams=True)), body=b"1", headers=EVENTS).done()
    assert b": keepalive\n\n" * 6 == asked.body.partition(b"data: 0\n\n")[2].partition(b"id:")[0]
    assert [0, 1] == [event.data for event in asked.events]


@virtual
async def test_a_stream_that_speaks_needs_no_comments() -> None:
    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            for number in range(20):
                await asyncio.sleep(10)
                yield number

        return each()

    asked = await Asked(web(program_of(give, streams=True)), body=b"1").done()
    assert b"keepalive" not in asked.body
    assert list(range(20)) == [event.data for event in asked.events]


@virtual
async def test_a_client_that_takes_nothing_holds_the_run_back_and_then_counts_as_gone() -> None:
    given: list[int] = []
    ended: list[float] = []

    async def give(_: Any) -> AsyncIterator[Any]:
        async def each() -> AsyncIterator[Any]:
            try:
                for number in range(1000):
                    given.append(number)
                    yield number
            finally:
                ended.append(asyncio.get_running_loop().time())

        return each()

    takes = asyncio.Event()
    takes.set()
    asked = Asked(web(program_of(give, streams=True)), body=b"1", takes=takes)
    await asked.begun(5)
    takes.clear()
    await asked.done()
    assert len(given) <= 33
    assert 60 <= ended[0] < 61


# The gate by itself


@virtual
async def test_who_waits_goes_in_in_the_order_of_coming() -> None:
    gate, order = Gate(1, 10, 60), list[int]()

    async def pass_through(number: int) -> None:
        await gate.enter()
        order.append(number)
        await asyncio.sleep(1)
        gate.leave()

    await asyncio.gather(*(pass_through(number) for number in range(5)))
    assert list(range(5)) == order
    assert 1 == gate.free


@virtual
async def test_a_turn_that_comes_to_somebody_who_gave_up_is_the_next_ones() -> None:
    gate = Gate(1, 10, 60)
    await gate.enter()
    first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
    await turns()
    gate.leave()
    first.cancel()
    await asyncio.wait({first, second}, timeout=1)
    assert first.cancelled()
    assert second.done()
    gate.leave()
    assert 1 == gate.free


@virtual
async def test_nobody_waits_where_nobody_may() -> None:
    gate = Gate(1, 0, 60)
    await gate.enter()
    with pytest.raises(Overloaded):
        await gate.enter()
