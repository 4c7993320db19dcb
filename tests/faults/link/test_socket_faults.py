"""A sample of the link faults on real sockets: a TCP proxy between adapter and conductor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from conductor_adapters.transport import LinkOptions, Transport
from conductor_adapters.websocket import adapter
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_sdk.clock import SystemClock
from conductor_sdk.event import parse_event
from conductor_sdk.records import Outgoing
from conductor_sdk.secret import Secret
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import Anchor, HistoryEvent, TokenRecord
from conductor_server.server import serve
from conductor_server.settings import HubSettings
from conductor_sidecar.delivery.keeper import Keeper
from conductor_state.history_records import HistoryRecords
from conductor_state.memory.history import MemoryHistory
from link_bench import SUBJECT, LinkBench, down_event, up_event
from tcp_proxy import Proxy, proxied

EVENTS = 40
PATIENCE_S = 20.0
HUB = HubSettings(beat_s=0.2, hello_s=1.0, close_s=0.2, drain_s=0.2, page_events=4)
RECORDS = HistoryRecords(HistoryEvent, Anchor, TokenRecord)


class Socketed:
    """Both ends, with a proxy between them."""

    def __init__(self, hub: EmbeddedConductor, proxy: Proxy, credential: Secret) -> None:
        self.hub, self.proxy = hub, proxy
        self.bench = LinkBench()
        self._credential = credential
        policy = BackoffPolicy(first_spread_s=0.02, cap_s=0.1, base_s=0.01)
        self.keeper = Keeper(
            self._connect, downlink=self.bench.downlink, uplink=self.bench.uplink,
            feed=self.bench.feed, clock=SystemClock(), backoff=Backoff(policy, Random(2).random),
            cursor=self.bench.log.cursor, head=_no_head, packs=list, software="test/1",
            adapter="websocket", address="ws://proxy",
        )  # fmt: skip

    async def _connect(self, moved_to: str | None) -> Transport:
        del moved_to
        options = LinkOptions(open_timeout_s=2.0, close_timeout_s=0.2)
        return await adapter.connect(
            f"ws://127.0.0.1:{self.proxy.port}/link", self._credential, options
        )

    async def traffic(self) -> None:
        for number in range(1, EVENTS + 1):
            down = down_event(number)
            await self.hub.append(SUBJECT, [Outgoing(down.event_id, down.kind, down.to_json())])
            await self.bench.uplink.publish([up_event(number)])
            await asyncio.sleep(0)

    async def linked(self) -> None:
        await self._until(lambda: self.keeper.open)

    async def _until(self, reached: object) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not reached():  # type: ignore[operator]  # noqa: ASYNC110  two ends to look at
                await asyncio.sleep(0.01)

    async def arrives(self) -> None:
        """Wait until everything has arrived, then see that it did once, and in order."""
        history, wanted = self.hub.history, list(range(1, EVENTS + 1))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                pushed = await history.pushed(SUBJECT, 0, 1000)
                waiting = (await self.bench.outbox.depth()).events
                if (len(self.bench.handled), len(pushed), waiting) == (EVENTS, EVENTS, 0):
                    break
                await asyncio.sleep(0.01)
        assert wanted == self.bench.handled
        assert wanted == [parse_event(event.body).payload["n"] for event in pushed]


async def _no_head() -> None:
    return None


@asynccontextmanager
async def socketed() -> AsyncIterator[Socketed]:
    history = MemoryHistory[HistoryEvent, Anchor, TokenRecord](RECORDS)
    hub = EmbeddedConductor(history, SystemClock(), HUB)
    credential = await hub.enroll((await hub.tokens.issue(SUBJECT)).text.reveal())
    async with serve(hub, port=0) as address, proxied(address.port) as proxy:
        world = Socketed(hub, proxy, Secret(credential.text.reveal()))
        async with world.bench.running():
            keeping = asyncio.create_task(world.keeper.run())
            try:
                yield world
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                await hub.close()


@pytest.mark.parametrize("after", [1, 200, 290, 400, 700, 1500, 3000])
async def test_a_connection_reset_after_any_byte_loses_nothing(after: int) -> None:
    async with socketed() as world:
        world.proxy.cut_down_after = after
        await world._until(lambda: world.proxy.connections > 0)
        await world.traffic()
        await world._until(lambda: world.proxy.connections > 1)  # the first was cut
        world.proxy.cut_down_after = None
        await world.arrives()


@pytest.mark.parametrize("way", ["up", "down", "both"])
async def test_a_connection_that_falls_silent_is_left_for_a_new_one(way: str) -> None:
    async with socketed() as world:
        await world.linked()
        world.proxy.silence(up=way != "down", down=way != "up")
        await world.traffic()
        await world._until(lambda: not world.keeper.open)
        world.proxy.cut()
        world.proxy.heal()
        await world.arrives()


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_frames_that_come_in_pieces_are_whole(piece: int) -> None:
    async with socketed() as world:
        world.proxy.piece = piece
        await world.traffic()
        await world.arrives()
        assert 1 == world.proxy.connections


@pytest.mark.parametrize("garbage", [b"\x00\x00", b"\xff" * 64, b"HTTP/1.1 500 No\r\n\r\n",
                                     b"\x81\x03{}}", b"\x82\x01x", b"\xc1\x02xx"])  # fmt: skip
async def test_garbage_in_the_stream_ends_one_link_and_loses_nothing(garbage: bytes) -> None:
    async with socketed() as world:
        await world.linked()
        world.proxy.inject(garbage)
        await world.traffic()
        await world.arrives()
