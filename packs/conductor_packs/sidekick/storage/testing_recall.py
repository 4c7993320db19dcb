"""The part of the contract suite about recall: one order and one snippet on every adapter.

Promise: the expected order is written out, so two adapters that pass agree with each other.
Refusal: no score is compared between adapters; only order and signs count.
"""

# ruff: noqa: S101, PLR2004, SIM300, D102  a suite asserts expected == actual, literally; names are sentences
from __future__ import annotations

from datetime import UTC, datetime

from conductor_packs.sidekick.records import MEMORIES
from conductor_packs.sidekick.storage.port import Change, MemoryQuery, StoragePort
from conductor_packs.sidekick.storage.testing_samples import AT, memory

LIBRARY = (
    memory("tea", "The user prefers green tea for breakfast", tags=("Food", "morning")),
    memory("nine", "Breakfast is at nine, in the kitchen", tags=("food",),
           updated_at="2026-01-03T00:00:00.000Z"),
    memory("deploy", "Deploy with: make deploy-prod && ./check.sh --fast"),
    memory("café", "The Café opens at eight", updated_at="2026-01-02T00:00:00.000Z"),
    memory("tokyo", "東京の天気は晴れ", updated_at="2026-01-04T00:00:00.000Z"),
    memory("running", "Runs ten kilometres every Sunday", tags=("sport", "morning")),
)  # fmt: skip


FOUND: tuple[tuple[str, list[str]], ...] = (
    ("breakfast", ["nine", "tea"]),
    ("green breakfast", ["tea", "nine"]),  # all the words before some of them
    ("the user's breakfast preference", ["tea", "nine", "café"]),
    ("BREAKFAST", ["nine", "tea"]),
    ("run", ["running"]),  # word stems
    ("kilo", ["running"]),  # the beginning of a word
    ("cafe", ["café"]),  # without diacritics
    ('"green tea"', ["tea"]),
    ('"tea green"', []),
    ("eakfas", ["nine", "tea"]),  # inside of a word: only where no word matches
    ("天気", ["tokyo"]),
    ("deploy-prod", ["deploy"]),
    ("&& ./check.sh", ["deploy"]),
    ("zebra", []),
)
"""What is asked, and what is found, in order."""
HOSTILE = (
    "AND", "tea AND", '"', '""', "'", "tea*", "^tea", "content:tea", "NEAR(tea, 2)", "(((",
    "tea OR NOT", "\0tea", "; DROP TABLE memory_text", "-tea", "{tea}", "tea\\", "%", "_",
    "a " * 5000, "\ud7ff𝄞", '"unclosed', '" " " "', "+", "|", "tea:" * 300,
)  # fmt: skip
"""Texts that would break, or change, a query if they were put into one."""


class RecallContract:
    """What every adapter promises about recall. Its checks take the fixture `storage`."""

    async def test_words_find_memories_best_first(self, storage: StoragePort) -> None:
        await storage.change(_fill)
        for text, expected in FOUND:
            assert (text, expected) == (text, await _names(storage, MemoryQuery(text)))

    async def test_no_text_breaks_the_query(self, storage: StoragePort) -> None:
        await storage.change(_fill)
        for text in HOSTILE:
            found = await _names(storage, MemoryQuery(text))
            assert len(found) <= len(LIBRARY)

    async def test_without_words_the_newest_come_first(self, storage: StoragePort) -> None:
        await storage.change(_fill)
        newest = ["tokyo", "nine", "café", "deploy", "running", "tea"]
        assert newest == await _names(storage, MemoryQuery())
        assert newest == await _names(storage, MemoryQuery("   "))

    async def test_equal_hits_are_ordered_by_update_and_then_by_id(
        self, storage: StoragePort
    ) -> None:
        def fill(change: Change) -> None:
            for name, when in (("b", AT), ("c", "2026-02-01T00:00:00.000Z"), ("a", AT)):
                change.put(MEMORIES, memory(name, "the same words", updated_at=when))

        await storage.change(fill)
        assert ["c", "a", "b"] == await _names(storage, MemoryQuery("same words"))
        assert ["a", "b"] == await _names(storage, MemoryQuery("same", limit=2, offset=1))
        assert [] == await _names(storage, MemoryQuery("same", offset=3))

    async def test_filters_hold_together_with_words(self, storage: StoragePort) -> None:
        await storage.change(_fill)
        assert ["nine", "tea"] == await _names(storage, MemoryQuery(tags=["FOOD"]))
        assert ["tea"] == await _names(storage, MemoryQuery(tags=["food", "Morning"]))
        assert ["running"] == await _names(storage, MemoryQuery("every day", tags=["morning"]))
        assert [] == await _names(storage, MemoryQuery("breakfast", type="note"))
        assert 6 == len(await _names(storage, MemoryQuery(type="fact")))
        since, until = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)
        assert ["nine", "café"] == await _names(storage, MemoryQuery(since=since, until=until))
        assert ["nine"] == await _names(storage, MemoryQuery("breakfast", since=since))
        assert ["tea"] == await _names(storage, MemoryQuery("breakfast", until=since))

    async def test_a_snippet_shows_what_was_found(self, storage: StoragePort) -> None:
        long = "word " * 200 + "needle in the middle " + "word " * 200
        await storage.change(lambda change: change.put(MEMORIES, memory("long", long)))
        (hit,) = await storage.read(lambda view: view.search(MemoryQuery("needle")))
        assert "[needle] in the middle" in hit.snippet
        assert len(hit.snippet) < 200
        assert hit.score > 0
        (plain,) = await storage.read(lambda view: view.search(MemoryQuery()))
        assert plain.snippet.startswith("word word")
        assert len(plain.snippet) < 200
        assert plain.score == 0
        (inside,) = await storage.read(lambda view: view.search(MemoryQuery("eedl")))
        assert "needle in" in inside.snippet

    async def test_recall_follows_every_change(self, storage: StoragePort) -> None:
        await storage.change(_fill)
        await _names(storage, MemoryQuery("breakfast"))
        await storage.change(lambda change: change.put(MEMORIES, memory("tea", "coffee at noon")))
        await storage.change(lambda change: change.remove(MEMORIES, "mem-nine"))
        assert [] == await _names(storage, MemoryQuery("breakfast"))
        assert ["tea"] == await _names(storage, MemoryQuery("coffee"))

    async def test_a_change_finds_what_it_wrote(self, storage: StoragePort) -> None:
        def work(change: Change) -> list[str]:
            before = change.search(MemoryQuery("breakfast"))
            change.put(MEMORIES, memory("new", "breakfast in bed"))
            change.remove(MEMORIES, "mem-nine")
            after = change.search(MemoryQuery("breakfast"))
            return [str(len(before)), *sorted(hit.record.id for hit in after)]

        await storage.change(_fill)
        assert ["2", "mem-new", "mem-tea"] == await storage.change(work)


def _fill(change: Change) -> None:
    for record in LIBRARY:
        change.put(MEMORIES, record)


async def _names(storage: StoragePort, query: MemoryQuery) -> list[str]:
    hits = await storage.read(lambda view: view.search(query))
    return [hit.record.id.removeprefix("mem-") for hit in hits]
