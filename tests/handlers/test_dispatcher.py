from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conductor_handlers.attempt import current_attempt
from conductor_handlers.contexts import PackKeys
from conductor_handlers.dispatcher import DispatchSettings
from conductor_handlers.settlement import RetryPolicy
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Ignored, Reject, Replayed, Retry
from conductor_sdk.pack_errors import StorageFailed
from conductor_sdk.records import Buried, Delivered, RetryLater
from conductor_state.errors import StoreFull
from dispatch_bench import KIND, Bench, make_event, subscriber


def counts(bench: Bench) -> Any:
    return bench.log.counts()


async def test_an_event_is_handled_once_and_settled() -> None:
    calls: list[str] = []

    async def handler(event: KernelEvent, _: Any) -> Handled:
        calls.append(event.event_id)
        return Handled("did")

    async with Bench({KIND: (subscriber(handler),)}).running() as bench:
        event = make_event(1)
        await bench.arrive(event)
        await bench.settled(1)

        assert [event.event_id] == calls
        assert [Delivered(bench.seen.outcomes[0].position, "handled", "did")] == bench.seen.outcomes
        assert await bench.log.backlog() == 0


async def test_events_of_one_key_run_in_order_of_arrival() -> None:
    order: list[int] = []

    async def handler(event: KernelEvent, _: Any) -> Handled:
        await asyncio.sleep(0)
        order.append(event.payload["n"])
        return Handled()

    async with Bench({KIND: (subscriber(handler),)}).running() as bench:
        await bench.arrive(*(make_event(n) for n in range(300)))
        await bench.settled(300)

    assert list(range(300)) == order


async def test_a_stuck_key_holds_its_own_lane_only() -> None:
    gate, done = asyncio.Event(), []

    async def handler(event: KernelEvent, _: Any) -> Handled:
        if event.payload["n"] == 0:
            await gate.wait()
        done.append(event.payload["n"])
        return Handled()

    by_key = subscriber(handler, partition_key=lambda e: str(e.payload["n"] % 2))
    async with Bench({KIND: (by_key,)}).running() as bench:
        await bench.arrive(*(make_event(n) for n in range(10)))
        await bench.settled(5)

        assert done == [1, 3, 5, 7, 9]
        gate.set()
        await bench.settled(10)
        assert done[5:] == [0, 2, 4, 6, 8]


async def test_a_failed_attempt_is_tried_again_before_later_events_of_its_key() -> None:
    order: list[int] = []

    async def handler(event: KernelEvent, _: Any) -> Handled:
        order.append(event.payload["n"])
        if order == [0]:
            raise ValueError("boom")
        return Handled()

    async with Bench({KIND: (subscriber(handler),)}).running() as bench:
        await bench.arrive(make_event(0), make_event(1))
        await bench.settled(3)

    assert order == [0, 0, 1]
    assert isinstance(bench.seen.outcomes[0], RetryLater)


async def test_an_event_is_a_dead_letter_after_exactly_its_attempts() -> None:
    calls = 0

    async def handler(_: KernelEvent, __: Any) -> Handled:
        nonlocal calls
        calls += 1
        raise ValueError("boom")

    async with Bench({KIND: (subscriber(handler),)}).running() as bench:
        await bench.arrive(make_event(0))
        await bench.settled(3)

        assert calls == 3
        [letter] = await bench.dead.list()
        assert (letter.error_code, letter.attempts) == ("HANDLER_FAILED", 3)
        assert "ValueError: boom" in letter.error


async def test_a_rejected_event_is_a_dead_letter_at_once() -> None:
    async def handler(_: KernelEvent, __: Any) -> Reject:
        return Reject("never")

    async with Bench({KIND: (subscriber(handler),)}).running() as bench:
        await bench.arrive(make_event(0))
        await bench.settled(1)

    assert isinstance(bench.seen.outcomes[0], Buried)


