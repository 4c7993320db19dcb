"""An embedder without a model: words and their three-letter pieces, hashed into a vector.

Promise: the same text gives the same vector on every machine, with nothing installed; it finds
spellings and inflections. Refusal: it knows no synonyms; configure another embedder for those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from zlib import crc32

_WORD = re.compile(r"\w+")
_PIECE = 3


class HashingEmbedder:
    """An `Embedder`. Stateless, safe to share.

    The setting is `sidekick.semantic = "conductor_packs.sidekick.hashing:HashingEmbedder"`.
    """

    def __init__(self, dimensions: int = 256, threshold: float = 0.35) -> None:
        """Make one.

        Args:
            dimensions: The length of each vector; more of them collide less.
            threshold: The least cosine that counts.
        """
        self._dimensions = dimensions
        self._threshold = threshold

    @property
    def threshold(self) -> float:
        """The least cosine that counts."""
        return self._threshold

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text; each feature counts by the root of its frequency."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        counts = [0] * self._dimensions
        for feature in _features(text):
            counts[crc32(feature.encode()) % self._dimensions] += 1
        return [math.sqrt(count) for count in counts]


def _features(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.casefold()):
        framed = f"<{word}>"
        yield framed
        for start in range(len(framed) - _PIECE + 1):
            yield framed[start : start + _PIECE]
