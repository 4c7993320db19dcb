"""Recall by meaning: an embedder that the configuration names, and what it says about memories.

Promise: only what changed is embedded again, off the event loop; words and meaning are fused by
rank, so no score of one needs to be comparable with the other. Refusal: no model is shipped and
nothing is fetched; without an embedder there is no recall by meaning.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from conductor_packs.sidekick.errors import EmbedderUnusable
from conductor_packs.sidekick.records import Memory
from conductor_packs.sidekick.storage.port import MemoryHit
from conductor_sdk.tool_entry import ToolUnavailable, load_entry

_FUSION = 60
"""What is added to each rank before its inverse counts: damps the difference of the first few."""


class Embedder(Protocol):
    """Turns texts into vectors. Called from one thread at a time, never from the event loop."""

    @property
    def threshold(self) -> float:
        """The least cosine of a query and a memory that mean the same, from 0 to 1."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return one vector for each text, all of one length."""
        ...


def load_embedder(entry: str) -> Embedder:
    """Make an embedder: `package.module:attribute` names a class or function without arguments.

    Raises:
        EmbedderUnusable: It cannot be imported or made, or what it makes is no embedder.
    """
    try:
        make = cast("Callable[[], Any]", load_entry(entry))
    except ToolUnavailable as error:
        raise EmbedderUnusable(str(error)) from None
    try:
        made = make()
    except Exception as error:
        raise EmbedderUnusable(f"{entry}: {type(error).__name__}: {error}") from error
    if not callable(getattr(made, "embed", None)) or not hasattr(made, "threshold"):
        raise EmbedderUnusable(f"what {entry} makes has no embed and threshold")
    return cast("Embedder", made)


class Meanings:
    """The vectors of one workspace's memories, kept as long as their texts are unchanged."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self._vectors: dict[str, tuple[str, array[float]]] = {}

    def nearest(self, query: str, memories: Sequence[Memory]) -> list[str]:
        """Return the ids of memories that mean about the same, the nearest first.

        Blocks while it embeds what is new.
        """
        with self._lock:
            self._follow(memories)
            [wanted] = self._embedded([query])
            near = [
                (cosine, memory.id)
                for memory in memories
                if (cosine := _dot(wanted, self._vectors[memory.id][1])) >= self._embedder.threshold
            ]
        return [memory_id for _cosine, memory_id in sorted(near, reverse=True)]

    def _follow(self, memories: Sequence[Memory]) -> None:
        known = self._vectors
        new = [
            memory
            for memory in memories
            if memory.id not in known or known[memory.id][0] != memory.content
        ]
        vectors = self._embedded([memory.content for memory in new])
        for memory, vector in zip(new, vectors, strict=True):
            known[memory.id] = (memory.content, vector)

    def _embedded(self, texts: Sequence[str]) -> list[array[float]]:
        vectors = self._embedder.embed(texts) if texts else ()
        return [_unit(vector) for vector in vectors]


def fused(
    by_words: Sequence[MemoryHit], by_meaning: Sequence[str], known: Mapping[str, MemoryHit]
) -> list[MemoryHit]:
    """Return the hits of both, each scored by its ranks; equals in the order of `known`.

    Args:
        by_words: The hits of the full text, the best first.
        by_meaning: Ids, the nearest first.
        known: A hit for every memory that may be answered, with its excerpt.
    """
    scores: dict[str, float] = {}
    worded = [hit.record.id for hit in by_words]
    for ranking in (worded, by_meaning):
        for rank, memory_id in enumerate(ranking, 1):
            scores[memory_id] = scores.get(memory_id, 0.0) + 1 / (_FUSION + rank)
    shown = {**known, **{hit.record.id: hit for hit in by_words}}
    found = [shown[memory_id] for memory_id in known if memory_id in scores]
    found.sort(key=lambda hit: scores[hit.record.id], reverse=True)
    return [MemoryHit(hit.record, scores[hit.record.id], hit.snippet) for hit in found]


def _unit(vector: Sequence[float]) -> array[float]:
    length = math.sqrt(math.fsum(part * part for part in vector))
    return array("f", [part / length for part in vector] if length else vector)


def _dot(one: array[float], other: array[float]) -> float:
    return sum(map(float.__mul__, one, other))
