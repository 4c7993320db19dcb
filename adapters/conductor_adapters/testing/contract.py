# ruff: noqa: D102  the names of a suite's tests are sentences
"""The suite that every transport must pass.

Promise: subclass `TransportContract`, name the class `Test…`, give it `link`, and pytest with
pytest-asyncio runs one test for each sentence of the port. Refusal: nothing here knows how the
peer is reached; what only a connecting adapter can break stands in `connect_contract`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from conductor_adapters.testing.expect import (
    PATIENCE_S,
    Peer,
    closed,
    equal,
    gather,
    quiet,
    send_raises,
    true,
)
from conductor_adapters.transport import LinkClosed, LinkOptions, Transport

_SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 1_048_576)
_FLOOD_FRAME = b"f" * 65_536
_FLOOD_FRAMES = 512
_SMALL = LinkOptions(receive_window=8, receive_window_bytes=524_288, close_timeout_s=0.5)


class TransportContract(ABC):
    """Behaviour of an open link, whatever carries it."""

    read_ahead_bytes = 0
    """How far one read from the network may overrun the receive window."""

    @abstractmethod
    def link(self, options: LinkOptions) -> AbstractAsyncContextManager[tuple[Transport, Peer]]:
        """Open a link under `options`; on leaving release both ends, whatever state they are in."""

    async def test_frames_of_every_size_arrive_whole_and_in_order_both_ways(self) -> None:
        frames = [b"x" * size for size in _SIZES]
        async with self.link(LinkOptions()) as (link, peer), asyncio.TaskGroup() as tasks:
            tasks.create_task(link.send(frames))
            equal(frames, await gather(peer, len(frames)))
            tasks.create_task(peer.send(frames))
            equal(frames, await gather(link, len(frames)))

    async def test_receive_returns_what_has_arrived_and_never_more_than_the_limit(self) -> None:
        frames = [b"%d" % number for number in range(10)]
        async with self.link(LinkOptions()) as (link, peer):
            await peer.send(frames)
            first = await link.receive(1)
            equal(frames[:1], first)
            rest: list[bytes] = []
            while len(rest) < len(frames) - 1:
                batch = await link.receive(4)
                true(1 <= len(batch) <= 4, "receive gives one frame to its limit")  # noqa: PLR2004
                rest += batch
            equal(frames[1:], rest)

    async def test_frames_that_arrived_together_are_received_together(self) -> None:
        frames = [b"%d" % number for number in range(100)]
        async with self.link(LinkOptions()) as (link, peer):
            await peer.send(frames)
            await quiet(lambda: 0)
            got: list[bytes] = []
            calls = 0
            while len(got) < len(frames):
                got += await link.receive(1000)
                calls += 1
            equal(frames, got)
            true(calls <= len(frames) // 10, "frames come in batches")

    async def test_cancelling_receive_loses_no_frame(self) -> None:
        frames = [b"%d" % number for number in range(200)]
        got: list[bytes] = []
        async with self.link(LinkOptions()) as (link, peer), asyncio.TaskGroup() as tasks:
            tasks.create_task(_one_by_one(peer, frames))
            while len(got) < len(frames):
                receiving = asyncio.create_task(link.receive(3))
                await asyncio.sleep(0)
                receiving.cancel()
                await asyncio.wait({receiving}, timeout=PATIENCE_S)
                if not receiving.cancelled():
                    got += receiving.result()
        equal(frames, got)

    async def test_an_idle_reader_bounds_memory_and_blocks_the_sender(self) -> None:
        async with self.link(_SMALL) as (link, peer):
            flood = _Flood(peer)
            await quiet(lambda: flood.sent)
            true(not flood.task.done(), "the sender waits while nobody receives")
            held = await link.receive(_FLOOD_FRAMES)
            bound = _SMALL.receive_window_bytes + self.read_ahead_bytes + 2 * len(_FLOOD_FRAME)
            true(sum(map(len, held)) <= bound, f"at most {bound} bytes are held unread")
            equal(_FLOOD_FRAMES, len(held) + len(await gather(link, _FLOOD_FRAMES - len(held))))
            await flood.task

    async def test_a_peer_that_does_not_read_blocks_send_until_it_reads(self) -> None:
        async with self.link(_SMALL) as (link, peer):
            flood = _Flood(link)
            await quiet(lambda: flood.sent)
            true(not flood.task.done(), "send waits while the peer does not receive")
            equal(_FLOOD_FRAMES, len(await gather(peer, _FLOOD_FRAMES)))
            await flood.task

    async def test_close_frees_a_blocked_send(self) -> None:
        async with self.link(_SMALL) as (link, _peer):
            flood = _Flood(link)
            await quiet(lambda: flood.sent)
            async with asyncio.timeout(_SMALL.close_timeout_s + PATIENCE_S):
                await link.close()
                await asyncio.wait({flood.task})
            true(isinstance(flood.task.exception(), LinkClosed), "send ends with LinkClosed")

    async def test_close_is_idempotent_and_ends_receive_and_send(self) -> None:
        async with self.link(LinkOptions()) as (link, peer):
            await peer.send([b"never read"])
            await quiet(lambda: 0)
            await link.close(1000, "done")
            await link.close()
            await asyncio.gather(link.close(4000), link.close())
            await closed(link)
            await send_raises(link)

    async def test_close_wakes_a_waiting_receive(self) -> None:
        async with self.link(LinkOptions()) as (link, _peer), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(closed(link))
            await asyncio.sleep(0)
            await link.close()
            equal(False, (await waiting).clean)

    async def test_close_ends_within_its_timeout_while_reading_is_paused(self) -> None:
        async with self.link(_SMALL) as (link, peer):
            flood = _Flood(peer)
            await quiet(lambda: flood.sent)
            async with asyncio.timeout(_SMALL.close_timeout_s + PATIENCE_S):
                await link.close()
            await closed(link)
            flood.task.cancel()
            await asyncio.wait({flood.task})

    async def test_the_end_comes_after_the_last_frame_and_says_that_the_peer_closed(self) -> None:
        frames = [b"one", b"two", b"three"]
        async with self.link(LinkOptions()) as (link, peer), asyncio.TaskGroup() as tasks:
            await peer.send(frames)
            tasks.create_task(peer.close(4001, "moved"))
            equal(frames, await gather(link, len(frames)))
            error = await closed(link)
            equal((4001, True), (error.close_code, error.clean))
            equal(4001, (await closed(link)).close_code)
            await send_raises(link)

    async def test_a_peer_that_vanishes_ends_the_link_uncleanly(self) -> None:
        async with self.link(LinkOptions()) as (link, peer):
            await peer.send([b"last words"])
            equal([b"last words"], await gather(link, 1))
            await peer.abort()
            error = await closed(link)
            equal((1006, False), (error.close_code, error.clean))
            await send_raises(link)

    async def test_send_and_receive_run_at_once(self) -> None:
        frames = [b"%d" % number * 50 for number in range(2000)]
        async with self.link(_SMALL) as (link, peer), asyncio.TaskGroup() as tasks:
            there = tasks.create_task(gather(peer, len(frames)))
            back = tasks.create_task(gather(link, len(frames)))
            for start in range(0, len(frames), 100):
                await asyncio.gather(
                    link.send(frames[start : start + 100]), peer.send(frames[start : start + 100])
                )
            equal(frames, await there)
            equal(frames, await back)

    async def test_a_frame_over_the_limit_ends_the_link_with_1009(self) -> None:
        async with self.link(LinkOptions(max_frame_bytes=1000)) as (link, peer):
            await peer.send([b"o" * 1000, b"k" * 1001])
            equal([b"o" * 1000], await gather(link, 1))
            equal(1009, (await closed(link)).close_code)


class _Flood:
    """A task that sends far more than any network holds, one frame at a time."""

    def __init__(self, end: Transport | Peer) -> None:
        self.sent = 0
        self.task = asyncio.create_task(self._run(end), name="flood")

    async def _run(self, end: Transport | Peer) -> None:
        for _ in range(_FLOOD_FRAMES):
            await end.send([_FLOOD_FRAME])
            self.sent += 1


async def _one_by_one(peer: Peer, frames: list[bytes]) -> None:
    for frame in frames:
        await peer.send([frame])
        await asyncio.sleep(0)
