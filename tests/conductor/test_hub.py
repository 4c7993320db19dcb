"""The hub over links in memory, with a sidecar played by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from conductor_adapters.memory import pair
from conductor_protocol.messages import (
    Beat,
    Bye,
    Drain,
    Error,
    Head,
    Hello,
    Push,
    Pushed,
    PushResult,
)
from conductor_sdk.clock import SystemClock
from conductor_sdk.errors import EventMalformed
from conductor_server.delivery import Delivery
from conductor_server.errors import RestartUnavailable
from conductor_server.fault_plan import parse_faults
from conductor_server.faults import FaultBoard
from conductor_server.hub import EmbeddedConductor, ToSend
from conductor_server.settings import HubSettings

KIND = "conductor:recovery_requested"


@pytest.fixture(params=["memory_history", "sqlite_history"])
def history(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


async def test_a_first_connection_is_welcomed_from_the_beginning(bench: Any) -> None:
    sidecar = await bench.connect()

    welcome = await sidecar.hello()

    epoch = bench.conductor.history.epoch
    assert ("ws-1", epoch, True, 0, None) == (
        welcome.subject, welcome.epoch, welcome.resumed, welcome.start, welcome.gap_from,
    )  # fmt: skip


async def test_events_sent_before_and_after_the_hello_arrive_in_order(bench: Any) -> None:
    await bench.conductor.send("ws-1", KIND, {"n": 1})
    sidecar = await bench.connect()
    await sidecar.hello()
    first = await sidecar.events(1)
    await bench.conductor.send_many("ws-1", [ToSend(KIND, {"n": n}) for n in (2, 3)])

    events = first + await sidecar.events(2)

    assert [(1, 1), (2, 2), (3, 3)] == [(n, event.payload["n"]) for n, event in events]


async def test_an_event_carries_the_workspace_as_its_subject(bench: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    sent = await bench.conductor.send("ws-1", KIND, {"wu_id": "acme-job-1"})

    [(sequence, event)] = await sidecar.events(1)

    assert (sent.sequence, sent.event_id, "ws-1") == (sequence, event.event_id, event.from_)


async def test_the_same_key_gives_the_same_event_once(bench: Any) -> None:
    first = await bench.conductor.send("ws-1", KIND, {}, "key-1")
    second = await bench.conductor.send("ws-1", KIND, {}, idempotency_key="key-1")

    assert first == second


async def test_a_resend_has_the_same_id_and_a_new_sequence(bench: Any) -> None:
    first = await bench.conductor.send("ws-1", KIND, {}, "key-1")
    second = await bench.conductor.send("ws-1", KIND, {}, "key-1", again=True)

    assert (first.event_id, first.sequence + 1) == (second.event_id, second.sequence)


async def test_the_same_key_means_another_event_in_another_workspace(bench: Any) -> None:
    one = await bench.conductor.send("ws-1", KIND, {}, "key-1")
    other = await bench.conductor.send("ws-2", KIND, {}, "key-1")

    assert one.event_id != other.event_id


async def test_a_malformed_event_is_refused_and_nothing_of_its_batch_is_kept(bench: Any) -> None:
    with pytest.raises(EventMalformed):
        await bench.conductor.send_many("ws-1", [ToSend(KIND, {}), ToSend("No Kind", {})])

    assert (1, 0) == await bench.conductor.history.bounds("ws-1")


async def test_workspaces_get_only_their_own_events(bench: Any) -> None:
    sidecar = await bench.connect("ws-2")
    await sidecar.hello()
    await bench.conductor.send("ws-1", KIND, {"for": 1})
    await bench.conductor.send("ws-2", KIND, {"for": 2})

    [(sequence, event)] = await sidecar.events(1)

    assert (1, {"for": 2}) == (sequence, event.payload)


async def test_nothing_is_sent_beyond_the_credit_until_an_ack_grants_more(
    bench: Any, eventually: Any
) -> None:
    await bench.conductor.send_many("ws-1", [ToSend(KIND, {"n": n}) for n in range(10)])
    workspace = await bench.conductor.workspace("ws-1")
    sidecar = await bench.connect()
    await sidecar.hello(credit=3)
    await sidecar.events(3)
    sent_before = workspace.sent
    await sidecar.ack(3, credit=4)

    await sidecar.events(4)

    await eventually(lambda: workspace.sent == 7)
    assert (3, 3) == (sent_before, workspace.acked)


async def test_a_known_cursor_is_resumed_right_after_it(bench: Any) -> None:
    await bench.conductor.send_many("ws-1", [ToSend(KIND, {"n": n}) for n in range(5)])
    sidecar = await bench.connect()

    welcome = await sidecar.hello(epoch=bench.conductor.history.epoch, cursor=3)

    assert (True, 3) == (welcome.resumed, welcome.start)
    assert [4, 5] == [n for n, _ in await sidecar.events(2)]


async def test_forgotten_history_is_named_as_a_gap(bench: Any) -> None:
    await bench.conductor.send_many("ws-1", [ToSend(KIND, {"n": n}) for n in range(5)])
    await bench.conductor.forget("ws-1", 4)
    sidecar = await bench.connect()

    welcome = await sidecar.hello(epoch=bench.conductor.history.epoch, cursor=2)

    assert (False, 3, 4, 4) == (
        welcome.resumed, welcome.gap_from, welcome.gap_to, welcome.start,
    )  # fmt: skip
    assert [5] == [n for n, _ in await sidecar.events(1)]


async def test_another_epoch_gets_everything_that_is_kept(bench: Any) -> None:
    await bench.conductor.send("ws-1", KIND, {})
    sidecar = await bench.connect()

    welcome = await sidecar.hello(epoch="another", cursor=77)

    assert (False, None, 0) == (welcome.resumed, welcome.gap_from, welcome.start)
    assert [1] == [n for n, _ in await sidecar.events(1)]


async def test_history_that_is_forgotten_under_a_session_ends_the_link(bench: Any) -> None:
    await bench.conductor.send_many("ws-1", [ToSend(KIND, {"n": n}) for n in range(5)])
    sidecar = await bench.connect()
    await sidecar.hello(credit=1)
    await sidecar.events(1)
    await bench.conductor.forget("ws-1", 3)
    await sidecar.ack(1)

    error = await sidecar.closed()

    assert 4000 == error.close_code


async def test_pushes_are_answered_once_they_are_kept_and_dedupe(bench: Any, made: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    event = made(key="job-1")

    results = [await sidecar.push(event), await sidecar.push(event, made(key="job-2"))]

    kept = await bench.conductor.history.pushed("ws-1", 0, 10)
    assert [["accepted"], ["duplicate", "accepted"]] == [[r.status for r in rs] for rs in results]
    assert [event.event_id, made(key="job-2").event_id] == [e.event_id for e in kept]


async def test_an_event_of_another_subject_is_rejected_beside_accepted_ones(
    bench: Any, made: Any
) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    good, foreign = made(key="1"), made(key="2", subject="ws-9")

    results = await sidecar.push(good, foreign, good)

    assert [
        PushResult(good.event_id, "accepted"),
        PushResult(foreign.event_id, "rejected", "subject_mismatch"),
        PushResult(good.event_id, "duplicate"),
    ] == results
    assert 1 == len(await bench.conductor.history.pushed("ws-1", 0, 10))


async def test_a_malformed_event_is_rejected_and_never_stored(bench: Any, made: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    broken = b'{"schema_version":2,"kind":"acme-demo:x","event_id":"evt-1","from":"ws-1"}'

    results = await sidecar.push(broken, made(key="1"))

    assert {"evt-1": "rejected", made(key="1").event_id: "accepted"} == {
        r.event_id: r.status for r in results
    }
    assert 1 == len(await bench.conductor.history.pushed("ws-1", 0, 10))


async def test_a_flat_version_1_event_passes_although_it_has_no_subject(bench: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    flat = (
        b'{"schema_version":1,"kind":"task_unblocked","timestamp":"2026-01-01T00:00:00Z",'
        b'"task_id":"t-1"}'
    )

    [result] = await sidecar.push(flat)

    assert "accepted" == result.status


async def test_a_newer_link_takes_over_and_the_older_is_told(bench: Any) -> None:
    older = await bench.connect()
    await older.hello()
    newer = await bench.connect()

    await newer.hello()

    error = await older.hear(Error)
    assert ("TAKEN_OVER", True) == (error.code, error.fatal)
    await older.closed()
    await bench.conductor.send("ws-1", KIND, {})
    assert [1] == [n for n, _ in await newer.events(1)]


async def test_a_link_that_never_says_hello_takes_nothing_over(bench: Any) -> None:
    older = await bench.connect()
    await older.hello()
    await bench.connect()

    await bench.conductor.send("ws-1", KIND, {})

    assert [1] == [n for n, _ in await older.events(1)]


async def test_beats_carry_the_last_sequence(history: Any, play: Any) -> None:
    # Three missed beats end a link, and a busy machine may hold this process for a while.
    conductor = EmbeddedConductor(history, SystemClock(), HubSettings(beat_s=0.5, close_s=0.5))
    near, far = pair()
    async with asyncio.TaskGroup() as group:
        group.create_task(conductor.attach(far, "ws-1"))
        sidecar = play(near)
        await sidecar.hello(credit=0)
        await conductor.send("ws-1", KIND, {})
        while (await sidecar.hear(Beat)).sequence != 1:
            await sidecar.say(Beat(sequence=0))
        await conductor.close()


async def test_journal_heads_are_kept_and_a_rewritten_journal_is_flagged(
    bench: Any, until: Any
) -> None:
    records = bench.conductor.watch()
    sidecar = await bench.connect()
    await sidecar.hello()
    for size, digest in ((1, "aa"), (3, "cc"), (3, "xx")):
        await sidecar.say(Beat(sequence=0, journal=Head(size, digest)))
    changed = await until(records, "anchor_flagged")
    await sidecar.say(Beat(sequence=0, journal=Head(2, "bb")))

    shrank = await until(records, "anchor_flagged")

    anchors = await bench.conductor.history.anchors("ws-1")
    [view] = await bench.conductor.workspaces()
    assert [(1, "aa"), (3, "cc")] == [(a.size, a.hash) for a in anchors]
    assert "the journal's head changed at 3 entries" == changed.detail
    assert "the journal shrank from 3 to 2 entries" == shrank.detail == view.journal_problem


async def test_a_kept_anchor_is_compared_after_a_restart(bench: Any, until: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    await sidecar.say(Beat(sequence=0, journal=Head(5, "ee")), Bye(reason="later"))
    await sidecar.closed()
    await bench.conductor.restart()
    records = bench.conductor.watch()
    again = await bench.connect()
    await again.hello()

    await again.say(Beat(sequence=0, journal=Head(4, "dd")))

    flagged = await until(records, "anchor_flagged")
    assert "the journal shrank from 5 to 4 entries" == flagged.detail


async def test_a_restart_drops_links_and_keeps_epoch_and_events(bench: Any) -> None:
    await bench.conductor.send("ws-1", KIND, {})
    epoch = bench.conductor.history.epoch
    sidecar = await bench.connect()
    await sidecar.hello()
    await sidecar.events(1)

    await bench.conductor.restart()

    assert 1012 == (await sidecar.closed()).close_code
    again = await bench.connect()
    welcome = await again.hello(epoch=epoch, cursor=1)
    assert (epoch, True, 1) == (welcome.epoch, welcome.resumed, welcome.start)


async def test_a_forgetful_restart_has_a_new_epoch_and_keeps_credentials(bench: Any) -> None:
    issued = await bench.conductor.tokens.issue("ws-1")
    credential = await bench.conductor.enroll(issued.text.reveal())
    await bench.conductor.send("ws-1", KIND, {})
    epoch = bench.conductor.history.epoch

    await bench.conductor.restart(forget=True)

    sidecar = await bench.connect()
    welcome = await sidecar.hello(epoch=epoch, cursor=1)
    record = await bench.conductor.tokens.authenticate(credential.text.reveal())
    assert (False, 0, "ws-1") == (welcome.resumed, welcome.start, record.workspace)
    assert epoch != welcome.epoch


async def test_a_conductor_that_cannot_renew_its_history_refuses_to_forget(history: Any) -> None:
    conductor = EmbeddedConductor(history, SystemClock())

    with pytest.raises(RestartUnavailable):
        await conductor.restart(forget=True)


async def test_disconnect_ends_the_link_and_says_whether_there_was_one(bench: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()

    answers = [await bench.conductor.disconnect("ws-1"), await bench.conductor.disconnect("ws-1")]

    await sidecar.closed()
    assert [True, False] == answers


async def test_a_session_ends_at_whatever_moment_it_is_told_to(bench: Any, eventually: Any) -> None:
    for steps in range(40):
        sidecar = await bench.connect()
        await eventually(lambda: bool(bench.conductor._sessions))
        await sidecar.say(Hello(versions=[1], software="raw/1", packs=[], credit=10))
        for _ in range(steps):
            await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await bench.conductor._end_sessions(1001, "now")
            await bench.tasks[-1]
        await sidecar.closed()


async def test_sessions_are_told_in_the_order_in_which_they_began(
    bench: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"ws-{number}" for number in range(12)]
    sidecars = []
    for count, name in enumerate(names, 1):
        sidecars.append(await bench.connect(name))
        await sidecars[-1].hello()
        await eventually(lambda count=count: len(bench.conductor._sessions) == count)
    told: list[str] = []
    real = Delivery.stop

    def stop(self: Delivery, code: int, reason: str) -> None:
        told.append(self.workspace)
        real(self, code, reason)

    monkeypatch.setattr(Delivery, "stop", stop)
    await bench.conductor.restart()
    for sidecar in sidecars:
        await sidecar.closed()
    assert names == told


async def test_drain_is_announced_before_the_link_is_closed(bench: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    draining = asyncio.create_task(bench.conductor.drain(2.5, "ws://elsewhere/link"))

    told = await sidecar.hear(Drain)
    await sidecar.say(Bye(reason="drain"))

    await sidecar.closed()
    await draining
    assert (2.5, "ws://elsewhere/link") == (told.retry_after_s, told.address)


async def test_a_sidecar_that_ignores_a_drain_is_closed(bench: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()

    await bench.conductor.drain()

    assert 1001 == (await sidecar.closed()).close_code


async def test_a_failing_sink_withholds_the_confirmation_and_ends_the_link(
    history: Any, made: Any, play: Any
) -> None:
    class Full(RestartUnavailable):
        """The disk is full."""

    async def sink(workspace: str, events: Any) -> None:
        raise Full

    conductor = EmbeddedConductor(history, SystemClock(), HubSettings(close_s=0.5), sink=sink)
    near, far = pair()
    async with asyncio.TaskGroup() as group:
        group.create_task(conductor.attach(far, "ws-1"))
        sidecar = play(near)
        await sidecar.hello()
        await sidecar.say(Push(events=[msgspec.Raw(made(key="1").to_json())]))

        assert 1011 == (await sidecar.closed()).close_code


async def test_ten_thousand_events_arrive_in_order_within_credit(bench: Any) -> None:
    await bench.conductor.send_many("ws-1", [ToSend(KIND, {"n": n}) for n in range(10_000)])
    sidecar = await bench.connect()
    await sidecar.hello(credit=700)
    got: list[int] = []

    while len(got) < 10_000:
        got += [n for n, _ in await sidecar.events(1)]
        assert bench.conductor._workspaces["ws-1"].sent <= got[-1] + 700
        await sidecar.ack(got[-1], credit=700)

    assert list(range(1, 10_001)) == got


async def test_a_slow_watcher_is_told_how_much_it_missed(history: Any) -> None:
    conductor = EmbeddedConductor(history, SystemClock(), HubSettings(watch_records=2))
    records = conductor.watch()
    for number in range(5):
        await conductor.send("ws-1", KIND, {"n": number})

    missed = await anext(records)

    assert ("missed", "3 records") == (missed.what, missed.detail)


async def test_a_goodbye_after_a_push_still_stores_the_push(bench: Any, made: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()

    await sidecar.say(Push(events=[msgspec.Raw(made(key="1").to_json())]), Bye(reason="done"))

    await sidecar.closed()
    assert 1 == len(await bench.conductor.history.pushed("ws-1", 0, 10))


async def test_pushed_waits_for_the_first_event(bench: Any, made: Any) -> None:
    waiting = asyncio.create_task(bench.conductor.pushed(None, 0, 10, wait_s=10))
    sidecar = await bench.connect()
    await sidecar.hello()
    await sidecar.push(made(key="1"))

    assert [made(key="1").event_id] == [event.event_id for event in await waiting]


async def test_pushed_gives_up_after_its_time(bench: Any) -> None:
    assert [] == await bench.conductor.pushed(None, 0, 10, wait_s=0.01)


async def test_results_are_pushed_messages(bench: Any, made: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    await sidecar.say(Push(events=[msgspec.Raw(made(key="1").to_json())]))

    assert [PushResult(made(key="1").event_id, "accepted")] == (await sidecar.hear(Pushed)).results


async def test_a_push_beyond_the_window_ends_the_link_and_keeps_what_was_within(
    bench: Any, made: Any
) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    batches = [
        Push(events=[msgspec.Raw(made(key=f"{batch}-{n}").to_json()) for n in range(1024)])
        for batch in range(3)
    ]

    await sidecar.say(*batches)

    assert 1008 == (await sidecar.closed()).close_code
    assert 2048 == len(await bench.conductor.history.pushed("ws-1", 0, 5000))


async def test_reordered_frames_reach_the_sidecar_out_of_order(bench: Any) -> None:
    sidecar = await bench.connect()
    await sidecar.hello()
    bench.conductor.faults.set(["down.reorder=1"])
    await bench.conductor.send("ws-1", KIND, {})
    await bench.conductor.send("ws-1", KIND, {})
    await bench.conductor.send("ws-1", KIND, {})
    bench.conductor.faults.clear()
    await bench.conductor.send("ws-1", KIND, {})

    got = [n for n, _ in await sidecar.events(4)]

    assert {1, 2, 3, 4} == set(got)


async def test_a_delayed_link_still_delivers(history: Any, play: Any) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    faults = FaultBoard(parse_faults(["delay=3"]), sleep=sleep)
    conductor = EmbeddedConductor(history, SystemClock(), HubSettings(close_s=0.5), faults=faults)
    near, far = pair()
    async with asyncio.TaskGroup() as group:
        group.create_task(conductor.attach(far, "ws-1"))
        sidecar = play(near)
        await sidecar.hello()
        await conductor.send("ws-1", KIND, {})
        assert [1] == [n for n, _ in await sidecar.events(1)]
        await conductor.close()

    assert {3.0} == set(waits)
