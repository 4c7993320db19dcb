"""The faulty link: each fault, its determinism, and the contract when nothing is at fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conductor_adapters.memory import MemoryTransport, pair
from conductor_adapters.testing.contract import TransportContract
from conductor_adapters.testing.expect import Peer, quiet
from conductor_adapters.testing.faults import Dice, Fate, FaultyTransport, Lane, Script
from conductor_adapters.transport import LinkClosed, LinkOptions, Transport

FRAMES = [b"0", b"1", b"2", b"3", b"4"]


class MemoryPeer:
    def __init__(self, end: MemoryTransport) -> None:
        self._end = end
        self.receive, self.send, self.close = end.receive, end.send, end.close

    async def abort(self) -> None:
        await self._end.close(1006)


class TestFaultlessTransport(TransportContract):
    @asynccontextmanager
    async def link(self, options: LinkOptions) -> AsyncIterator[tuple[Transport, Peer]]:
        near, far = pair(options)
        link = FaultyTransport(near)
        yield link, MemoryPeer(far)
        await link.close()
        await far.close()


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (Fate.PASS, FRAMES),
        (Fate.DROP, [b"0", b"2", b"3", b"4"]),
        (Fate.DUPLICATE, [b"0", b"1", b"1", b"2", b"3", b"4"]),
        (Fate.SWAP, [b"0", b"2", b"1", b"3", b"4"]),
        (Fate.DELAY, [b"0", b"2", b"3", b"4"]),
    ],
)
async def test_a_script_decides_the_fate_of_a_frame_both_ways(
    fate: Fate, expected: list[bytes]
) -> None:
    near, far = pair()
    link = FaultyTransport(near, down=Script({1: fate}), up=Script({1: fate}))
    await far.send(FRAMES)
    assert expected == await link.receive(100)
    await link.send(FRAMES)
    assert expected == await far.receive(100)
    assert (5 if fate is Fate.PASS else 1) == link.down.counts[fate]
    await link.close()


async def test_delayed_frames_wait_until_they_are_released() -> None:
    near, far = pair()
    link = FaultyTransport(near, down=Script({0: Fate.DELAY}), up=Script({0: Fate.DELAY}))
    await far.send([b"down"])
    receiving = asyncio.create_task(link.receive(10))
    await quiet(lambda: link.down.counts[Fate.DELAY])
    await link.send([b"up"])
    await link.release()
    assert [b"down"] == await receiving
    assert [b"up"] == await far.receive(10)
    await link.close()


def test_the_same_seed_throws_the_same_fates() -> None:
    def outcome(seed: int) -> list[bytes]:
        lane = Lane(Dice(seed, drop=0.1, duplicate=0.1, swap=0.1, delay=0.1))
        return lane.through([b"%d" % number for number in range(500)]) + lane.release()

    assert outcome(7) == outcome(7)
    assert outcome(7) != outcome(8)


def test_dice_keep_about_the_given_shares() -> None:
    lane = Lane(Dice(1, drop=0.25, duplicate=0.5))
    lane.through([b""] * 10_000)
    assert 2_250 < lane.counts[Fate.DROP] < 2_750
    assert 4_750 < lane.counts[Fate.DUPLICATE] < 5_250


async def test_a_black_hole_swallows_both_ways_until_it_heals() -> None:
    near, far = pair()
    link = FaultyTransport(near)
    receiving = asyncio.create_task(link.receive(10))
    link.black_hole()
    await far.send([b"lost"])
    await link.send([b"lost too"])
    assert 1 == await quiet(lambda: link.down.counts[Fate.DROP])
    link.heal()
    await far.send([b"after"])
    await link.send([b"after too"])
    assert [b"after"] == await receiving
    assert [b"after too"] == await far.receive(10)
    await link.close()


async def test_half_close_ends_receiving_and_leaves_sending() -> None:
    near, far = pair()
    link = FaultyTransport(near)
    receiving = asyncio.create_task(link.receive(10))
    await asyncio.sleep(0)
    link.half_close()
    with pytest.raises(LinkClosed) as caught:
        await receiving
    assert (1006, False) == (caught.value.close_code, caught.value.clean)
    await link.send([b"still going"])
    assert [b"still going"] == await far.receive(10)
    await link.close()


async def test_reset_ends_both_ends_without_a_goodbye() -> None:
    near, far = pair()
    link = FaultyTransport(near)
    receiving = asyncio.create_task(link.receive(10))
    await asyncio.sleep(0)
    await link.reset()
    for ending in (receiving, far.receive(1)):
        with pytest.raises(LinkClosed) as caught:
            await ending
        assert (1006, False) == (caught.value.close_code, caught.value.clean)
    with pytest.raises(LinkClosed):
        await link.send([b"late"])
    with pytest.raises(LinkClosed):
        await far.send([b"late"])
