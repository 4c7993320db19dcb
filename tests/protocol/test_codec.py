"""Any bytes give a message, an unknown one, or a coded error; bodies stay as received."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from conductor_protocol import errors
from conductor_protocol.codec import (
    check_events,
    decode_conductor,
    decode_sidecar,
    encode,
)
from conductor_protocol.messages import (
    Ack,
    Beat,
    Bye,
    Drain,
    Error,
    Events,
    Head,
    Hello,
    Limits,
    PackNotice,
    Push,
    Pushed,
    PushResult,
    Rotate,
    UnknownMessage,
    Welcome,
    smaller,
)

Event = Callable[..., bytes]
Decode = Callable[[bytes, Limits], object]
LIMITS = Limits()
UP = [
    Hello(
        versions=[1],
        software="conductor-sidecar/0.1",
        packs=[PackNotice("acme-demo", "1.0.0", ["acme-demo:a"], [])],
        credit=10,
    ),
    Ack(sequence=7, credit=0),
    Beat(sequence=3, journal=Head(2, "ab")),
    Bye(reason="restart"),
    Error(code="X", message="y", sequence=4),
]
DOWN = [
    Welcome(
        version=1, session="s", subject="w", epoch="e", resumed=True, start=0, limits=LIMITS,
        beat_s=15.0,
    ),
    Pushed(results=[PushResult("evt-1", "rejected", "no")]),
    Beat(sequence=3),
    Rotate(version=2, url="https://conductor.test/enroll"),
    Drain(retry_after_s=1.5),
    Error(code="X", message="y", fatal=True),
]  # fmt: skip


@pytest.mark.parametrize("message", UP, ids=lambda m: type(m).__name__)
def test_every_message_of_a_sidecar_survives_the_wire(message: msgspec.Struct) -> None:
    assert message == decode_sidecar(encode(message), LIMITS)


@pytest.mark.parametrize("message", DOWN, ids=lambda m: type(m).__name__)
def test_every_message_of_a_conductor_survives_the_wire(message: msgspec.Struct) -> None:
    assert message == decode_conductor(encode(message), LIMITS)


def test_members_that_a_receiver_does_not_know_are_ignored() -> None:
    frame = b'{"type":"ack","sequence":1,"credit":2,"colour":"red"}'

    assert Ack(sequence=1, credit=2) == decode_sidecar(frame, LIMITS)


@pytest.mark.parametrize("kind", ["telepathy", "welcome", ""])
def test_an_unknown_type_is_a_record_and_not_an_error(kind: str) -> None:
    frame = json.dumps({"type": kind, "sequence": 1}).encode()

    assert UnknownMessage(kind) == decode_sidecar(frame, LIMITS)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"type":"bye","reason":"\xff"}',
        b'{"type":"push","events":["\xff"]}',
        b'{"type":"bye","reason":"\\ud800"}',
        b'\xef\xbb\xbf{"type":"bye","reason":"x"}',
        b'{"type":"bye","reason":"x"} x',
        b'{"type":"ack","sequence":NaN,"credit":1}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_json_in_utf8_is_a_malformed_frame(frame: bytes) -> None:
    with pytest.raises(errors.MalformedFrame):
        decode_sidecar(frame, LIMITS)


@pytest.mark.parametrize(
    "frame",
    [
        b"[]",
        b"null",
        b"{}",
        b'{"type":5}',
        b'{"type":"ack"}',
        b'{"type":"ack","sequence":-1,"credit":1}',
        b'{"type":"ack","sequence":1.5,"credit":1}',
        b'{"type":"ack","sequence":9007199254740992,"credit":1}',
        b'{"type":"ack","sequence":123456789012345678901234567890,"credit":1}',
        b'{"type":"push","events":{}}',
        b'{"type":"hello","versions":"1","software":"","packs":[],"credit":1}',
    ],
)
def test_what_has_the_wrong_shape_is_a_malformed_message(frame: bytes) -> None:
    with pytest.raises(errors.MalformedMessage):
        decode_sidecar(frame, LIMITS)


def test_a_frame_over_the_limit_is_refused_before_it_is_parsed() -> None:
    frame = b"x" * (LIMITS.max_frame_bytes + 1)

    with pytest.raises(errors.FrameTooLarge):
        decode_conductor(frame, LIMITS)


@pytest.mark.parametrize("decode", [decode_sidecar, decode_conductor])
def test_a_batch_over_the_limit_is_refused_whole(decode: Decode) -> None:
    limits = Limits(max_batch_events=2)
    raws = [msgspec.Raw(b"{}")] * 3
    message = Push(events=raws) if decode is decode_sidecar else Events(first=1, events=raws)

    with pytest.raises(errors.BatchTooLarge):
        decode(encode(message), limits)


def raws_of(*bodies: bytes) -> list[msgspec.Raw]:
    return list(map(msgspec.Raw, bodies))


def test_events_are_numbered_and_keep_their_bytes(event: Event) -> None:
    spaced = event(2).replace(b": ", b" :  ")

    arrived, refused = check_events(raws_of(event(1), spaced), 41, LIMITS)

    assert refused == []
    assert [(41, event(1)), (42, spaced)] == [(a.sequence, a.body) for a in arrived]
    assert [a.event.event_id for a in arrived] == ["evt-1", "evt-2"]


def test_no_events_are_no_events() -> None:
    assert check_events([], 1, LIMITS) == ([], [])


def nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize(("inner", "codes"), [(30, []), (31, ["EVENT_TOO_DEEP"])])
def test_depth_counts_the_event_and_its_payload(event: Event, inner: int, codes: list[str]) -> None:
    body = event(1, payload={"x": nested(inner)})

    _, refused = check_events(raws_of(body), 1, LIMITS)

    assert codes == [r.code for r in refused]


def test_brackets_inside_strings_and_siblings_do_not_count_as_depth(event: Event) -> None:
    text = '[{"\\' * 500
    body = event(1, payload={"text": text, "siblings": [[], {}, []] * 50})

    arrived, refused = check_events(raws_of(body), 1, LIMITS)

    assert refused == []
    assert text == arrived[0].event.payload["text"]


@pytest.mark.parametrize(("more", "codes"), [(0, []), (1, ["EVENT_TOO_MANY_KEYS"])])
def test_keys_of_all_levels_count_together_and_colons_in_strings_do_not(
    event: Event, more: int, codes: list[str]
) -> None:
    keys = LIMITS.max_keys - 7 + more  # six of the envelope, and `inner`
    body = event(1, payload={"inner": {str(n): "::" for n in range(keys)}})

    _, refused = check_events(raws_of(body), 1, LIMITS)

    assert codes == [r.code for r in refused]


def test_one_bad_event_is_refused_alone_with_its_id(event: Event) -> None:
    limits = Limits(max_event_bytes=400)
    big = event(2, payload={"x": "y" * 400})

    arrived, refused = check_events(raws_of(event(1), big, event(3)), 10, limits)

    assert [a.sequence for a in arrived] == [10, 12]
    assert [(r.sequence, r.code, r.event_id) for r in refused] == [(11, "EVENT_TOO_LARGE", "evt-2")]


@pytest.mark.parametrize(
    "body", [b"1", b"[]", b'""', b"{}", b'{"schema_version":3}', b'{"schema_version":"\xff"}', b"{"]
)
def test_what_is_not_an_event_is_malformed(body: bytes) -> None:
    _, refused = check_events(raws_of(body), 1, LIMITS)

    assert [r.code for r in refused] == ["EVENT_MALFORMED"]


def test_null_says_that_the_conductor_withheld_an_event() -> None:
    _, refused = check_events(raws_of(b"null"), 5, LIMITS)

    assert [(r.sequence, r.code) for r in refused] == [(5, "EVENT_WITHHELD")]


def test_the_detail_of_a_refusal_is_bounded(event: Event) -> None:
    name = "k" * 10_000
    body = event(1, payload={name: 1}, **{name: 2})

    _, refused = check_events(raws_of(body), 1, LIMITS)

    assert [r.code for r in refused] == ["EVENT_MALFORMED"]
    assert len(refused[0].detail) <= 300


def test_an_event_too_deep_for_any_parser_is_refused_alone_and_does_not_end_the_link(
    event: Event,
) -> None:
    deep = b'{"text":"[[[","a":' * 50_000 + b"1" + b"}" * 50_000
    frame = b'{"type":"events","first":1,"events":[' + b",".join([event(1), deep, event(3)]) + b"]}"
    limits = Limits(max_frame_bytes=len(frame), max_depth=256, max_event_bytes=len(frame))

    message = decode_conductor(frame, limits)
    assert isinstance(message, Events)
    arrived, refused = check_events(message.events, message.first, limits)

    assert [a.sequence for a in arrived] == [1, 3]
    assert [event(1), event(3)] == [a.body for a in arrived]
    assert [(r.sequence, r.code) for r in refused] == [(2, "EVENT_TOO_DEEP")]


def test_a_deep_frame_whose_string_has_no_end_is_refused_in_one_pass() -> None:
    # A pattern that tries again from each quotation mark would take hours.
    frame = b'{"type":"events","first":1,"events":[' + b"[" * 50_000 + b'"' + b'\\"' * 500_000

    with pytest.raises(errors.MalformedFrame):
        decode_conductor(frame, Limits(max_frame_bytes=len(frame), max_event_bytes=len(frame)))


def test_the_limits_that_hold_are_the_smaller_of_each_field() -> None:
    ours, theirs = Limits(max_depth=4, max_keys=9), Limits(max_depth=8, max_keys=3)

    assert Limits(max_depth=4, max_keys=3) == smaller(ours, theirs)
