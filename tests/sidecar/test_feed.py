from __future__ import annotations

import asyncio
from contextlib import aclosing

from conductor_sdk.clock import ManualClock
from conductor_sdk.records import Buried, Delivered
from conductor_sidecar.feed import WATCH_WINDOW, Feed


async def test_nothing_is_kept_while_nobody_watches() -> None:
    feed = Feed(ManualClock())
    feed.note("link", detail="open")

    assert not feed.watched


async def test_every_watcher_sees_what_happens_from_then_on() -> None:
    feed = Feed(ManualClock())
    async with aclosing(feed.watch()) as one, aclosing(feed.watch()) as two:
        first = [asyncio.ensure_future(anext(one)), asyncio.ensure_future(anext(two))]
        await asyncio.sleep(0)
        feed.note("link", detail="open")
        seen = await asyncio.gather(*first)

    assert [["open"], ["open"]] == [[item.detail for item in batch] for batch in seen]
    assert not feed.watched


async def test_outcomes_are_shown_and_passed_on() -> None:
    feed, passed = Feed(ManualClock()), []
    feed.on_settled = passed.extend
    outcomes = [Delivered(1, "handled", "did"), Buried(2, 5, "HANDLER_FAILED", "boom")]
    async with aclosing(feed.watch()) as watching:
        coming = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(0)
        feed.settled(outcomes)
        shown = await coming

    assert ["handled", "dead_letter"] == [item.what for item in shown]
    assert outcomes == passed


async def test_a_slow_watcher_loses_the_oldest_and_is_told_how_many() -> None:
    feed = Feed(ManualClock())
    async with aclosing(feed.watch()) as watching:
        coming = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(0)
        for number in range(WATCH_WINDOW + 10):
            feed.note("link", detail=str(number))
        shown = await coming

    assert "10 records came too fast to be shown" == shown[0].detail
    assert [str(n) for n in range(10, WATCH_WINDOW + 10)] == [item.detail for item in shown[1:]]
