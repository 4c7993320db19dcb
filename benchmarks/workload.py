"""The events that everything is measured with: about 390 bytes, random ids.

Promise: every call makes ids that were never used before. Refusal: nothing is sent here.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

KIND_DOWN = "bench:job_requested"
"""What the conductor floods; the benchmark's pack handles it."""
KIND_UP = "bench:job_reported"
"""What the benchmark's pack pushes; policy `queue`."""
SUBJECT = "bench-workspace"
SENDERS = 8
"""Subjects among which the flood's events are spread: each is a lane of its own."""
EVENT_BYTES = 390
_VARIANTS = 512
_WORDS = "amber birch cedar delta ember fjord grove harbor island juniper kelp lagoon meadow"


def event_bodies(count: int, *, kind: str = KIND_DOWN, subject: str | None = None) -> list[bytes]:
    """Make `count` events as JSON, with random ids; without a subject they have several."""
    halves = _halves(kind, subject)
    ids = os.urandom(16 * count).hex()
    return [
        b"".join((before, ids[32 * index : 32 * index + 32].encode(), after))
        for index, (before, after) in zip(range(count), _forever(halves), strict=False)
    ]


def event_id_of(body: bytes) -> str:
    """Return the id of an event made here; it is the first member."""
    return body[13:49].decode()


def events_frames(bodies: Sequence[bytes], per_frame: int) -> list[bytes]:
    """Cut events into `events` messages with sequences from 1."""
    return [
        b'{"type":"events","first":%d,"events":[%s]}'
        % (first + 1, b",".join(bodies[first : first + per_frame]))
        for first in range(0, len(bodies), per_frame)
    ]


def _halves(kind: str, subject: str | None) -> list[tuple[bytes, bytes]]:
    rng = random.Random(7)
    return [_half(rng, kind, subject or f"sender-{n % SENDERS}") for n in range(_VARIANTS)]


def _half(rng: random.Random, kind: str, sender: str) -> tuple[bytes, bytes]:
    before = '{"event_id":"evt-'
    middle = (
        f'","schema_version":2,"kind":"{kind}","timestamp":"2026-11-21T08:30:{rng.randrange(60):02d}'
        f'.{rng.randrange(1000):03d}Z","from":"{sender}","payload":{{"attempt":{rng.randrange(9)},'
        f'"ok":{rng.choice(("true", "false"))},"job":"job-{rng.randrange(10**8):08d}","note":"'
    )
    room = EVENT_BYTES - len(before) - 32 - len(middle) - len('"}}')
    names, words = _WORDS.split(), ""
    while len(words) < room:
        words += rng.choice(names) + " "
    return before.encode(), f'{middle}{words[:room]}"}}}}'.encode()


def _forever(halves: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    while True:
        yield from halves
