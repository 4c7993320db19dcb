"""A carrier may forget a frame when everything that came with it or before it is stored."""

from __future__ import annotations

from collections.abc import Callable

from conductor_adapters.memory import pair
from conductor_adapters.transport import Transport
from conductor_protocol.effects import Counted, Deliver
from conductor_sidecar.delivery.late_acks import LateAcks


class Keeping:
    """A transport whose carrier keeps frames; only `defer` is asked."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self._link, _ = pair()

    receive = send = close = None  # not asked

    def defer(self) -> Callable[[int], None]:
        return self.acknowledged.append


def deliver(last: int) -> Deliver:
    return Deliver("epoch", last, [], [])


def late(carrier: object) -> LateAcks:
    transport: Transport = carrier  # type: ignore[assignment]
    return LateAcks(transport)


async def test_a_frame_with_events_waits_until_they_are_stored() -> None:
    carrier = Keeping()
    acks = late(carrier)
    acks.read(3, [deliver(10)])
    assert [] == carrier.acknowledged
    acks.stored(9)
    assert [] == carrier.acknowledged
    acks.stored(10)
    assert [3] == carrier.acknowledged


async def test_a_frame_without_events_waits_for_those_before_it_only() -> None:
    carrier = Keeping()
    acks = late(carrier)
    acks.read(1, [Counted("REPEATED", "")])
    assert [1] == carrier.acknowledged
    acks.read(2, [deliver(5)])
    acks.read(4, [])
    assert [1] == carrier.acknowledged
    acks.stored(5)
    assert [1, 6] == carrier.acknowledged
    acks.read(1, [])
    assert [1, 6, 1] == carrier.acknowledged


async def test_a_read_with_several_batches_waits_for_the_last() -> None:
    carrier = Keeping()
    acks = late(carrier)
    acks.read(5, [deliver(5), deliver(8)])
    acks.stored(5)
    assert [] == carrier.acknowledged
    acks.stored(8)
    assert [5] == carrier.acknowledged


async def test_a_transport_that_keeps_nothing_is_left_alone() -> None:
    link, _ = pair()
    acks = LateAcks(link)
    acks.read(1, [deliver(1)])
    acks.stored(1)
