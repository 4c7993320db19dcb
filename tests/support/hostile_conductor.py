"""What a conductor that means harm would say: frames without end, cheap to make, from a seed.

Every trick is a function of what the sidecar has shown of itself; most of what they make is almost
right, for what is plainly wrong is refused at the first byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from conductor_protocol.messages import INT_MAX, Limits

SUBJECT = "ws"
EPOCH = "epoch-1"
GOOD = (
    b'{"schema_version":2,"kind":"conductor:thing_happened","event_id":"evt-%d",'
    b'"timestamp":"2026-01-01T00:00:00Z","from":"ws","payload":{"n":%d}}'
)
NUMBERS = (
    "0", "-1", "1e9", "1e999", "-1e999", "NaN", "Infinity", "1.5", str(2**53), str(2**53 - 1),
    str(2**63), str(2**64), "1" + "0" * 400, "0" * 50, "1e-400", "null", "true", '"7"', "[]",
)  # fmt: skip
STRINGS = (
    '""', '"x"', '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"' + "x" * 3000 + '"', "null",
    "17", '"\\x"', '"\ufeff"', '"\u202eevil"', '{"a":1}', '["a"]',
)  # fmt: skip
VALUES = NUMBERS + STRINGS
TYPES = (
    "welcome", "events", "pushed", "beat", "rotate", "drain", "error", "hello", "ack", "push",
    "bye", "WELCOME", "", "x" * 500, "events\\u0000", "__class__", "nonsense",
)  # fmt: skip
FIELDS = (
    "first", "events", "results", "sequence", "journal", "version", "session", "subject", "epoch",
    "resumed", "start", "limits", "beat_s", "gap_from", "gap_to", "url", "retry_after_s", "address",
    "code", "message", "fatal", "type", "__proto__",
)  # fmt: skip
HEAVY_SHARE = 0.003
"""Of the frames: those that cost the sidecar the most, up to the frame limit."""


@dataclass
class Seen:
    """What the sidecar has shown: whoever means harm reads it too."""

    last: int = 0
    credit: int = 0
    pushed: list[str] = field(default_factory=list)


def welcome(*, start: str = "0", epoch: str = EPOCH, resumed: str = "true", beat: str = "1.0",
            version: str = "1", limits: str = "{}") -> bytes:  # fmt: skip
    return (
        f'{{"type":"welcome","version":{version},"session":"s","subject":"{SUBJECT}",'
        f'"epoch":"{epoch}","resumed":{resumed},"start":{start},"limits":{limits},'
        f'"beat_s":{beat}}}'
    ).encode()


def events(first: int | str, count: int, body: Callable[[int], bytes] | None = None) -> bytes:
    start = first if isinstance(first, int) else 1
    make = body or (lambda n: GOOD % (n, n))
    return b'{"type":"events","first":%s,"events":[%s]}' % (
        str(first).encode(), b",".join(map(make, range(start, start + count)))
    )  # fmt: skip


class Villain:
    """Makes frames; `frames` never ends."""

    def __init__(self, seed: int, limits: Limits) -> None:
        self._dice = Random(seed)
        self._limits = limits
        self.seen = Seen()
        tricks: list[tuple[int, Callable[[], bytes]]] = [
            (40, self._next_events), (12, self._moved_back), (2, self._hole), (2, self._too_many),
            (4, self._bad_members), (5, self._beat), (12, self._pushed), (12, self._flood),
            (2, self._greeting), (3, self._wrong_field), (2, self._junk_message), (2, self._junk),
            (4, self._mutated), (6, self._unknown), (6, self._deep), (6, self._keys),
        ]  # fmt: skip
        self._tricks = [trick for _, trick in tricks]
        self._weights = [weight for weight, _ in tricks]
        self._heavy = (self._endless, self._bottomless, self._key_storm, self._long_text,
                       self._results)  # fmt: skip

    def opening(self) -> bytes:
        """Make the first frame of a link: mostly one that is taken."""
        roll = self._dice.random()
        if roll < 0.7:
            return welcome(limits=self._dice.choice(("{}", '{"max_push_in_flight":64}')))
        if roll < 0.9:  # a lost history, or a cursor moved back or forward
            return welcome(start=self._dice.choice(("0", "3", "5000000")), epoch="other",
                           resumed="false")  # fmt: skip
        return self._greeting()

    def frames(self) -> Iterator[bytes]:
        """Make frames for ever."""
        dice, tricks, weights = self._dice, self._tricks, self._weights
        while True:
            if dice.random() < HEAVY_SHARE:
                yield dice.choice(self._heavy)()
                continue
            for trick in dice.choices(tricks, weights, k=32):
                yield trick()

    def _next_events(self) -> bytes:
        return events(self.seen.last + 1, self._dice.choice((1, 1, 2, 8)))

    def _moved_back(self) -> bytes:
        return events(max(1, self.seen.last - self._dice.randrange(20)), self._dice.randrange(1, 6))

    def _hole(self) -> bytes:
        return events(self._dice.choice((self.seen.last + 2, INT_MAX, 0, str(2**70), "-5")), 2)

    def _too_many(self) -> bytes:
        return events(self.seen.last + 1, min(self.seen.credit + 1, 40))

    def _bad_members(self) -> bytes:
        dice = self._dice
        parts = [dice.choice(VALUES).encode() for _ in range(3)] + [GOOD % (1, 1)]
        dice.shuffle(parts)
        return b'{"type":"events","first":%d,"events":[%s]}' % (
            self.seen.last + 1, b",".join(parts)
        )  # fmt: skip

    def _beat(self) -> bytes:
        dice = self._dice
        ahead = dice.choice((self.seen.last, self.seen.last, self.seen.last + 1, 0, INT_MAX))
        return b'{"type":"beat","sequence":%d}' % ahead

    def _pushed(self) -> bytes:
        dice = self._dice
        known = [dice.choice(self.seen.pushed)] if self.seen.pushed else []
        ids = [*known, *known, f"evt-{dice.randrange(50)}"]
        status = dice.choice(("accepted", "duplicate", "rejected", "ok"))
        reason = dice.choice(("null", '"no"', "7"))
        parts = [f'{{"event_id":"{i}","status":"{status}","reason":{reason}}}' for i in ids]
        return f'{{"type":"pushed","results":[{",".join(parts)}]}}'.encode()

    def _flood(self) -> bytes:
        return self._dice.choice((
            b'{"type":"rotate","version":9007199254740991,"url":"http://127.0.0.1/"}',
            b'{"type":"rotate","version":0,"url":"\\u001b[2Jx"}',
            b'{"type":"error","code":"X","message":"no","fatal":false,"sequence":1}',
            b'{"type":"beat","sequence":0}', b'{"type":"pushed","results":[]}',
            b'{"type":"events","first":1,"events":[]}',
        ))  # fmt: skip

    def _greeting(self) -> bytes:
        dice = self._dice
        match dice.randrange(8):
            case 0:
                return b'{"type":"drain","retry_after_s":%s}' % dice.choice((b"0", b"1e5", b"-1"))
            case 1:
                return b'{"type":"error","code":"BYE","message":"x","fatal":true}'
            case _:
                return welcome(
                    start=dice.choice(NUMBERS), epoch=dice.choice((EPOCH, "other", "")),
                    resumed=dice.choice(("true", "false", "1")),
                    beat=dice.choice(("1.0", "1e-9", "0", "3600", "1e300", "NaN")),
                    version=dice.choice(("1", "2", "0")),
                    limits=dice.choice(("{}", '{"max_push_in_flight":9007199254740991}',
                                        '{"max_frame_bytes":4096,"max_event_bytes":1}',
                                        '{"max_depth":1,"max_keys":1,"max_batch_events":1}',
                                        '{"max_batch_events":0}')),
                )  # fmt: skip

    def _wrong_field(self) -> bytes:
        dice = self._dice
        parts = [f'"{dice.choice(FIELDS)}":{dice.choice(VALUES)}' for _ in range(4)]
        kind = dice.choice(TYPES)
        return f'{{"type":"{kind}",{",".join(parts)}}}'.encode("utf-8", "surrogatepass")

    def _junk_message(self) -> bytes:
        return msgspec.json.encode(self._value(0))

    def _value(self, depth: int) -> Any:
        dice = self._dice
        match dice.randrange(6 if depth < 4 else 3):
            case 0:
                return dice.choice((None, True, -1, 2**53, 1.5e300))
            case 1:
                return dice.choice(FIELDS)
            case 2:
                return "x" * dice.randrange(20)
            case 3:
                return [self._value(depth + 1) for _ in range(dice.randrange(5))]
            case _:
                return {
                    dice.choice(FIELDS): self._value(depth + 1) for _ in range(dice.randrange(5))
                }

    def _junk(self) -> bytes:
        dice = self._dice
        return dice.choice((
            b"", b"\x00", b"\xff\xfe\x00", b"null", b"[]", b"{}", b'"',
            b"[" * 60, b"]", b"\xef\xbb",
            b'\xef\xbb\xbf{"type":"beat","sequence":1}', b'{"type":"beat"', b"{" * 300,
            b'{"type":"\\ud800"}', b'{"type":"beat","type":"welcome","sequence":1}', b" " * 500,
            b'{"type":"events","first":1,"events":[' + b"[" * 800,
            dice.randbytes(dice.randrange(1, 64)),
        ))  # fmt: skip

    def _mutated(self) -> bytes:
        dice = self._dice
        frame = bytearray(self._next_events())
        for _ in range(dice.randrange(1, 4)):
            frame[dice.randrange(len(frame))] = dice.randrange(256)
        return bytes(frame[: dice.randrange(1, len(frame) + 1)] if dice.random() < 0.3 else frame)

    def _unknown(self) -> bytes:
        return f'{{"type":"{self._dice.choice(TYPES[11:])}","sequence":1}}'.encode()

    def _deep(self) -> bytes:
        levels = self._dice.choice((31, 32, 33, 300, 3000))
        body = b'{"kind":' + b"[" * levels + b"]" * levels + b"}"
        return events(self.seen.last + 1, 1, lambda _: body)

    def _keys(self) -> bytes:
        count = self._dice.choice((10, 200, self._limits.max_keys + 1))
        body = b"{" + b",".join(b'"k%d":0' % n for n in range(count)) + b"}"
        return events(self.seen.last + 1, 1, lambda _: body)

    def _endless(self) -> bytes:
        return events(self.seen.last + 1, self._limits.max_batch_events + 1)

    def _bottomless(self) -> bytes:
        most = self._limits.max_frame_bytes
        return b'{"type":"events","first":1,"events":[' + b"[" * (most - 100)

    def _key_storm(self) -> bytes:
        count = self._limits.max_frame_bytes // 12
        return b'{"type":"beat",' + b",".join(b'"k%d":0' % n for n in range(count)) + b"}"

    def _long_text(self) -> bytes:
        size = self._dice.choice(
            (self._limits.max_frame_bytes - 60, 4 * self._limits.max_frame_bytes)
        )
        return b'{"type":"error","code":"X","message":"' + b"m" * size + b'"}'

    def _results(self) -> bytes:
        one = b'{"event_id":"evt-1","status":"accepted"}'
        count = self._limits.max_frame_bytes // (len(one) + 1) - 2
        return b'{"type":"pushed","results":[' + b",".join([one] * count) + b"]}"