async def test_a_hanging_handler_is_cancelled_at_its_deadline_and_other_lanes_go_on() -> None:
    async def handler(event: KernelEvent, _: Any) -> Handled:
        if event.payload["n"] == 0:
            await asyncio.Event().wait()
        return Handled()

    hanging = subscriber(
        handler, policy=RetryPolicy(max_attempts=1), deadline_s=0.05,
        partition_key=lambda e: str(e.payload["n"]),
    )  # fmt: skip
    async with Bench({KIND: (hanging,)}).running() as bench:
        await bench.arrive(make_event(0), make_event(1))
        await bench.settled(2)

    assert {"HANDLER_TIMEOUT"} == {
        o.error_code for o in bench.seen.outcomes if isinstance(o, Buried)
    }
    assert sum(isinstance(o, Delivered) for o in bench.seen.outcomes) == 1


async def test_a_handler_that_swallows_its_cancellation_ends_all_the_same() -> None:
    async def handler(_: KernelEvent, __: Any) -> Handled:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return Handled("late")
        return Handled()

    async with Bench({KIND: (subscriber(handler, deadline_s=0.05),)}).running() as bench:
        await bench.arrive(make_event(0), make_event(1))
        await bench.settled(2)

    assert [getattr(o, "action", "") for o in bench.seen.outcomes] == ["late", "late"]


@pytest.mark.parametrize("nonsense", [None, True, "handled", {"status": "handled"}])
async def test_nonsense_from_a_handler_is_a_coded_failure(nonsense: object) -> None:
    async def handler(_: KernelEvent, __: Any) -> object:
        return nonsense

    once = subscriber(handler, policy=RetryPolicy(max_attempts=1))
    async with Bench({KIND: (once,)}).running() as bench:
        await bench.arrive(make_event(0))
        await bench.settled(1)

    [outcome] = bench.seen.outcomes
    assert isinstance(outcome, Buried)
    assert outcome.error_code == "HANDLER_NONSENSE"


async def test_a_handler_that_exits_does_not_end_the_daemon() -> None:
    async def handler(event: KernelEvent, _: Any) -> Handled:
        if event.payload["n"] == 0:
            raise SystemExit(3)
        return Handled()

    once = subscriber(handler, policy=RetryPolicy(max_attempts=1))
    async with Bench({KIND: (once,)}).running() as bench:
        await bench.arrive(make_event(0), make_event(1))
        await bench.settled(2)

    assert [type(o).__name__ for o in bench.seen.outcomes] == ["Buried", "Delivered"]


async def test_a_kind_without_a_subscriber_is_settled_as_unhandled() -> None:
    async with Bench({}).running() as bench:
        await bench.arrive(make_event(0, kind="other:thing"))
        await bench.settled(1)

        [outcome] = bench.seen.outcomes
        assert isinstance(outcome, Delivered)
        assert outcome.status == "unhandled"
        assert dict((await bench.log.counts())["other:thing"].dropped) == {"unhandled": 1}


async def test_two_packs_share_an_event_and_one_that_fails_is_tried_alone() -> None:
    calls: list[str] = []

    async def first(_: KernelEvent, __: Any) -> Handled:
        calls.append("first")
        return Handled("one")

    async def second(_: KernelEvent, __: Any) -> Handled:
        calls.append("second")
        if calls.count("second") == 1:
            raise ValueError("boom")
        return Handled("two")

    routes = {KIND: (subscriber(first, slug="a"), subscriber(second, slug="b"))}
    async with Bench(routes).running() as bench:
        await bench.arrive(make_event(0))
        await bench.seen.until(lambda: any(isinstance(o, Delivered) for o in bench.seen.outcomes))

    assert (calls.count("first"), calls.count("second")) == (1, 2)
    assert {"Delivered", "RetryLater"} == {type(o).__name__ for o in bench.seen.outcomes}


