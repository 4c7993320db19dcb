"""The sidecar's end: what each message and command does, in each state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from conductor_protocol import effects as fx
from conductor_protocol import messages as msg
from conductor_protocol.codec import decode_sidecar, encode
from conductor_protocol.sidecar_session import SessionConfig, SidecarSession
from conductor_protocol.sidecar_table import MESSAGES, TABLE, Action, Input, State
from conductor_sdk.records import Cursor, Outgoing

Event = Callable[..., bytes]
T = TypeVar("T")
WELCOME = msg.Welcome(
    version=1,
    session="s-1",
    subject="workspace:test",
    epoch="E",
    resumed=True,
    start=10,
    limits=msg.Limits(),
    beat_s=10.0,
)


def greeting(credit: int = 100, cursor: Cursor | None = None, **config: Any) -> SidecarSession:
    session = SidecarSession(SessionConfig(**config))
    session.start(
        0.0,
        cursor=cursor or Cursor("E", 10),
        session=None,
        packs=[],
        credit=credit,
        software="test",
    )
    return session


def opened(credit: int = 100, **config: Any) -> SidecarSession:
    session = greeting(credit, **config)
    session.received([encode(WELCOME)], 0.0)
    return session


def events(first: int, *bodies: bytes) -> bytes:
    return encode(msg.Events(first=first, events=list(map(msgspec.Raw, bodies))))


def of(kind: type[T], found: list[fx.SidecarEffect]) -> list[T]:
    return [effect for effect in found if isinstance(effect, kind)]


def sent(found: list[fx.SidecarEffect]) -> list[Any]:
    return [
        decode_sidecar(frame, msg.Limits()) for send in of(fx.Send, found) for frame in send.frames
    ]


def closed(found: list[fx.SidecarEffect]) -> str:
    assert isinstance(found[-1], fx.Close)
    return found[-1].code


def test_start_says_hello_with_cursor_credit_and_limits() -> None:
    session = SidecarSession()

    found = session.start(
        0.0,
        cursor=Cursor("E", 7),
        session="s",
        packs=[],
        credit=5,
        software="t",
    )

    hello = msg.Hello(
        versions=[1], software="t", packs=[], session="s", epoch="E", cursor=7, credit=5
    )
    assert [hello] == sent(found)
    assert State.GREETING is session.state


def test_a_welcome_opens_the_session() -> None:
    session = greeting()

    found = session.received([encode(WELCOME)], 0.0)

    expected = fx.Connected("s-1", "workspace:test", "E", True, 10, 2048, 10.0)
    assert [expected] == found
    assert State.OPEN is session.state


@pytest.mark.parametrize(
    ("cursor", "changes"),
    [
        (Cursor("old", 10), {}),
        (Cursor("E", 4), {"resumed": False, "gap_from": 5, "gap_to": 10}),
        (Cursor("E", 4), {}),
        (Cursor("E", 40), {"resumed": False}),
        (Cursor("", 0), {"resumed": False, "gap_from": 1, "gap_to": 10}),
    ],
    ids=["other epoch", "trimmed", "resumed, but past us", "history went back", "first, trimmed"],
)
def test_what_cannot_be_resumed_is_a_gap_before_anything_else(
    cursor: Cursor, changes: dict[str, Any]
) -> None:
    welcome = msgspec.structs.replace(WELCOME, **changes)

    found = greeting(cursor=cursor).received([encode(welcome)], 0.0)

    gap = fx.GapDetected(
        cursor.epoch, cursor.sequence, "E", welcome.gap_from, welcome.gap_to, start=10
    )
    assert [gap] == found[:1]
    assert [(c.resumed, c.start) for c in of(fx.Connected, found)] == [(False, 10)]


def test_the_first_contact_is_no_gap() -> None:
    welcome = msgspec.structs.replace(WELCOME, resumed=False, start=0)

    found = greeting(cursor=Cursor("", 0)).received([encode(welcome)], 0.0)

    assert [fx.Connected] == [type(effect) for effect in found]


def test_a_conductor_that_starts_before_our_cursor_repeats_nothing(event: Event) -> None:
    session = greeting(cursor=Cursor("E", 12))
    session.received([encode(WELCOME)], 0.0)

    found = session.received([events(11, event(1), event(2), event(3))], 0.0)

    assert [[a.sequence for a in d.events] for d in of(fx.Deliver, found)] == [[13]]


def test_an_unknown_version_is_refused_with_a_clear_text() -> None:
    welcome = msgspec.structs.replace(WELCOME, version=9)

    found = greeting().received([encode(welcome)], 0.0)

    (error,) = sent(found)
    assert (error.code, error.fatal) == ("UNSUPPORTED_VERSION", True)
    assert "version 9" in error.message
    assert closed(found) == "UNSUPPORTED_VERSION"


def test_no_welcome_in_time_closes() -> None:
    session = greeting(welcome_timeout_s=3.0)

    assert session.next_deadline(1.0) == 3.0
    assert session.tick(2.9) == []
    assert closed(session.tick(3.0)) == "GREETING_TIMEOUT"


@pytest.mark.parametrize("given", MESSAGES)
def test_a_message_out_of_place_is_a_coded_error_and_closes(given: Input) -> None:
    frames = {
        Input.WELCOME: encode(WELCOME),
        Input.EVENTS: events(11, b"{}"),
        Input.PUSHED: encode(msg.Pushed(results=[])),
        Input.BEAT: encode(msg.Beat(sequence=1)),
        Input.ROTATE: encode(msg.Rotate(version=1, url="u")),
        Input.DRAIN: encode(msg.Drain(retry_after_s=1)),
    }
    session = opened() if given is Input.WELCOME else greeting()

    found = session.received([frames[given]], 0.0)

    assert [error.code for error in sent(found)] == ["UNEXPECTED_MESSAGE"]
    assert closed(found) == "UNEXPECTED_MESSAGE"
    assert of(fx.Close, found)[0].ws_code == 1002
    assert session.received([encode(WELCOME)], 0.0) == []


def test_frames_of_one_read_are_one_batch(event: Event) -> None:
    session = opened()
    frames = [
        events(11, event(1), event(2)),
        encode(msg.Beat(sequence=13)),
        events(13, event(3)),
    ]

    found = session.received(frames, 0.0)

    (batch,) = of(fx.Deliver, found)
    assert (batch.epoch, batch.last) == ("E", 13)
    assert [event(1), event(2), event(3)] == [a.body for a in batch.events]


def test_a_batch_stays_within_its_maximum(event: Event) -> None:
    session = opened(max_batch=3)
    frames = [events(11 + 2 * n, event(2 * n), event(2 * n + 1)) for n in range(3)]

    found = session.received(frames, 0.0)

    assert [batch.last for batch in of(fx.Deliver, found)] == [12, 14, 16]


def test_repeated_events_are_skipped_and_counted(event: Event) -> None:
    session = opened()
    session.received([events(11, event(1), event(2))], 0.0)

    found = session.received([events(11, event(1), event(2), event(3)), events(11, event(1))], 0.0)

    assert [[a.sequence for a in batch.events] for batch in of(fx.Deliver, found)] == [[13]]
    assert [(c.code, c.count) for c in of(fx.Counted, found)] == [("REPEATED", 2), ("REPEATED", 1)]


def test_a_hole_closes_to_resume_after_what_came_in_order(event: Event) -> None:
    session = opened()

    found = session.received([events(11, event(1)), events(13, event(3))], 0.0)

    assert [batch.last for batch in of(fx.Deliver, found)] == [11]
    assert [counted.code for counted in of(fx.Counted, found)] == ["OUT_OF_ORDER"]
    assert closed(found) == "RESUME"


def test_more_than_the_credit_is_never_delivered(event: Event) -> None:
    session = opened(credit=2)

    found = session.received([events(11, event(1)), events(12, event(2), event(3))], 0.0)

    assert [batch.last for batch in of(fx.Deliver, found)] == [11]
    assert [error.code for error in sent(found)] == ["CREDIT_EXCEEDED"]
    assert closed(found) == "CREDIT_EXCEEDED"


def test_what_was_sent_before_a_limit_was_lowered_is_accepted(event: Event) -> None:
    session = opened(credit=3)
    session.received([events(11, event(1))], 0.0)
    session.stored(11, 0, 0.0)

    found = session.received([events(12, event(2), event(3))], 0.0)

    assert [batch.last for batch in of(fx.Deliver, found)] == [13]


def test_a_refused_event_counts_as_seen_and_is_complained_of(event: Event) -> None:
    session = opened()

    found = session.received([events(11, event(1), b"1", event(3), b"null")], 0.0)

    (batch,) = of(fx.Deliver, found)
    assert (batch.last, [a.sequence for a in batch.events]) == (14, [11, 13])
    assert [(error.sequence, error.code) for error in sent(found)] == [
        (12, "EVENT_MALFORMED"),
        (14, "EVENT_WITHHELD"),
    ]
    assert not any(error.fatal for error in sent(found))
    assert State.OPEN is session.state


def test_complaints_are_bounded_for_each_read(event: Event) -> None:
    session = opened(max_error_replies=3)

    found = session.received([events(11, *[b"1"] * 50), *[b'{"type":"x"}'] * 50], 0.0)

    assert len(sent(found)) == 3
    assert len(of(fx.Counted, found)) == 50
    assert len(of(fx.Deliver, found)[0].refused) == 50


def test_an_ack_is_cumulative_and_says_nothing_twice(event: Event) -> None:
    session = opened()
    session.received([events(11, event(1), event(2), event(3))], 0.0)

    assert [msg.Ack(sequence=12, credit=50)] == sent(session.stored(12, 50, 0.0))
    assert [msg.Ack(sequence=13, credit=50)] == sent(session.stored(13, 50, 0.0))
    assert session.stored(13, 50, 0.0) == []
    assert [msg.Ack(sequence=13, credit=51)] == sent(session.stored(12, 51, 0.0))


def test_credit_may_be_nothing_and_be_raised_later(event: Event) -> None:
    session = opened()
    session.received([events(11, event(1))], 0.0)

    assert [msg.Ack(sequence=11, credit=0)] == sent(session.stored(11, 0, 0.0))
    assert [msg.Ack(sequence=11, credit=7)] == sent(session.grant(7, 0.0))
    assert session.grant(7, 0.0) == []


def test_what_was_never_delivered_cannot_be_acknowledged() -> None:
    with pytest.raises(ValueError, match="10 were delivered"):
        opened().stored(11, 5, 0.0)


def outgoing(event: Event, *numbers: int) -> list[Outgoing]:
    return [Outgoing(f"evt-{n}", "acme-demo:job_completed", event(n)) for n in numbers]


def result(*numbers: int) -> bytes:
    return encode(msg.Pushed(results=[msg.PushResult(f"evt-{n}", "accepted") for n in numbers]))


def test_a_push_is_in_flight_until_its_result(event: Event) -> None:
    session = opened()

    (push,) = sent(session.push(outgoing(event, 1, 2), 0.0))
    assert [event(1), event(2)] == [bytes(raw) for raw in push.events]
    assert (session.in_flight, session.push_room) == (2, 2046)

    found = session.received([result(1, 2)], 0.0)
    assert [[r.event_id for r in confirmed.results] for confirmed in of(fx.Confirmed, found)] == [
        ["evt-1", "evt-2"]
    ]
    assert session.in_flight == 0


def test_an_id_in_flight_is_not_pushed_again(event: Event) -> None:
    session = opened()
    session.push(outgoing(event, 1), 0.0)

    (push,) = sent(session.push(outgoing(event, 1, 2, 2), 0.0))

    assert [event(2)] == [bytes(raw) for raw in push.events]


def test_results_for_ids_not_in_flight_are_counted(event: Event) -> None:
    session = opened()
    session.push(outgoing(event, 1), 0.0)

    found = session.received([result(1, 1, 9)], 0.0)

    assert [len(confirmed.results) for confirmed in of(fx.Confirmed, found)] == [1]
    assert [(c.code, c.count) for c in of(fx.Counted, found)] == [("UNKNOWN_PUSHED", 2)]


def test_a_push_is_cut_by_the_conductors_limits(event: Event) -> None:
    session = greeting()
    limits = msg.Limits(max_batch_events=2, max_push_in_flight=5)
    session.received([encode(msgspec.structs.replace(WELCOME, limits=limits))], 0.0)

    pushes = sent(session.push(outgoing(event, 1, 2, 3, 4, 5), 0.0))

    assert [len(push.events) for push in pushes] == [2, 2, 1]
    assert session.push_room == 0
    with pytest.raises(ValueError, match="room for 0"):
        session.push(outgoing(event, 6), 0.0)


def test_an_event_that_no_frame_can_carry_is_rejected_at_once(event: Event) -> None:
    session = opened(limits=msg.Limits(max_event_bytes=300))
    big = Outgoing("evt-2", "k", event(2, payload={"x": "y" * 300}))

    found = session.push([*outgoing(event, 1), big], 0.0)

    (confirmed,) = of(fx.Confirmed, found)
    assert [msg.PushResult("evt-2", "rejected", "EVENT_TOO_LARGE")] == confirmed.results
    assert session.in_flight == 1


def test_pushes_without_any_result_close_the_link(event: Event) -> None:
    session = opened(push_timeout_s=5.0)
    session.push(outgoing(event, 1, 2), 0.0)
    session.received([result(1)], 4.0)

    assert session.next_deadline(4.0) == 9.0
    assert closed(session.tick(9.0)) == "PUSH_TIMEOUT"


def test_a_beat_is_sent_every_interval_with_sequence_and_anchor(event: Event) -> None:
    session = opened()
    session.anchor(msg.Head(3, "abc"))
    session.received([events(11, event(1))], 0.0)

    assert not session.beat_due(9.9)
    assert session.tick(9.9) == []
    assert session.next_deadline(9.9) == 10.0
    assert session.beat_due(10.0)
    assert [msg.Beat(sequence=11, journal=msg.Head(3, "abc"))] == sent(session.tick(10.0))
    assert session.next_deadline(10.0) == 20.0


def test_three_missed_beats_close() -> None:
    session = opened()
    session.received([encode(msg.Beat(sequence=10))], 5.0)

    session.tick(34.9)

    assert closed(session.tick(35.0)) == "BEAT_TIMEOUT"
    assert session.next_deadline(35.0) is None


def test_a_link_that_we_paused_does_not_time_out(event: Event) -> None:
    session = opened(push_timeout_s=20.0)
    session.push(outgoing(event, 1), 0.0)
    session.paused(True, 1.0)

    assert [msg.Beat(sequence=10)] == sent(session.tick(1000.0))
    session.paused(False, 1000.0)
    assert session.tick(1000.0) == []
    assert State.OPEN is session.state
    assert session.next_deadline(1000.0) == 1010.0


def beat(sequence: int) -> list[bytes]:
    return [encode(msg.Beat(sequence=sequence))]


def test_a_conductor_that_beats_ahead_and_sends_nothing_is_deaf() -> None:
    session = opened()

    assert session.received(beat(12), 10.0) == []
    found = session.received(beat(12), 20.0)

    assert closed(found) == "DEAF"
    assert of(fx.Close, found)[0].ws_code == 4001


def test_beats_out_of_one_buffer_count_once() -> None:
    session = opened()

    session.received(beat(12) * 5, 10.0)

    assert State.OPEN is session.state


def test_an_event_between_two_beats_shows_that_the_link_hears(event: Event) -> None:
    session = opened()

    session.received(beat(12), 10.0)
    session.received([events(11, event(1))], 15.0)
    session.received(beat(12), 20.0)

    assert State.OPEN is session.state


def test_a_conductor_without_credit_is_not_deaf() -> None:
    session = opened(credit=0)

    session.received(beat(12), 10.0)
    session.received(beat(12), 20.0)

    assert State.OPEN is session.state


def test_a_drain_is_passed_on_and_the_session_goes_on(event: Event) -> None:
    session = opened()
    session.push(outgoing(event, 1), 0.0)
    room = session.push_room

    found = session.received([encode(msg.Drain(retry_after_s=5, address="wss://b"))], 0.0)

    assert [fx.Draining(5, "wss://b")] == found
    assert (session.state, session.push_room) == (State.DRAINING, room)
    [pushed] = sent(session.push(outgoing(event, 2), 0.0))
    assert isinstance(pushed, msg.Push)
    rest = session.received([result(1), events(11, event(1))], 0.0)
    assert [fx.Confirmed, fx.Deliver] == [type(effect) for effect in rest]
    assert [msg.Ack(sequence=11, credit=1)] == sent(session.stored(11, 1, 0.0))


def test_a_rotation_is_passed_on() -> None:
    found = opened().received([encode(msg.Rotate(version=2, url="u"))], 0.0)

    assert [fx.RotateAsked(2, "u")] == found


@pytest.mark.parametrize("fatal", [True, False])
def test_an_error_is_passed_on_and_closes_if_fatal(fatal: bool) -> None:
    session = greeting()

    found = session.received([encode(msg.Error(code="C", message="m", fatal=fatal))], 0.0)

    assert [fx.PeerError("C", "m", fatal)] == of(fx.PeerError, found)
    assert fatal == (State.CLOSED is session.state)


@pytest.mark.parametrize(
    ("frame", "code", "ws_code"),
    [
        (b"{", "MALFORMED_FRAME", 1007),
        (b"\xff", "MALFORMED_FRAME", 1007),
        (b" " * 5000, "FRAME_TOO_LARGE", 1009),
        (events(11, *[b"1"] * 9), "BATCH_TOO_LARGE", 1008),
    ],
)
def test_a_stream_that_cannot_be_trusted_is_closed(frame: bytes, code: str, ws_code: int) -> None:
    session = opened(limits=msg.Limits(max_frame_bytes=4096, max_batch_events=8))

    found = session.received([frame, encode(msg.Beat(sequence=1))], 0.0)

    assert [(code, True)] == [(error.code, error.fatal) for error in sent(found)]
    assert (code, ws_code) == (closed(found), of(fx.Close, found)[0].ws_code)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b'{"type":"telepathy"}', "UNKNOWN_MESSAGE"),
        (b'{"type":"beat"}', "MALFORMED_MESSAGE"),
        (b"[]", "MALFORMED_MESSAGE"),
    ],
)
def test_a_message_that_makes_no_sense_is_answered_and_survived(frame: bytes, code: str) -> None:
    session = opened()

    found = session.received([frame], 0.0)

    assert [(code, False)] == [(error.code, error.fatal) for error in sent(found)]
    assert [code] == [counted.code for counted in of(fx.Counted, found)]
    assert State.OPEN is session.state


def test_bye_says_so_and_closes() -> None:
    session = opened()

    found = session.bye("restart", 0.0)

    assert [msg.Bye(reason="restart")] == sent(found)
    assert fx.Close("NORMAL", "restart", 1000) == found[-1]


def test_after_a_close_every_call_is_a_no_op(event: Event) -> None:
    session = opened()
    session.received([events(11, event(1))], 0.0)
    session.bye("x", 0.0)

    assert session.received([events(12, event(2))], 1.0) == []
    assert session.stored(11, 5, 1.0) == []
    assert session.grant(5, 1.0) == []
    assert session.push(outgoing(event, 1), 1.0) == []
    assert session.tick(1e9) == []
    assert session.bye("y", 1.0) == []
    assert session.next_deadline(1.0) is None


def test_every_state_has_one_rule_for_every_input() -> None:
    assert set(State) == set(TABLE)
    for state, rules in TABLE.items():
        assert set(Input) == set(rules)
        ways_out = {rule.then for rule in rules.values()} - {state}
        assert (state is State.CLOSED) == (ways_out == set())
    assert {Action.IGNORE} == {rule.action for rule in TABLE[State.CLOSED].values()}
