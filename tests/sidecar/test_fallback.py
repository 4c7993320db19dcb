from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from conductor_adapters.http import HttpPushResult
from conductor_adapters.transport import ConnectFailed
from conductor_sdk.clock import ManualClock
from conductor_sdk.records import Outgoing, Queued
from conductor_sidecar.delivery.fallback import HttpFallback, http_base
from conductor_sidecar.feed import Feed
from conductor_state.memory.outbox import MemoryOutbox


class Link:
    open = False


class Scripted:
    """A pusher that answers from a script of statuses, one for each event it is given."""

    def __init__(self, *statuses: str) -> None:
        self.statuses = list(statuses)
        self.batches: list[list[bytes]] = []

    async def push(self, workspace: str, events: Sequence[bytes]) -> list[HttpPushResult]:
        self.batches.append(list(events))
        if self.statuses == ["down"]:
            raise ConnectFailed("nobody there")
        answers = []
        for body in events:
            status = self.statuses.pop(0) if self.statuses else "accepted"
            answers.append(HttpPushResult(body.decode(), status, None))  # type: ignore[arg-type]
        return answers


async def made(pusher: Scripted, *ids: str) -> tuple[HttpFallback, MemoryOutbox, Link]:
    clock, link = ManualClock(), Link()
    outbox = MemoryOutbox(clock=clock)
    if ids:
        await outbox.put([Outgoing(one, "demo:thing", one.encode()) for one in ids])
    fallback = HttpFallback(
        pusher, outbox, link, clock, Feed(clock), subject="ws", after_s=lambda: 60.0
    )
    return fallback, outbox, link


async def test_queued_events_go_up_in_order_and_leave_the_outbox_once_confirmed() -> None:
    pusher = Scripted()
    fallback, outbox, _ = await made(pusher, "a", "b", "c")

    assert 3 == await fallback.drain()
    assert [[b"a", b"b", b"c"]] == pusher.batches
    assert 0 == (await outbox.depth()).events


async def test_an_event_that_the_reply_does_not_confirm_stays() -> None:
    fallback, outbox, _ = await made(Scripted("accepted", "unconfirmed", "accepted"), "a", "b", "c")

    assert 2 == await fallback.drain()
    assert ["b"] == [row.event_id for row in await outbox.take(0, 10, 10_000)]


async def test_a_rejected_event_is_dropped_and_counted() -> None:
    fallback, outbox, _ = await made(Scripted("rejected"), "a")

    await fallback.drain()
    counts = (await outbox.counts())["demo:thing"]
    assert {"rejected": 1} == dict(counts.dropped)
    assert counts.balanced


async def test_nothing_is_lost_when_the_conductor_is_down() -> None:
    fallback, outbox, _ = await made(Scripted("down"), "a")

    with pytest.raises(ConnectFailed):
        await fallback.drain()
    assert 1 == (await outbox.depth()).events


async def test_an_open_link_has_precedence() -> None:
    pusher = Scripted()
    fallback, _, link = await made(pusher, "a")
    link.open = True

    assert 0 == await fallback.drain()
    assert [] == pusher.batches


async def test_it_watches_until_it_is_cancelled() -> None:
    fallback, _, _ = await made(Scripted())
    task = asyncio.create_task(fallback.run())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("link", "base"),
    [
        ("ws://127.0.0.1:80/link", "http://127.0.0.1:80"),
        ("wss://conductor.example/link", "https://conductor.example"),
        ("wss://conductor.example/tenant/link", "https://conductor.example/tenant"),
    ],
)
def test_the_http_address_follows_from_the_links(link: str, base: str) -> None:
    assert base == http_base(link)


class Recorder:
    """Remembers what went up without a link."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def pushed_by_http(self, rows: Sequence[Queued], said: Mapping[str, str]) -> None:
        self.seen += [(row.event_id, said[row.event_id]) for row in rows]


async def test_what_was_confirmed_is_recorded_and_what_was_not_is_not() -> None:
    clock, recorder = ManualClock(), Recorder()
    outbox = MemoryOutbox(clock=clock)
    await outbox.put([Outgoing(one, "demo:thing", one.encode()) for one in "abc"])
    fallback = HttpFallback(
        Scripted("accepted", "unconfirmed", "rejected"), outbox, Link(), clock, Feed(clock),
        subject="ws", after_s=lambda: 60.0, tracer=recorder,
    )  # fmt: skip
    assert 2 == await fallback.drain()
    assert [("a", "accepted"), ("c", "rejected")] == recorder.seen
