"""Cutting a list of encoded members into frames that the peer accepts.

Promise: no frame passes `max_frame_bytes` or `max_batch_events`, order is kept, and no body is
encoded again. Refusal: an event that fits into no frame is not sent; the caller is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from conductor_protocol.codec import WITHHELD, encode
from conductor_protocol.messages import Events, Limits, Push, Pushed, PushResult

ENVELOPE_BYTES = 128
"""More than everything of an `events`, `push` or `pushed` frame beside its members."""


def fits(body: bytes, limits: Limits) -> bool:
    """Tell whether an event can be carried at all."""
    return len(body) <= _room_for_one(limits)


def events_frames(first: int, bodies: Sequence[bytes], limits: Limits) -> tuple[list[bytes], int]:
    """Build `events` frames for bodies with sequences from `first` on.

    Returns the frames, and how many bodies fit into none and are sent as WITHHELD so that the
    sequence has no hole.
    """
    withheld = 0
    if bodies and max(map(len, bodies)) > _room_for_one(limits):
        withheld = sum(not fits(body, limits) for body in bodies)
        bodies = [body if fits(body, limits) else WITHHELD for body in bodies]
    frames: list[bytes] = []
    for batch in _cut(bodies, limits):
        frames.append(_fill(encode(Events(first=first, events=[])), batch))
        first += len(batch)
    return frames, withheld


def push_frames(bodies: Sequence[bytes], limits: Limits) -> list[bytes]:
    """Build `push` frames; every body must pass `fits`."""
    empty = encode(Push(events=[]))
    return [_fill(empty, batch) for batch in _cut(bodies, limits)]


def pushed_frames(results: Sequence[PushResult], limits: Limits) -> list[bytes]:
    """Build `pushed` frames."""
    empty = encode(Pushed(results=[]))
    members = list(map(msgspec.json.encode, results))
    return [_fill(empty, batch) for batch in _cut(members, limits)]


def _room_for_one(limits: Limits) -> int:
    return min(limits.max_event_bytes, limits.max_frame_bytes - ENVELOPE_BYTES)


def _fill(empty: bytes, members: Sequence[bytes]) -> bytes:
    """Put members into the empty list that ends a message."""
    return empty[:-2] + b",".join(members) + b"]}"


def _cut(members: Sequence[bytes], limits: Limits) -> Iterator[Sequence[bytes]]:
    room = limits.max_frame_bytes - ENVELOPE_BYTES
    most = limits.max_batch_events
    if members and len(members) <= most and sum(map(len, members)) + len(members) <= room:
        yield members
        return
    start = used = 0
    for index, member in enumerate(members):
        size = len(member) + 1  # its comma
        if index > start and (used + size > room or index - start >= most):
            yield members[start:index]
            start, used = index, 0
        used += size
    if start < len(members):
        yield members[start:]