async def test_a_redriven_shared_event_runs_only_the_pack_that_gave_up() -> None:
    calls: list[str] = []
    broken = True

    async def first(_: KernelEvent, __: Any) -> Handled:
        calls.append("first")
        return Handled()

    async def second(_: KernelEvent, __: Any) -> Handled | Reject:
        calls.append("second")
        return Reject("no") if broken else Handled()

    routes = {KIND: (subscriber(first, slug="a"), subscriber(second, slug="b"))}
    async with Bench(routes).running() as bench:
        event = make_event(0)
        await bench.arrive(event)
        await bench.settled(1)
        broken = False
        await bench.dispatcher.resume(list(await bench.dead.redrive([event.event_id])))
        await bench.settled(2)

    assert calls == ["first", "second", "second"]
    assert isinstance(bench.seen.outcomes[-1], Delivered)


async def test_replay_keys_become_durable_with_the_outcome_and_are_seen_at_once() -> None:
    seen: list[bool] = []

    async def handler(event: KernelEvent, _: Any) -> Handled | Replayed:
        seen.append(await keys.has("k"))
        if seen[-1]:
            return Replayed()
        await keys.put("k")
        seen.append(await keys.has("k"))
        return Handled()

    bench = Bench({KIND: (subscriber(handler),)})
    keys = PackKeys("demo", bench.log)
    async with bench.running():
        await bench.arrive(make_event(0), make_event(1))
        await bench.settled(2)

        assert seen == [False, True, True]
        assert await bench.log.has_key("demo", "k")


async def test_a_replay_key_of_a_failed_attempt_is_kept() -> None:
    async def handler(_: KernelEvent, __: Any) -> Handled:
        await keys.put("k")
        raise ValueError("after the effect")

    once = subscriber(handler, policy=RetryPolicy(max_attempts=1))
    bench = Bench({KIND: (once,)})
    keys = PackKeys("demo", bench.log)
    async with bench.running():
        await bench.arrive(make_event(0))
        await bench.settled(1)

        assert await bench.log.has_key("demo", "k")


async def test_an_effect_that_was_committed_with_its_key_is_not_repeated_after_a_crash() -> None:
    calls = 0

    async def handler(_: KernelEvent, __: Any) -> Handled:
        nonlocal calls
        calls += 1
        return Handled()

    async def committed(event_id: str) -> bool:
        return True

    bench = Bench({KIND: (subscriber(handler, done_before=committed),)})
    [(position, _)] = await bench.store(make_event(0))
    await bench.log.claim([position])
    assert await bench.log.reap() == 1
    async with bench.running():
        await bench.dispatcher.resume(await bench.log.pending(0, 10))
        await bench.settled(1)

    assert calls == 0
    assert bench.seen.outcomes[0].status == "replayed"


async def test_an_event_that_killed_the_process_too_often_is_buried_without_a_run() -> None:
    calls = 0

    async def handler(_: KernelEvent, __: Any) -> Handled:
        nonlocal calls
        calls += 1
        return Handled()

    bench = Bench({KIND: (subscriber(handler),)})
    [(position, _)] = await bench.store(make_event(0))
    for _ in range(3):
        await bench.log.claim([position])
        await bench.log.reap()
    async with bench.running():
        await bench.dispatcher.resume(await bench.log.pending(0, 10))
        await bench.settled(1)

    [outcome] = bench.seen.outcomes
    assert calls == 0
    assert isinstance(outcome, Buried)
    assert (outcome.attempts, outcome.error_code) == (3, "HANDLER_CRASHED")


async def test_a_drain_lets_running_handlers_finish_and_costs_the_others_no_attempt() -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def handler(_: KernelEvent, __: Any) -> Handled:
        started.set()
        await gate.wait()
        return Handled()

    bench = Bench({KIND: (subscriber(handler),)})
    running = asyncio.create_task(bench.dispatcher.run())
    await bench.arrive(make_event(0), make_event(1), make_event(2))
    await started.wait()
    draining = asyncio.create_task(bench.dispatcher.drain(5.0))
    await asyncio.sleep(0)
    gate.set()
    left = await draining
    await running

    assert left == 2
    assert await bench.log.reap() == 0
    assert [item.attempts for item in await bench.log.pending(0, 10)] == [0, 0]


