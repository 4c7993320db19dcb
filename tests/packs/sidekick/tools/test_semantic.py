"""Recall by meaning: an embedder of the workspace's choice, fused with the words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from conductor_packs.sidekick.errors import EmbedderUnusable
from conductor_packs.sidekick.hashing import HashingEmbedder
from conductor_packs.sidekick.records import Memory
from conductor_packs.sidekick.semantic import Meanings, load_embedder

HASHING = "conductor_packs.sidekick.hashing:HashingEmbedder"
Open = Callable[..., AsyncIterator[Any]]


class Counting:
    """Counts what it embeds."""

    threshold = 0.5

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.seen += texts
        return [[float("tea" in text), float("tax" in text)] for text in texts]


def memory(number: int, content: str) -> Memory:
    return Memory(
        id=f"mem-{number}", type="note", content=content, created_at="2026", updated_at="2026"
    )


async def test_words_and_meaning_find_together(open_with: Open) -> None:
    async for sidekick in open_with(semantic=HASHING):
        for content in ("authentication of users", "authenticator app", "cooking with garlic"):
            await sidekick.ok("memory:store", type="note", content=content)
            sidekick.later()
        words = await sidekick.ok("memory:recall", query="authentcation")
        both = await sidekick.ok("memory:recall", query="authentcation", semantic=True)
        assert {"authentication of users", "authenticator app"} == {
            item["content"] for item in both["items"]
        }
        assert [] == words["items"]
        scores = [item["score"] for item in both["items"]]
        assert sorted(scores, reverse=True) == scores
        one = await sidekick.ok("memory:recall", query="authentcation", semantic=True, limit=1)
        assert both["items"][:1] == one["items"]


async def test_filters_hold_for_what_means_the_same(open_with: Open) -> None:
    async for sidekick in open_with(semantic=HASHING):
        await sidekick.ok("memory:store", type="note", content="authenticator app")
        await sidekick.ok("memory:store", type="fact", content="authenticator apps", tags=["x"])
        given = {"query": "authenticator", "semantic": True}
        for filters in ({"type": "fact"}, {"tags": ["X"]}):
            items = (await sidekick.ok("memory:recall", given, **filters))["items"]
            assert ["fact"] == [item["type"] for item in items]


async def test_without_an_embedder_or_a_query_it_is_refused(open_with: Open) -> None:
    async for sidekick in open_with():
        assert await sidekick.code("memory:recall", query="x", semantic=True) == "INVALID_INPUT"
    async for sidekick in open_with(semantic=HASHING):
        assert await sidekick.code("memory:recall", semantic=True) == "INVALID_INPUT"


@pytest.mark.parametrize(
    "entry", ["nowhere", "no.such.module:thing", f"{__name__}:x", "builtins:dict", "math:sqrt"]
)
async def test_an_embedder_that_is_none_is_a_typed_answer(open_with: Open, entry: str) -> None:
    with pytest.raises(EmbedderUnusable):
        load_embedder(entry)
    async for sidekick in open_with(semantic=entry):
        code = await sidekick.code("memory:recall", query="x", semantic=True)
        assert code == "SIDEKICK_EMBEDDER_UNUSABLE"


def test_only_what_changed_is_embedded_again() -> None:
    embedder = Counting()
    meanings = Meanings(embedder)
    first, second = memory(1, "tea"), memory(2, "tax")
    assert ["mem-1"] == meanings.nearest("tea time", [first, second])
    assert ["tea", "tax", "tea time"] == embedder.seen
    embedder.seen.clear()
    assert ["mem-2"] == meanings.nearest("tax", [memory(1, "taxi"), second])[:1]
    assert ["taxi", "tax"] == embedder.seen


def test_the_hashing_embedder_is_the_same_everywhere_and_near_for_inflections() -> None:
    embedder = HashingEmbedder()
    [one, again, near, far, empty] = embedder.embed(
        ["deploying", "deploying", "deployed", "garlic", ""]
    )
    assert one == again
    assert sum(a * b for a, b in zip(one, near, strict=True)) > 3
    assert sum(a * b for a, b in zip(one, far, strict=True)) < 1
    assert not any(empty)
