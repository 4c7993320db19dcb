"""Which of 32 partitions may hold a key: an answer from memory, in one probe or two.

Promise: a key that was inserted is always among the candidates of its partition. Refusal: a
candidate is no proof (about one absent key in 1,500 has one); only the partition knows.

A filter is an open-addressed table of 16-bit marks: 11 bits of the key's hash and 5 bits of its
partition. It is at most 60 % full; marks are only added, so a copy of it that was taken in slices
while keys were added is a valid filter for every key that was there when the copying began.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence

PARTITIONS = 32
"""Partitions that share a filter; a mark keeps 5 bits for them."""
CAPACITY = 1_200_000
"""Keys in a filter at most: 57 % of its slots."""
SLICES = 64
"""Equal parts in which a filter is written to disk."""
_SLOTS = 1 << 21
_MASK = _SLOTS - 1
_FINGERPRINT = 53
"""The hash's upper 11 bits tell keys of one slot apart; 0 means an empty slot, so they are 1 up."""
_SLICE_BYTES = _SLOTS * 2 // SLICES


def hashes_of(keys: bytes) -> Sequence[int]:
    """Return the 64-bit hash of every 16-byte key in a concatenation of keys."""
    return struct.unpack(f"<{len(keys) // 8}Q", keys)[::2]


class KeyFilter:
    """Four megabytes for up to `CAPACITY` keys."""

    __slots__ = ("_slots", "size")

    def __init__(self) -> None:
        self._slots = array("H", [0]) * _SLOTS
        self.size = 0
        """Keys inserted, counted by the owner's calls."""

    def insert(self, hashes: Sequence[int], partition: int) -> None:
        """Add keys of a partition (0 to 31). Adding a key again changes nothing."""
        slots = self._slots
        for key in hashes:
            mark = (key >> _FINGERPRINT or 1) << 5 | partition
            at = key & _MASK
            while (seen := slots[at]) and seen != mark:
                at = (at + 1) & _MASK
            slots[at] = mark
        self.size += len(hashes)

    def count_marks(self) -> None:
        """Set `size` to the marks in the table, after slices were restored."""
        self.size = _SLOTS - self._slots.count(0)

    def candidates(self, hashes: Sequence[int]) -> list[tuple[int, int]]:
        """Return (index of the key, partition) wherever a key may be."""
        slots = self._slots
        found: list[tuple[int, int]] = []
        for index, key in enumerate(hashes):
            at = key & _MASK
            seen = slots[at]
            if seen:
                mark = key >> _FINGERPRINT or 1
                while seen:
                    if seen >> 5 == mark:
                        found.append((index, seen & 31))
                    at = (at + 1) & _MASK
                    seen = slots[at]
        return found

    def read_slice(self, number: int) -> bytes:
        """Return one of `SLICES` parts as little-endian bytes."""
        first = number * _SLICE_BYTES // 2
        part = self._slots[first : first + _SLICE_BYTES // 2]
        return _little_endian(part).tobytes()

    def write_slice(self, number: int, data: bytes) -> None:
        """Restore a part that `read_slice` gave."""
        part = array("H")
        part.frombytes(data)
        first = number * _SLICE_BYTES // 2
        self._slots[first : first + _SLICE_BYTES // 2] = _little_endian(part)


def _little_endian(part: array[int]) -> array[int]:
    if sys.byteorder == "big":
        part.byteswap()
    return part
