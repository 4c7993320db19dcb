"""Every way in which a link can go wrong, on virtual time: nothing is lost, repeated or reordered.

One keeper with its link, downlink and uplink talks to the embedded conductor over a simulated
network; a fault meets it once, and after it everything must arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from conductor_adapters.transport import LinkOptions, Transport
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_sdk.event import parse_event
from conductor_sdk.records import Outgoing
from conductor_sdk.secret import Secret
from conductor_server.hub import EmbeddedConductor
from conductor_server.ports import Anchor, HistoryEvent, TokenRecord
from conductor_server.settings import HubSettings
from conductor_sidecar.delivery.keeper import Keeper
from conductor_state.history_records import HistoryRecords
from conductor_state.memory.history import MemoryHistory
from link_bench import SUBJECT, LinkBench, down_event, up_event
from simworld.life import LIFE, Life
from simworld.net import End, Net, Wire
from simworld.trace import Trace
from virtual_time import LoopClock, virtual_undebugged

EVENTS = 30
BEAT_S = 5.0
PATIENCE_S = 1800.0
RECORDS = HistoryRecords(HistoryEvent, Anchor, TokenRecord)
FRAMES = 14
"""More frames than either end says in the undisturbed run."""


class Pair:
    """Both ends and what is between them."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        trace = Trace(loop.time)
        self.life = Life("pair", trace)
        LIFE.set(self.life)
        self.net = Net(Random(1), trace)
        self.bench = LinkBench()
        clock = LoopClock()
        self.history = MemoryHistory[HistoryEvent, Anchor, TokenRecord](RECORDS, clock=clock)
        settings = HubSettings(beat_s=BEAT_S, hello_s=5.0, close_s=1.0, page_events=4)
        self.hub = EmbeddedConductor(self.history, clock, settings)
        self.net.accept, self.net.listener = self._accept, self.life
        self._attended: set[asyncio.Task[None]] = set()
        self.wrap: Callable[[Transport], Transport] = lambda transport: transport
        policy = BackoffPolicy(first_spread_s=3.0, cap_s=20.0)
        self.keeper = Keeper(
            self._connect, downlink=self.bench.downlink, uplink=self.bench.uplink,
            feed=self.bench.feed, clock=clock, backoff=Backoff(policy, Random(2).random),
            cursor=self.bench.log.cursor, head=_no_head, packs=list, software="test/1",
            adapter="simulated", address="sim://pair",
        )  # fmt: skip

    def _accept(self, end: End) -> None:
        task = asyncio.create_task(self.hub.attach(end, SUBJECT))
        self._attended.add(task)
        task.add_done_callback(self._attended.discard)

    async def _connect(self, moved_to: str | None) -> Transport:
        del moved_to
        return self.wrap(await self.net.connect("", Secret(""), LinkOptions(open_timeout_s=5.0)))

    async def traffic(self) -> None:
        """Say everything that is to be said, both ways, a little at a time."""
        for number in range(1, EVENTS + 1):
            down, up = down_event(number), up_event(number)
            await self.hub.append(SUBJECT, [Outgoing(down.event_id, down.kind, down.to_json())])
            await self.bench.uplink.publish([up])
            await asyncio.sleep(0.02)

    async def arrives(self) -> None:
        """Wait until both ends have everything, then see that they have it once and in order."""
        wanted = list(range(1, EVENTS + 1))
        async with asyncio.timeout(PATIENCE_S):
            while not await self._all():  # noqa: ASYNC110  there is nothing to be told by
                await asyncio.sleep(1)
        pushed = await self.history.pushed(SUBJECT, 0, 1000)
        assert wanted == self.bench.handled
        assert wanted == [parse_event(event.body).payload["n"] for event in pushed]
        assert (await self.bench.counts()).balanced
        assert (await self.bench.up_counts()).balanced
        assert [] == self.bench.gaps

    async def _all(self) -> bool:
        pushed = await self.history.pushed(SUBJECT, 0, 1000)
        depth = await self.bench.outbox.depth()
        return (len(self.bench.handled), len(pushed), depth.events) == (EVENTS, EVENTS, 0)

    async def end(self) -> None:
        await self.hub.close()
        for task in self._attended:
            task.cancel()
        await asyncio.gather(*self._attended, return_exceptions=True)


async def _no_head() -> None:
    return None


@asynccontextmanager
async def linked() -> AsyncIterator[Pair]:
    pair = Pair()
    async with pair.bench.running():
        keeping = asyncio.create_task(pair.keeper.run())
        try:
            yield pair
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await pair.end()


class AtFrame:
    """Does something to the connection at the n-th frame of one direction."""

    def __init__(self, inner: Transport, way: str, number: int, fault: Callable[[], None]) -> None:
        self._inner, self._way, self._left, self._fault = inner, way, number, fault

    async def receive(self, limit: int) -> list[bytes]:
        frames = await self._inner.receive(1 if self._way == "down" else limit)
        self._count("down", len(frames))
        return frames

    async def send(self, frames: list[bytes]) -> None:
        for frame in frames:
            await self._inner.send([frame])
            self._count("up", 1)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code, reason)

    def _count(self, way: str, frames: int) -> None:
        if way == self._way and self._left > 0:
            self._left -= frames
            if self._left <= 0:
                self._fault()


