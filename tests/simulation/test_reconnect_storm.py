"""A thousand sidecars whose conductor restarts: they come back, spread, and always."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from conductor_adapters.memory import MemoryTransport, pair
from conductor_adapters.transport import ConductorBusy, ConnectFailed, TransportError
from conductor_protocol.backoff import Backoff, BackoffPolicy
from conductor_sdk.records import Cursor
from conductor_sidecar.delivery import keeper
from conductor_sidecar.settings import ReconnectSettings
from link_bench import FarEnd, LinkBench
from virtual_time import LoopClock, virtual_undebugged

SIDECARS = 1_000
SHARE_MAX = 0.06
"""Of all sidecars, in any one second."""
SHARE_AWAY_MAX = 0.08
"""While the conductor stays away: second tries fall among the last of the first ones."""
DAY_S = 86_400.0
SEED = 1
DEFAULTS = ReconnectSettings()


@pytest.fixture(autouse=True)
def nobody_enrolls_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for a new enrollment once an hour: each look of each sidecar would take real time."""
    monkeypatch.setattr(keeper, "LOOK_S", 3600.0)


class Crowd:
    """A conductor and its sidecars; `answer` is what a connection meets now."""

    def __init__(self) -> None:
        self.answer: Callable[[], TransportError] | None = None
        self.tries: list[tuple[float, int]] = []
        """When which sidecar knocked, since `watch`."""
        self.open: dict[int, FarEnd] = {}
        self.bench = LinkBench()
        self._tasks: list[asyncio.Task[None]] = []
        self._greetings: set[asyncio.Task[object]] = set()

    def add(self, number: int) -> None:
        """Start a sidecar's keeper: all that decides when it comes."""
        policy = BackoffPolicy(first_spread_s=DEFAULTS.first_spread_s, cap_s=DEFAULTS.cap_s)
        bench, dice = LinkBench(), Random(f"{SEED}/{number}")
        kept = keeper.Keeper(
            lambda _: self._connect(number), downlink=bench.downlink, uplink=bench.uplink,
            feed=bench.feed, clock=LoopClock(), backoff=Backoff(policy, dice.random),
            cursor=_nowhere, head=_no_head, packs=list, software="test/1", adapter="memory",
            address="memory://crowd",
        )  # fmt: skip
        self._tasks.append(asyncio.create_task(kept.run(), name=f"keeper {number}"))

    async def _connect(self, number: int) -> MemoryTransport:
        self.tries.append((asyncio.get_running_loop().time(), number))
        if self.answer is not None:
            raise self.answer()
        near, far = pair()
        end = FarEnd(far)
        greeting = asyncio.create_task(end.welcome(beat_s=3600.0))
        self._greetings.add(greeting)
        greeting.add_done_callback(self._greetings.discard)
        self.open[number] = end
        return near

    async def restart(self) -> float:
        """Close every link, as a conductor that restarts does; returns when."""
        ends, self.open = list(self.open.values()), {}
        self.tries.clear()
        for end in ends:
            await end.link.close(1012, "restart")
        return asyncio.get_running_loop().time()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _nowhere() -> Cursor:
    return Cursor("", 0)


async def _no_head() -> None:
    return None


def busiest(tries: list[tuple[float, int]]) -> int:
    """Knocks in the busiest second, wherever it begins."""
    times = sorted(at for at, _ in tries)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


async def crowd_of(size: int) -> Crowd:
    crowd = Crowd()
    for number in range(size):
        crowd.add(number)
    await asyncio.sleep(120)  # links are stable now: nobody remembers an attempt
    assert size == len(crowd.open)
    return crowd


@virtual_undebugged
async def test_after_a_restart_at_most_six_percent_come_back_in_any_one_second() -> None:
    crowd = await crowd_of(SIDECARS)
    at = await crowd.restart()
    await asyncio.sleep(DEFAULTS.first_spread_s + 1)
    assert SIDECARS == len(crowd.open) == len(crowd.tries)
    assert busiest(crowd.tries) <= SHARE_MAX * SIDECARS
    assert max(when for when, _ in crowd.tries) - at <= DEFAULTS.first_spread_s + 0.1
    await crowd.end()


@virtual_undebugged
async def test_while_it_stays_away_the_knocks_never_gather() -> None:
    crowd = await crowd_of(SIDECARS)
    crowd.answer = lambda: ConnectFailed("nobody listens")
    await crowd.restart()
    await asyncio.sleep(1800)
    assert busiest(crowd.tries) <= SHARE_AWAY_MAX * SIDECARS
    crowd.answer = None
    crowd.tries.clear()
    await asyncio.sleep(DEFAULTS.cap_s + 1)
    assert SIDECARS == len(crowd.open) == len(crowd.tries)
    assert busiest(crowd.tries) <= SHARE_MAX * SIDECARS
    await crowd.end()


@virtual_undebugged
async def test_nobody_gives_up_in_thirty_days() -> None:
    crowd = await crowd_of(3)
    crowd.answer = lambda: ConnectFailed("nobody listens")
    await crowd.restart()
    await asyncio.sleep(30 * DAY_S)
    last = Counter(number for when, number in crowd.tries if when > 29 * DAY_S)
    assert {0, 1, 2} == last.keys()
    assert min(last.values()) > DAY_S / DEFAULTS.cap_s
    crowd.answer = None
    await asyncio.sleep(DEFAULTS.cap_s + 1)
    assert {0, 1, 2} == crowd.open.keys()
    await crowd.end()


@virtual_undebugged
async def test_a_time_to_come_back_is_kept_by_everybody_and_spread_behind() -> None:
    crowd = await crowd_of(SIDECARS)
    crowd.answer = lambda: ConductorBusy(retry_after_s=90.0)
    await crowd.restart()
    await asyncio.sleep(DEFAULTS.first_spread_s + 1)
    first = {number: when for when, number in crowd.tries}
    crowd.answer = None
    crowd.tries.clear()
    await asyncio.sleep(90 + 2 * DEFAULTS.first_spread_s)
    assert SIDECARS == len(crowd.tries)
    assert all(when - first[number] >= 90 for when, number in crowd.tries)
    assert busiest(crowd.tries) <= SHARE_MAX * SIDECARS
    await crowd.end()
