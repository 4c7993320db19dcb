"""The conductor's end: what each message and command does, in each state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from conductor_protocol import effects as fx
from conductor_protocol import messages as msg
from conductor_protocol.codec import decode_conductor, encode
from conductor_protocol.conductor_session import ConductorConfig, ConductorSession
from conductor_protocol.conductor_table import TABLE, Action, Input, State

Event = Callable[..., bytes]
T = TypeVar("T")
HELLO = msg.Hello(
    versions=[1, 2], software="test", packs=[], session="s", epoch="E", cursor=10, credit=5
)


def greeted(hello: msg.Hello = HELLO, **config: Any) -> ConductorSession:
    session = ConductorSession(ConductorConfig(**config))
    session.start(0.0)
    session.received([encode(hello)], 0.0)
    return session


def opened(hello: msg.Hello = HELLO, **config: Any) -> ConductorSession:
    session = greeted(hello, **config)
    session.welcome(0.0, session="s", subject="w", epoch="E", resumed=True, start=10)
    return session


def push(*bodies: bytes) -> bytes:
    return encode(msg.Push(events=list(map(msgspec.Raw, bodies))))


def of(kind: type[T], found: list[fx.ConductorEffect]) -> list[T]:
    return [effect for effect in found if isinstance(effect, kind)]


def sent(found: list[fx.ConductorEffect]) -> list[Any]:
    return [
        decode_conductor(frame, msg.Limits())
        for send in of(fx.Send, found)
        for frame in send.frames
    ]


def closed(found: list[fx.ConductorEffect]) -> str:
    assert isinstance(found[-1], fx.Close)
    return found[-1].code


def test_a_hello_is_told_to_the_shell() -> None:
    session = ConductorSession()

    found = session.received([encode(HELLO)], 0.0)

    assert [fx.Opened([], "s", "E", 10, "test")] == found
    assert State.GREETED is session.state


def test_the_welcome_carries_limits_beat_and_gap() -> None:
    session = greeted(beat_s=7.0, limits=msg.Limits(max_keys=9))

    found = session.welcome(
        0.0,
        session="n",
        subject="w",
        epoch="E",
        resumed=False,
        start=30,
        gap_from=11,
        gap_to=30,
    )

    expected = msg.Welcome(
        version=1,
        session="n",
        subject="w",
        epoch="E",
        resumed=False,
        gap_from=11,
        gap_to=30,
        start=30,
        limits=msg.Limits(max_keys=9),
        beat_s=7.0,
    )
    assert [expected] == sent(found)
    assert (session.next_sequence, session.credit_limit) == (31, 35)


def test_no_common_version_is_refused() -> None:
    hello = msgspec.structs.replace(HELLO, versions=[2, 3])

    found = ConductorSession().received([encode(hello)], 0.0)

    assert [error.code for error in sent(found)] == ["UNSUPPORTED_VERSION"]
    assert closed(found) == "UNSUPPORTED_VERSION"


@pytest.mark.parametrize("build", [ConductorSession, greeted, opened])
def test_a_refusal_is_a_fatal_error_and_closes(build: Callable[[], ConductorSession]) -> None:
    found = build().refuse("WORKSPACE_UNKNOWN", "no such workspace", 0.0)

    error = msg.Error(code="WORKSPACE_UNKNOWN", message="no such workspace", fatal=True)
    assert [error] == sent(found)
    assert (closed(found), of(fx.Close, found)[0].ws_code) == ("REFUSED", 1008)


def test_no_hello_in_time_closes() -> None:
    session = ConductorSession(ConductorConfig(hello_timeout_s=3.0))
    session.start(1.0)

    assert session.next_deadline(1.0) == 4.0
    assert closed(session.tick(4.0)) == "GREETING_TIMEOUT"


@pytest.mark.parametrize(
    "frame",
    [encode(msg.Ack(sequence=1, credit=1)), push(b"{}"), encode(msg.Beat(sequence=1))],
    ids=["ack", "push", "beat"],
)
@pytest.mark.parametrize("build", [ConductorSession, greeted])
def test_nothing_is_taken_before_the_welcome(
    build: Callable[[], ConductorSession], frame: bytes
) -> None:
    found = build().received([frame], 0.0)

    assert [error.code for error in sent(found)] == ["UNEXPECTED_MESSAGE"]
    assert closed(found) == "UNEXPECTED_MESSAGE"


def test_a_second_hello_closes() -> None:
    assert closed(opened().received([encode(HELLO)], 0.0)) == "UNEXPECTED_MESSAGE"


def test_events_go_out_with_their_sequences(event: Event) -> None:
    session = opened()

    (batch,) = sent(session.send_events(11, [event(1), event(2)], 0.0))

    assert (11, [event(1), event(2)]) == (batch.first, [bytes(raw) for raw in batch.events])
    assert session.next_sequence == 13


@pytest.mark.parametrize(("first", "count"), [(10, 1), (12, 1), (11, 6)])
def test_events_out_of_turn_or_beyond_the_credit_are_not_sent(first: int, count: int) -> None:
    session = opened()

    with pytest.raises(ValueError, match="next is 11, limit 15"):
        session.send_events(first, [b"{}"] * count, 0.0)
    assert session.next_sequence == 11


def test_batches_are_cut_by_the_sidecars_limits_and_what_fits_nowhere_is_withheld(
    event: Event,
) -> None:
    limits = msg.Limits(max_batch_events=2, max_event_bytes=300)
    session = opened(msgspec.structs.replace(HELLO, limits=limits))
    big = event(2, payload={"x": "y" * 300})

    found = session.send_events(11, [event(1), big, event(3)], 0.0)

    assert [(batch.first, len(batch.events)) for batch in sent(found)] == [(11, 2), (13, 1)]
    assert bytes(sent(found)[0].events[1]) == b"null"
    assert [(c.code, c.count) for c in of(fx.Counted, found)] == [("EVENT_WITHHELD", 1)]


def test_an_ack_moves_the_limit(event: Event) -> None:
    session = opened()
    session.send_events(11, [event(1), event(2)], 0.0)

    found = session.received([encode(msg.Ack(sequence=12, credit=8))], 0.0)

    assert [fx.Acked(12, 20)] == found
    assert (session.acked, session.credit_limit) == (12, 20)


def test_a_limit_can_be_lowered() -> None:
    session = opened()

    session.received([encode(msg.Ack(sequence=10, credit=0))], 0.0)

    assert session.credit_limit == 10


def test_an_ack_of_what_was_never_sent_closes() -> None:
    found = opened().received([encode(msg.Ack(sequence=11, credit=1))], 0.0)

    assert closed(found) == "ACK_OUT_OF_RANGE"


def test_a_stale_ack_is_counted(event: Event) -> None:
    session = opened()
    session.send_events(11, [event(1)], 0.0)
    frames = [encode(msg.Ack(sequence=n, credit=5)) for n in (11, 10)]

    found = session.received(frames, 0.0)

    assert [fx.Acked, fx.Counted] == [type(effect) for effect in found]
    assert session.credit_limit == 16


def test_pushes_of_one_read_are_one_batch_and_each_id_is_answered(event: Event) -> None:
    session = opened()

    found = session.received([push(event(1)), push(event(2), event(3))], 0.0)

    (batch,) = of(fx.PushArrived, found)
    assert [(1, event(1)), (2, event(2)), (3, event(3))] == [
        (a.sequence, a.body) for a in batch.events
    ]
    assert session.in_flight == 3
    results = [msg.PushResult(a.event.event_id, "accepted") for a in batch.events]
    assert [msg.Pushed(results=results)] == sent(session.pushed(results, 0.0))
    assert session.in_flight == 0


def test_a_refused_push_is_rejected_by_id_or_complained_of(event: Event) -> None:
    session = opened()
    bad = event(2, kind="not a kind")

    found = session.received([push(event(1), bad, b"1")], 0.0)

    (batch,) = of(fx.PushArrived, found)
    assert (
        [a.sequence for a in batch.events],
        [r.event_id for r in batch.refused],
    ) == ([1], ["evt-2", None])
    rejected, complaint = sent(found)
    assert [(r.event_id, r.status) for r in rejected.results] == [("evt-2", "rejected")]
    assert rejected.results[0].reason.startswith("EVENT_MALFORMED: ")
    assert (complaint.code, complaint.fatal) == ("EVENT_MALFORMED", False)
    assert session.in_flight == 1


def test_more_pushes_than_the_window_close(event: Event) -> None:
    session = opened(limits=msg.Limits(max_push_in_flight=2))

    found = session.received([push(event(1), event(2)), push(event(3))], 0.0)

    assert [len(batch.events) for batch in of(fx.PushArrived, found)] == [2]
    assert closed(found) == "PUSH_WINDOW_EXCEEDED"


def test_a_long_reason_is_cut_so_that_a_result_fits_every_frame() -> None:
    limits = msg.Limits(max_frame_bytes=4096)
    session = opened(msgspec.structs.replace(HELLO, limits=limits))
    results = [msg.PushResult(f"evt-{n}", "rejected", "\x00" * 9999) for n in range(20)]

    (send,) = of(fx.Send, session.pushed(results, 0.0))

    assert all(len(frame) <= 4096 for frame in send.frames)


def test_a_beat_brings_the_anchor() -> None:
    head = msg.Head(4, "ff")
    frames = [encode(msg.Beat(sequence=10, journal=head)), encode(msg.Beat(sequence=10))]

    assert [fx.Anchored(head)] == opened().received(frames, 0.0)


def test_beats_carry_the_last_sequence_of_the_history() -> None:
    session = opened(beat_s=10.0)
    session.advance(99)

    assert session.next_deadline(0.0) == 10.0
    assert [msg.Beat(sequence=99)] == sent(session.tick(10.0))
    assert [msg.Beat(sequence=120)] == sent(session.beat(120, 12.0))
    assert session.next_deadline(12.0) == 22.0


def test_three_missed_beats_close_unless_we_paused() -> None:
    session = opened(beat_s=10.0)
    session.paused(True, 0.0)
    session.tick(500.0)
    session.paused(False, 500.0)

    assert State.OPEN is session.state
    session.tick(529.0)
    assert closed(session.tick(530.0)) == "BEAT_TIMEOUT"


def test_bye_is_told_after_what_was_pushed_before_it(event: Event) -> None:
    found = opened().received([push(event(1)), encode(msg.Bye(reason="off"))], 0.0)

    assert [fx.PushArrived, fx.Departed, fx.Close] == [type(effect) for effect in found]


def test_drain_and_rotate_are_sent(event: Event) -> None:
    session = opened()

    assert [msg.Rotate(version=3, url="u")] == sent(session.rotate(3, "u", 0.0))
    assert [msg.Drain(retry_after_s=2.0, address="wss://b")] == sent(
        session.drain(2.0, "wss://b", 0.0)
    )
    assert State.DRAINING is session.state
    assert [fx.PushArrived] == [type(e) for e in session.received([push(event(1))], 0.0)]


@pytest.mark.parametrize("fatal", [True, False])
def test_an_error_is_passed_on_and_closes_if_fatal(fatal: bool) -> None:
    session = opened()

    found = session.received([encode(msg.Error(code="C", message="m", fatal=fatal))], 0.0)

    assert [fx.PeerError("C", "m", fatal)] == of(fx.PeerError, found)
    assert fatal == (State.CLOSED is session.state)


@pytest.mark.parametrize(
    ("frame", "code", "fatal"),
    [
        (b"{", "MALFORMED_FRAME", True),
        (b'{"type":"events"}', "UNKNOWN_MESSAGE", False),
        (b'{"type":"ack"}', "MALFORMED_MESSAGE", False),
    ],
)
def test_what_makes_no_sense_is_answered(frame: bytes, code: str, fatal: bool) -> None:
    session = opened()

    found = session.received([frame], 0.0)

    assert [(code, fatal)] == [(error.code, error.fatal) for error in sent(found)]
    assert fatal == (State.CLOSED is session.state)


def test_a_command_out_of_place_is_a_no_op() -> None:
    for session in (ConductorSession(), greeted()):
        assert session.send_events(1, [b"{}"], 0.0) == []
        assert session.pushed([msg.PushResult("e", "accepted")], 0.0) == []
        assert session.drain(1.0, None, 0.0) == []
        assert session.rotate(1, "u", 0.0) == []
        assert session.beat(1, 0.0) == []
    session = opened()
    session.refuse("X", "y", 0.0)
    assert session.refuse("X", "y", 0.0) == []
    assert session.tick(1e9) == []
    assert session.next_deadline(0.0) is None


def test_every_state_has_one_rule_for_every_input() -> None:
    assert set(State) == set(TABLE)
    for state, rules in TABLE.items():
        assert set(Input) == set(rules)
        ways_out = {rule.then for rule in rules.values()} - {state}
        assert (state is State.CLOSED) == (ways_out == set())
    assert {Action.IGNORE} == {rule.action for rule in TABLE[State.CLOSED].values()}
