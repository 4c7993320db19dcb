"""Which numbers were seen before, in little memory.

Promise: every number that was added is found again; 8 bytes each beyond the newest few thousand.
Refusal: numbers only; whoever has names digests them first.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left

_SEAL = 8192
_MERGE = 8


class SeenNumbers:
    """A growing set of unsigned 64-bit numbers: a small hash set before sorted arrays."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sealed: list[array[int]] = []

    def __len__(self) -> int:
        return len(self._recent) + sum(map(len, self._sealed))

    def __contains__(self, number: int) -> bool:
        return number in self._recent or any(_holds(part, number) for part in self._sealed)

    def add(self, number: int) -> bool:
        """Add a number; False when it was there."""
        if number in self:
            return False
        self._recent.add(number)
        if len(self._recent) >= _SEAL:
            self._sealed.append(array("Q", sorted(self._recent)))
            self._recent = set()
            # Few parts keep a look-up short; equal sizes merge like a binary counter.
            while len(self._sealed) > _MERGE and len(self._sealed[-2]) <= len(self._sealed[-1]):
                newest = self._sealed.pop()
                self._sealed[-1] = array("Q", sorted(self._sealed[-1] + newest))
        return True


def digest64(text: str) -> int:
    """Return 64 bits of a text's digest."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _holds(part: array[int], number: int) -> bool:
    index = bisect_left(part, number)
    return index < len(part) and part[index] == number
