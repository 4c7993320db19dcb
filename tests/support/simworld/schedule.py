"""What happens to a world, and when: a list of deeds with their weights, thrown by the seed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import NamedTuple

import msgspec

from conductor_sdk.event import keyed_event_id
from conductor_sdk.records import Outgoing
from simworld import pack
from simworld.conductor import SUBJECT, SimConductor
from simworld.net import Net, busy, unknown_credential
from simworld.pack import Desk
from simworld.sidecar import POINTS, SimSidecar
from virtual_time import BEGIN

LANES = 3
USUAL = (
    pack.ONCE, pack.ONCE, pack.KEYED, pack.PLAIN, pack.PLAIN, pack.FLAKY, pack.BAD, pack.POISON,
    pack.NOBODY,
)  # fmt: skip


KINDS = (*USUAL * 6, pack.KILLER)


class Deed(NamedTuple):
    """One kind of thing that may happen."""

    weight: int
    name: str
    do: Callable[[], Awaitable[None]]


class Fate:
    """Throws deeds and does them."""

    def __init__(
        self, dice: Random, net: Net, conductor: SimConductor, sidecar: SimSidecar, desk: Desk
    ) -> None:
        self._dice = dice
        self._net = net
        self._conductor = conductor
        self._sidecar = sidecar
        self._desk = desk
        self._next = 0
        self._pushes = 0
        self.deeds = (
            Deed(24, "send", self._send), Deed(6, "resend", self._resend),
            Deed(12, "push", self._push), Deed(2, "malformed", self._malformed),
            Deed(4, "cut", self._cut), Deed(2, "half open", self._half_open),
            Deed(2, "black hole", self._black_hole), Deed(2, "slow", self._slow),
            Deed(1, "ghost", self._ghost), Deed(2, "unanswered", self._unanswered),
            Deed(2, "refused", self._refused), Deed(2, "busy", self._busy),
            Deed(3, "conductor crashes", self._conductor_crashes),
            Deed(2, "conductor restarts", self._conductor_restarts),
            Deed(2, "conductor drains", self._conductor_drains),
            Deed(1, "history lost", self._history_lost), Deed(1, "history cut", self._history_cut),
            Deed(6, "sidecar dies", self._sidecar_dies), Deed(6, "ambush", self._ambush),
            Deed(4, "power cut", self._power_cut),
            Deed(4, "sidecar stops", self._sidecar_stops), Deed(3, "clock", self._clock),
        )  # fmt: skip

    def throw(self) -> Deed:
        """Choose what happens next."""
        return self._dice.choices(self.deeds, [deed.weight for deed in self.deeds])[0]

    def pause_s(self) -> float:
        """Throw for the time until then: mostly short, sometimes enough to calm down."""
        dice = self._dice
        return dice.uniform(5, 40) if dice.random() < 0.15 else dice.uniform(0, 1.5)

    async def _send(self) -> None:
        await self._conductor.send([self._event() for _ in range(self._some())], again=False)

    def _some(self) -> int:
        return self._dice.choice((1, 1, 2, 3, 5, 8, 20))

    def _event(self) -> tuple[Outgoing, str, int]:
        self._next += 1
        kind, lane = self._dice.choice(KINDS), f"lane-{self._dice.randrange(LANES)}"
        return self._made(kind, lane, self._next), lane, self._next

    def _made(self, kind: str, lane: str, n: int) -> Outgoing:
        event_id = keyed_event_id(SUBJECT, kind, str(n))
        fields = {
            "schema_version": 2, "kind": kind, "event_id": event_id, "from": SUBJECT,
            "timestamp": f"{BEGIN:%Y-%m-%dT%H:%M:%SZ}",
            "payload": {"lane": lane, "n": n, "fail": n % 4, "text": "x" * (n * 37 % 400)},
        }  # fmt: skip
        return Outgoing(event_id, kind, msgspec.json.encode(fields))

    async def _resend(self) -> None:
        if self._conductor.sent:
            chosen = [self._dice.choice(list(self._conductor.sent.values())) for _ in range(3)]
            await self._conductor.send(
                [(self._made(s.kind, s.lane, s.n), s.lane, s.n) for s in chosen], again=True
            )

    async def _malformed(self) -> None:
        self._next += 1
        body = self._dice.choice((b"17", b"[]"))
        await self._conductor.send(
            [(Outgoing(f"bad-{self._next}", "", body), "", self._next)], again=False
        )

    async def _push(self) -> None:
        for _ in range(self._some()):
            self._pushes += 1
            key = None if self._dice.random() < 0.5 else f"key-{self._pushes}"
            kind = pack.SEEN if self._dice.random() < 0.3 else pack.SAID
            self._desk.asked.put_nowait((kind, self._pushes, key))

    async def _cut(self) -> None:
        if self._net.latest is not None:
            self._net.latest.cut()

    async def _half_open(self) -> None:
        if (latest := self._net.latest) is not None:
            self._dice.choice((latest.up, latest.down)).silence()

    async def _black_hole(self) -> None:
        if self._net.latest is not None:
            self._net.latest.black_hole()

    async def _slow(self) -> None:
        if self._net.latest is not None:
            self._net.latest.slow(self._dice.choice((0.1, 1.0, 7.0)))

    async def _ghost(self) -> None:
        self._net.ghosts += 1
        await self._cut()

    async def _unanswered(self) -> None:
        self._net.deaf = True
        await self._cut()
        await self._wait()
        self._net.deaf = False

    async def _refused(self) -> None:
        self._net.refusal = unknown_credential
        await self._cut()
        await self._wait()
        self._net.refusal = None

    async def _busy(self) -> None:
        self._net.refusal = busy(self._dice.uniform(0, 15))
        await self._cut()
        await self._wait()
        self._net.refusal = None

    async def _wait(self) -> None:
        await asyncio.sleep(self._dice.uniform(0, 25))

    async def _conductor_crashes(self) -> None:
        await self._conductor.crash(power=self._dice.random() < 0.3)
        await self._wait()
        self._conductor.start()

    async def _conductor_restarts(self) -> None:
        await self._conductor.close()
        await asyncio.sleep(self._dice.uniform(0, 3))
        self._conductor.start()

    async def _conductor_drains(self) -> None:
        await self._conductor.drain(self._dice.uniform(0, 10))

    async def _history_lost(self) -> None:
        await self._conductor.crash()
        await self._conductor.lose()
        self._conductor.start()

    async def _history_cut(self) -> None:
        await self._conductor.forget(self._dice.choice((0.5, 1.0)))

    async def _sidecar_dies(self) -> None:
        if self._dice.random() < 0.3:
            self._sidecar.life.die("now")
        else:
            self._sidecar.life.arm(self._dice.choice(POINTS), self._dice.randint(1, 12))

    async def _ambush(self) -> None:
        """Die over what is sent now, at one of the first things that happen to it."""
        self._sidecar.life.arm(self._dice.choice(POINTS[:2]), self._dice.randint(1, 3))
        await self._send()

    async def _power_cut(self) -> None:
        self._sidecar.life.cut_power = True
        await self._sidecar_dies()

    async def _sidecar_stops(self) -> None:
        self._sidecar.stop()

    async def _clock(self) -> None:
        self._sidecar.clock.offset_s += self._dice.choice((-600, -30, -1, 1, 60, 900))
