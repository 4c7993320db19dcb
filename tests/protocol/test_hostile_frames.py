"""Whatever bytes arrive, in whatever state: coded answers, bounded, and never an exception."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from conductor_protocol import effects as fx
from conductor_protocol import messages as msg
from conductor_protocol.codec import decode_conductor, decode_sidecar, encode
from conductor_protocol.conductor_session import ConductorConfig, ConductorSession
from conductor_protocol.conductor_session import State as ConductorState
from conductor_protocol.sidecar_session import SessionConfig, SidecarSession
from conductor_protocol.sidecar_session import State as SidecarState
from conductor_sdk.records import Cursor

FRAMES = 24_000
LIMITS = msg.Limits(max_frame_bytes=8192, max_batch_events=32, max_event_bytes=2048, max_keys=64)
JUNK = [
    b"", b"\x00", b"\xff\xfe", b"null", b"[]", b"{}", b'"', b"{" * 3000, b"[" * 8000, b"]",
    b"1e999",
    b'{"type":null}', b'{"type":"\\ud800"}', b'{"type":"events","first":1,"events":[' + b"[" * 3000,
    b'{"type":"push","events":[' + b"[" * 3000 + b"]" * 3000 + b"]}", b" " * 9000,
    b'{"type":"a","type":"b"}', b'{"type":"events","events":[{}],"first":9007199254740991}',
]  # fmt: skip
PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\xc3\x28",
    b"null",
    b"-1",
    b"1e9",
    b"0",
]


def value(dice: random.Random, depth: int = 0) -> Any:
    """Make a JSON value that is wrong more often than not."""
    simple = [None, True, 0, -1, 2**53 - 1, 2**63, 1.5, "", "x" * 300, "\u0000", "evt-1", "E"]
    match dice.randrange(4 if depth < 3 else 2):
        case 0 | 1:
            return dice.choice(simple)
        case 2:
            return [value(dice, depth + 1) for _ in range(dice.randrange(4))]
        case _:
            return {dice.choice("abc"): value(dice, depth + 1) for _ in range(dice.randrange(4))}


def mutated(frame: bytes, dice: random.Random) -> bytes:
    """Cut a piece out, or put one in, or flip a byte."""
    at = dice.randrange(len(frame) + 1)
    match dice.randrange(4):
        case 0:
            return frame[:at] + frame[at + dice.randrange(1, 30) :]
        case 1:
            return frame[:at] + dice.choice(PIECES) + frame[at:]
        case 2:
            return frame[:at] + bytes([dice.randrange(256)]) + frame[at + 1 :]
        case _:
            return frame


def hostile(samples: list[dict[str, Any]], dice: random.Random) -> bytes:
    """Make one frame: junk, or a message with a field or a byte wrong, or a good one."""
    if dice.randrange(8) == 0:
        return dice.choice(JUNK)
    fields = dict(dice.choice(samples))
    for name in list(fields):
        if dice.randrange(12) == 0:
            fields[name] = value(dice)
        elif dice.randrange(40) == 0:
            del fields[name]
    return mutated(msgspec.json.encode(fields), dice)


def plain(message: Any, **members: Any) -> dict[str, Any]:
    return msgspec.json.decode(encode(message)) | members


def event(number: int) -> dict[str, Any]:
    return {
        "schema_version": 2, "kind": "acme-demo:job_completed", "event_id": f"evt-{number}",
        "timestamp": "2026-01-01T00:00:00Z", "from": "w", "payload": {},
    }  # fmt: skip


DOWN = [
    plain(msg.Welcome(version=1, session="s", subject="w", epoch="E", resumed=True, start=0,
                      limits=LIMITS, beat_s=1.0)),
    plain(msg.Events(first=1, events=[]), events=[event(1), event(2)]),
    plain(msg.Events(first=3, events=[]), events=[event(3), None, 1]),
    plain(msg.Pushed(results=[msg.PushResult("evt-1", "accepted")])),
    plain(msg.Beat(sequence=9)),
    plain(msg.Rotate(version=1, url="u")),
    plain(msg.Drain(retry_after_s=1)),
    plain(msg.Error(code="X", message="y")),
]  # fmt: skip
UP = [
    plain(msg.Hello(versions=[1], software="t", packs=[], credit=5)),
    plain(msg.Ack(sequence=0, credit=5)),
    plain(msg.Push(events=[]), events=[event(1), event(2), [], None]),
    plain(msg.Beat(sequence=1, journal=msg.Head(1, "x"))),
    plain(msg.Bye(reason="x")),
    plain(msg.Error(code="X", message="y")),
]


def sidecars(dice: random.Random) -> Iterator[SidecarSession]:
    """Give new sessions for ever, most of them open."""
    while True:
        session = SidecarSession(SessionConfig(limits=LIMITS))
        if dice.randrange(10):
            session.start(
                0.0, cursor=Cursor("E", 0), session=None, packs=[], credit=9, software="t"
            )
        if dice.randrange(5):
            session.received([msgspec.json.encode(DOWN[0])], 0.0)
        yield session


def conductors(dice: random.Random) -> Iterator[ConductorSession]:
    """Give new sessions for ever, most of them open."""
    while True:
        session = ConductorSession(ConductorConfig(limits=LIMITS))
        if dice.randrange(10):
            session.received([msgspec.json.encode(UP[0])], 0.0)
        if dice.randrange(5):
            session.welcome(0.0, session="s", subject="w", epoch="E", resumed=True, start=0)
        yield session


def check(found: list[Any], decode: Callable[[bytes, msg.Limits], Any]) -> None:
    """What goes back is well formed and bounded, and nothing follows a close."""
    closes = [index for index, effect in enumerate(found) if isinstance(effect, fx.Close)]
    assert closes in ([], [len(found) - 1])
    answers = [
        decode(frame, msg.Limits())
        for effect in found
        if isinstance(effect, fx.Send)
        for frame in effect.frames
    ]
    assert sum(isinstance(answer, msg.Error) for answer in answers) <= 11


@pytest.mark.parametrize("seed", [1, 2])
def test_a_sidecar_survives_a_hostile_conductor(seed: int) -> None:
    dice = random.Random(seed)
    fresh = sidecars(dice)
    session = next(fresh)
    for now in range(FRAMES // 4):
        frames = [hostile(DOWN, dice) for _ in range(dice.randrange(1, 4))]
        check(session.received(frames, now / 10), decode_sidecar)
        check(session.tick(now / 10), decode_sidecar)
        if session.state is SidecarState.CLOSED:
            session = next(fresh)


@pytest.mark.parametrize("seed", [3, 4])
def test_a_conductor_survives_a_hostile_sidecar(seed: int) -> None:
    dice = random.Random(seed)
    fresh = conductors(dice)
    session = next(fresh)
    for now in range(FRAMES // 4):
        frames = [hostile(UP, dice) for _ in range(dice.randrange(1, 4))]
        check(session.received(frames, now / 10), decode_conductor)
        check(session.tick(now / 10), decode_conductor)
        if session.state is ConductorState.CLOSED:
            session = next(fresh)