async def test_a_drain_cancels_handlers_at_its_deadline_and_costs_no_attempt() -> None:
    started = asyncio.Event()

    async def handler(_: KernelEvent, __: Any) -> Handled:
        started.set()
        await asyncio.Event().wait()
        return Handled()

    bench = Bench({KIND: (subscriber(handler, deadline_s=60.0),)})
    running = asyncio.create_task(bench.dispatcher.run())
    await bench.arrive(make_event(0))
    await started.wait()
    left = await bench.dispatcher.drain(0.01)
    await running

    assert left == 1
    assert await bench.log.reap() == 0
    assert [item.attempts for item in await bench.log.pending(0, 10)] == [0]


async def test_events_that_come_during_a_drain_stay_stored_without_a_claim() -> None:
    async def handler(_: KernelEvent, __: Any) -> Handled:
        return Handled()

    bench = Bench({KIND: (subscriber(handler),)})
    running = asyncio.create_task(bench.dispatcher.run())
    await asyncio.sleep(0)
    await bench.dispatcher.drain(0.01)
    await running
    await bench.arrive(make_event(0))

    assert await bench.log.reap() == 0
    assert await bench.log.backlog() == 1


async def test_a_long_held_up_lane_keeps_only_some_events_in_memory_and_loses_none() -> None:
    order: list[int] = []

    async def handler(event: KernelEvent, _: Any) -> Handled | Retry:
        if not order and event.payload["n"] == 0 and not released.is_set():
            return Retry("later", after_s=0.05)
        order.append(event.payload["n"])
        return Handled()

    released = asyncio.Event()
    patient = subscriber(handler, policy=RetryPolicy(max_attempts=10**6))
    bench = Bench({KIND: (patient,)}, DispatchSettings(held_in_memory=4))
    async with bench.running():
        await bench.arrive(make_event(0))
        await bench.settled(1)
        await bench.arrive(*(make_event(n) for n in range(1, 40)))
        released.set()
        await bench.seen.until(
            lambda: sum(isinstance(o, Delivered) for o in bench.seen.outcomes) == 40
        )

    assert list(range(40)) == order


async def test_an_ignored_event_is_delivered_and_counted_as_such() -> None:
    async def handler(_: KernelEvent, __: Any) -> Ignored:
        return Ignored("wrong-pack")

    async with Bench({KIND: (subscriber(handler),)}).running() as bench:
        await bench.arrive(make_event(0))
        await bench.settled(1)

        assert (await bench.log.counts())[KIND].delivered == 1


async def test_a_partition_key_that_fails_falls_back_to_the_subject() -> None:
    async def handler(_: KernelEvent, __: Any) -> Handled:
        return Handled()

    def broken(event: KernelEvent) -> str:
        raise KeyError("nothing")

    async with Bench({KIND: (subscriber(handler, partition_key=broken),)}).running() as bench:
        await bench.arrive(make_event(0))
        await bench.settled(1)

    assert isinstance(bench.seen.outcomes[0], Delivered)