@pytest.mark.parametrize("number", range(1, FRAMES + 1))
@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("fault", ["cut", "black hole", "half open up", "half open down"])
def test_a_fault_at_any_frame_loses_nothing(fault: str, way: str, number: int) -> None:
    @virtual_undebugged
    async def run() -> None:
        async with linked() as pair:
            met = []

            def happen() -> None:
                if not met and (connection := pair.net.latest) is not None:
                    met.append(fault)
                    _break(fault, connection.cut, connection.black_hole, connection.up,
                           connection.down)  # fmt: skip

            pair.wrap = lambda inner: AtFrame(inner, way, number, happen)  # type: ignore[return-value]
            await pair.traffic()
            await pair.arrives()
            assert [fault] == met

    run()


def _break(
    fault: str, cut: Callable[[], None], hole: Callable[[], None], up: Wire, down: Wire
) -> None:
    match fault:
        case "cut":
            # A reset is met by both ends at their next word, not in the middle of this one.
            asyncio.get_running_loop().call_soon(cut)
        case "black hole":
            hole()
        case "half open up":
            up.silence()
        case _:
            down.silence()


@virtual_undebugged
async def test_a_link_that_crawls_is_used_as_long_as_its_beats_come() -> None:
    async with linked() as pair:
        await asyncio.sleep(5)
        assert pair.net.latest is not None
        pair.net.latest.slow(1.0)
        await pair.traffic()
        await pair.arrives()
        assert 1 == len(pair.net.connections)


@virtual_undebugged
async def test_a_link_slower_than_its_beats_is_given_up() -> None:
    async with linked() as pair:
        await asyncio.sleep(5)
        assert pair.net.latest is not None
        pair.net.latest.slow(4 * BEAT_S)
        await pair.traffic()
        await pair.arrives()
        assert len(pair.net.connections) > 1


@virtual_undebugged
async def test_a_connection_that_only_the_conductor_knows_of_is_replaced() -> None:
    async with linked() as pair:
        pair.net.ghosts = 3
        await pair.traffic()
        await pair.arrives()


@virtual_undebugged
async def test_an_address_that_does_not_answer_is_asked_again() -> None:
    async with linked() as pair:
        pair.net.deaf = True
        await pair.traffic()
        await asyncio.sleep(600)
        pair.net.deaf = False
        await pair.arrives()


class Mangling:
    """Frames doubled, joined, or split from their batch: what a carrier of messages may do."""

    def __init__(self, inner: Transport, how: str) -> None:
        self._inner, self._how = inner, how
        self._held: list[bytes] = []

    async def receive(self, limit: int) -> list[bytes]:
        if self._held:
            taken, self._held = self._held[:1], self._held[1:]
            return taken
        frames = await self._inner.receive(limit)
        match self._how:
            case "doubled" if frames[0].startswith(b'{"type":"events"'):
                return [frame for frame in frames for _ in range(2)]
            case "split":
                taken, self._held = frames[:1], frames[1:]
                return taken
            case "garbage":
                return [*frames, b"\xff\x00", b"{}", b'{"type":"nonsense"}']
            case _:
                return frames

    async def send(self, frames: list[bytes]) -> None:
        if self._how == "one by one":
            for frame in frames:
                await self._inner.send([frame])
        else:
            await self._inner.send(frames)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code, reason)


@pytest.mark.parametrize("how", ["doubled", "split", "garbage", "one by one"])
def test_a_mangled_stream_loses_and_repeats_nothing(how: str) -> None:
    @virtual_undebugged
    async def run() -> None:
        async with linked() as pair:
            mangled = []

            def wrap(inner: Transport) -> Transport:
                if how == "garbage" and mangled:
                    return inner  # garbage ends a link: the next one is clean
                mangled.append(how)
                return Mangling(inner, how)  # type: ignore[return-value]

            pair.wrap = wrap
            await pair.traffic()
            await pair.arrives()
            assert mangled

    run()


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1006, 1008, 1009, 1011, 1012, 1013, 4000, 4999])
def test_whatever_code_closes_a_link_it_comes_back(code: int) -> None:
    @virtual_undebugged
    async def run() -> None:
        async with linked() as pair:
            await asyncio.sleep(3.2)
            traffic = asyncio.create_task(pair.traffic())
            await asyncio.sleep(0.3)
            assert pair.net.latest is not None
            await pair.net.latest.far.close(code, "because")
            await traffic
            await pair.arrives()
            assert len(pair.net.connections) > 1

    run()


@virtual_undebugged
async def test_a_conductor_that_beats_and_says_nothing_else_is_left() -> None:
    async with linked() as pair:
        await asyncio.sleep(5)

        class Mute:
            def __init__(self, inner: Transport) -> None:
                self._inner = inner

            async def receive(self, limit: int) -> list[bytes]:
                while True:
                    frames = await self._inner.receive(limit)
                    if passed := [f for f in frames if not f.startswith(b'{"type":"events"')]:
                        return passed

            async def send(self, frames: list[bytes]) -> None:
                await self._inner.send(frames)

            async def close(self, code: int = 1000, reason: str = "") -> None:
                await self._inner.close(code, reason)

        muted = []

        def wrap(inner: Transport) -> Transport:
            if muted:
                return inner
            muted.append(True)
            return Mute(inner)  # type: ignore[return-value]

        pair.wrap = wrap
        assert pair.net.latest is not None
        pair.net.latest.cut()
        await pair.traffic()
        await pair.arrives()
        assert "DEAF" in pair.keeper.report().reason or pair.keeper.open
        assert len(pair.net.connections) > 2
