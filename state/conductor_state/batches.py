"""How a batch of events looks in the database: a few blobs, never a row for an event.

Promise: pure functions, each with its inverse; damaged bodies are noticed. Refusal: no statement
and no clock is here.

A position is the batch's number times 4,096 plus the event's index in the batch.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from conductor_sdk.records import Position
from conductor_state.errors import StoreCorrupt

BATCH_BITS = 12
BATCH_MAX = 1 << BATCH_BITS
"""Events in a batch at most; larger ones are split."""
_INDEX = BATCH_MAX - 1

_encode = msgspec.msgpack.Encoder().encode
_kinds = msgspec.msgpack.Decoder(tuple[list[str], bytes])


class OutcomeRun(msgspec.Struct, frozen=True, array_like=True):
    """Events of one batch that were settled alike."""

    status: str
    """handled, replayed, ignored, unhandled or dead_letter."""
    action: str
    """The handler's action; the error code of a dead letter."""
    claimed_ms: int
    """When the attempt began; 0 if it was not claimed."""
    ranges: list[int]
    """Index, number, index, number, …"""


_outcomes = msgspec.msgpack.Decoder(list[OutcomeRun])
_ranges = msgspec.msgpack.Decoder(list[int])


def position_of(batch: int, index: int) -> Position:
    """Combine a batch and an index."""
    return batch << BATCH_BITS | index


def batch_of(position: Position) -> int:
    """Return the batch of a position."""
    return position >> BATCH_BITS


def index_of(position: Position) -> int:
    """Return the index of a position in its batch."""
    return position & _INDEX


class StoredEvents(NamedTuple):
    """The events of a batch, each list in order of arrival."""

    event_ids: list[str]
    bodies: list[bytes]
    kinds: bytes
    """As `Kinds.pack` gives: so that this row alone is enough to rebuild a lost receipt."""


_events = msgspec.msgpack.Decoder(StoredEvents)


def pack_events(events: StoredEvents) -> tuple[int, bytes]:
    """Return (checksum, blob) of a batch's events."""
    blob = _encode(events)
    return crc32(blob), blob


def unpack_events(checksum: int, blob: bytes) -> StoredEvents:
    """Return what `pack_events` packed.

    Raises:
        StoreCorrupt: The blob is not what was stored.
    """
    if crc32(blob) != checksum:
        raise StoreCorrupt("the checksum of a stored batch does not match")
    return _events.decode(blob)


class Kinds:
    """The kinds of a batch's events: names, and for each event which of them."""

    __slots__ = ("codes", "names")

    def __init__(self, names: list[str], codes: Sequence[int]) -> None:
        self.names = names
        self.codes = codes
        """Empty when all events have the one kind."""

    @classmethod
    def of(cls, kinds: list[str]) -> Kinds:
        """Intern the kinds of a batch, which is not empty."""
        if kinds.count(kinds[0]) == len(kinds):
            return cls(kinds[:1], ())
        names = list(dict.fromkeys(kinds))
        numbers = {name: number for number, name in enumerate(names)}
        return cls(names, [numbers[kind] for kind in kinds])

    def at(self, index: int) -> str:
        """Return the kind of one event."""
        return self.names[self.codes[index]] if self.codes else self.names[0]

    def count(self, indexes: Sequence[int]) -> dict[str, int]:
        """Count events by kind."""
        if not self.codes:
            return {self.names[0]: len(indexes)}
        codes = self.codes
        counts = Counter([codes[index] for index in indexes])
        return {self.names[code]: number for code, number in counts.items()}

    def pack(self) -> bytes:
        """Return the kinds as a blob."""
        codes = struct.pack(f"<{len(self.codes)}H", *self.codes)
        return _encode((self.names, codes))

    @classmethod
    def unpack(cls, blob: bytes) -> Kinds:
        """Return what `pack` packed.

        Raises:
            StoreCorrupt: Nothing that `pack` packs.
        """
        names, packed = _kinds.decode(blob)
        if not names or len(packed) % 2:
            raise StoreCorrupt("a batch has no kinds")
        codes = struct.unpack(f"<{len(packed) // 2}H", packed)
        if codes and max(codes) >= len(names):
            raise StoreCorrupt("an event has a kind that its batch has not")
        return cls(names, codes)


def to_ranges(numbers: Sequence[int]) -> list[int]:
    """Return ascending numbers as start, count, start, count, …."""
    if not numbers:
        return []
    first, count = numbers[0], len(numbers)
    if numbers[-1] - first + 1 == count:
        return [first, count]
    ranges: list[int] = []
    start = previous = first
    for number in numbers[1:]:
        if number != previous + 1:
            ranges += (start, previous - start + 1)
            start = number
        previous = number
    return [*ranges, start, previous - start + 1]


def from_ranges(ranges: Sequence[int]) -> list[int]:
    """Return the numbers of `to_ranges`."""
    numbers: list[int] = []
    for at in range(0, len(ranges), 2):
        numbers.extend(range(ranges[at], ranges[at] + ranges[at + 1]))
    return numbers


def pack_positions(positions: Iterable[Position]) -> bytes:
    """Return positions as a blob."""
    return _encode(to_ranges(sorted(positions)))


def unpack_positions(blob: bytes) -> list[Position]:
    """Return the positions of `pack_positions`, ascending."""
    return from_ranges(_ranges.decode(blob))


def pack_outcomes(runs: Sequence[OutcomeRun]) -> bytes:
    """Return a settlement as a blob."""
    return _encode(runs)


def unpack_outcomes(blob: bytes) -> list[OutcomeRun]:
    """Return what `pack_outcomes` packed."""
    return _outcomes.decode(blob)