async def test_a_handler_knows_its_deadline_only_while_it_runs() -> None:
    deadlines: list[float] = []

    async def handler(_: KernelEvent, __: Any) -> Handled:
        attempt = current_attempt.get()
        assert attempt is not None
        deadlines.append(attempt.deadline)
        return Handled()

    async with Bench({KIND: (subscriber(handler),)}).running() as bench:
        await bench.arrive(make_event(0))
        await bench.settled(1)

    assert current_attempt.get() is None
    assert deadlines[0] > asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    "outcome",
    [
        Handled(7), Handled(None), Reject(None), Retry(None), Retry("soon", after_s="a while"),
        Retry("soon", after_s=float("nan")), Retry("soon", after_s=float("inf")),
        Retry("soon", after_s=10**400),
    ],
    ids=str,
)  # type: ignore[arg-type]  # fmt: skip
async def test_an_outcome_with_fields_of_the_wrong_type_is_nonsense(outcome: Any) -> None:
    async def handler(event: KernelEvent, _: Any) -> Any:
        return outcome

    once = RetryPolicy(max_attempts=1)
    async with Bench({KIND: (subscriber(handler, policy=once),)}).running() as bench:
        await bench.arrive(make_event(1))
        await bench.settled(1)

    assert ["HANDLER_NONSENSE"] == [of.error_code for of in bench.seen.outcomes]  # type: ignore[union-attr]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even the text fails")


class Stop(BaseException):
    """What some libraries raise at a timeout."""


@pytest.mark.parametrize("error", [Unprintable(), Stop("enough"), ValueError("half \ud800")])
async def test_whatever_a_handler_raises_is_a_failed_attempt(error: BaseException) -> None:
    async def handler(event: KernelEvent, _: Any) -> Any:
        raise error

    once = RetryPolicy(max_attempts=1)
    async with Bench({KIND: (subscriber(handler, policy=once),)}).running() as bench:
        await bench.arrive(make_event(1))
        await bench.settled(1)

    [buried] = bench.seen.outcomes
    assert isinstance(buried, Buried)
    assert buried.error_code == "HANDLER_FAILED"
    assert buried.error.encode()


async def test_a_payload_type_that_breaks_is_a_failed_attempt() -> None:
    def convert(payload: Any) -> Any:
        raise RuntimeError("a validator is broken")

    async def handler(event: KernelEvent, _: Any) -> Any:
        raise AssertionError

    once = RetryPolicy(max_attempts=1)
    broken = subscriber(handler, policy=once, convert=convert)
    async with Bench({KIND: (broken,)}).running() as bench:
        await bench.arrive(make_event(1))
        await bench.settled(1)

    [buried] = bench.seen.outcomes
    assert isinstance(buried, Buried)
    assert "a validator is broken" in buried.error


async def test_a_packs_broken_storage_costs_its_own_attempts_only() -> None:
    async def handler(event: KernelEvent, _: Any) -> Any:
        raise ValueError

    async def done_before(event_id: str) -> bool:
        raise StorageFailed("not a database")

    twice = RetryPolicy(max_attempts=2, first_delay_s=0.0)
    broken = subscriber(handler, policy=twice, done_before=done_before)
    async with Bench({KIND: (broken,)}).running() as bench:
        await bench.arrive(make_event(1))
        await bench.settled(2)

    assert ["RetryLater", "Buried"] == [type(of).__name__ for of in bench.seen.outcomes]
    assert bench.seen.outcomes[1].error_code == "PACK_STORAGE_FAILED"  # type: ignore[union-attr]


async def test_a_store_that_refuses_to_count_a_retry_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    async def handler(event: KernelEvent, _: Any) -> Any:
        calls.append(1)
        return Handled() if len(calls) > 1 else Retry(after_s=0.0)

    monkeypatch.setattr("conductor_handlers.dispatcher.STORE_RETRY_S", 0.0)
    bench = Bench({KIND: (subscriber(handler),)})
    claim, full = bench.log.claim, [StoreFull("no space")]

    async def refusing(positions: Any) -> None:
        if calls and full:
            raise full.pop()
        await claim(positions)

    monkeypatch.setattr(bench.log, "claim", refusing)
    async with bench.running():
        await bench.arrive(make_event(1))
        await bench.settled(2)

    assert ["RetryLater", "Delivered"] == [type(of).__name__ for of in bench.seen.outcomes]
    assert full == []
