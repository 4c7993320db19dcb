"""Every switch, alone and typed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor_server.errors import FaultSyntax, LinkEnded, RefusingConnections
from conductor_server.fault_plan import FaultPlan, FrameFaults, parse_faults, plan_texts
from conductor_server.faults import FaultBoard

FRAMES = [b"%d" % n for n in range(200)]
probabilities = st.sampled_from([0.0, 0.1, 0.25, 1.0])


class Wire:
    """A link that gives what was put in and keeps what was sent."""

    def __init__(self, incoming: Sequence[bytes] = ()) -> None:
        self.incoming = list(incoming)
        self.sent: list[bytes] = []
        self.closed: int | None = None

    async def receive(self, limit: int) -> list[bytes]:
        if not self.incoming:
            raise LinkEnded
        frames, self.incoming = self.incoming[:limit], self.incoming[limit:]
        return frames

    async def send(self, frames: Sequence[bytes]) -> None:
        self.sent += frames

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = code


def board(*texts: str, seed: int = 1) -> FaultBoard:
    return FaultBoard(parse_faults(texts), seed=seed)


async def passed(board: FaultBoard) -> list[bytes]:
    wire = Wire()
    link = board.wrap(wire)
    for frame in FRAMES:
        await link.send([frame])
    return wire.sent


async def read(board: FaultBoard, wire: Wire, limit: int = 16) -> list[bytes]:
    link, got = board.wrap(wire), []
    while wire.incoming:
        try:
            frames = await link.receive(limit)
        except LinkEnded:
            break
        assert 0 < len(frames) <= limit
        got += frames
    return got


async def test_a_good_day_changes_nothing() -> None:
    assert FRAMES == await passed(board())
    assert FRAMES == await read(board(), Wire(FRAMES))


async def test_drop_loses_frames_and_counts_them() -> None:
    day = board("drop=0.2")

    got = await passed(day)

    assert len(FRAMES) == len(got) + day.counts["dropped"]
    assert 10 < day.counts["dropped"] < 80
    assert got == sorted(got, key=int)


async def test_duplicate_repeats_frames_right_behind_themselves() -> None:
    day = board("duplicate=0.2")

    got = await passed(day)

    assert len(FRAMES) + day.counts["duplicated"] == len(got)
    assert FRAMES == list(dict.fromkeys(got))


async def test_reorder_swaps_neighbours_and_loses_none_but_a_last_one() -> None:
    day = board("reorder=0.2")

    got = await passed(day)

    assert day.counts["reordered"] > 10
    assert got != sorted(got, key=int)
    assert set(FRAMES) - set(got) <= {FRAMES[-1]}
    assert all(abs(int(frame) - place) <= 1 for place, frame in enumerate(got))


async def test_delay_waits_and_keeps_order() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    day = FaultBoard(parse_faults(["delay=0.5@0.1"]), seed=1, sleep=sleep)

    assert FRAMES == await passed(day)
    assert day.counts["delayed"] == len(waits) > 5
    assert {0.5} == set(waits)


async def test_a_receive_that_is_cancelled_in_a_delay_loses_nothing() -> None:
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        if seconds == 9:
            await asyncio.Event().wait()

    day = FaultBoard(parse_faults(["up.delay=9"]), sleep=sleep)
    link = day.wrap(Wire(FRAMES[:3]))
    waiting = asyncio.create_task(link.receive(10))
    await asleep.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    link._delay_s = 0.0  # type: ignore[attr-defined]  # the wait is over

    assert FRAMES[:3] == await link.receive(10)


async def test_a_direction_can_be_spared() -> None:
    assert FRAMES == await passed(board("up.drop=1"))
    assert [] == await read(board("up.drop=1"), Wire(FRAMES))
    assert [] == await passed(board("down.drop=1"))
    assert FRAMES == await read(board("down.drop=1"), Wire(FRAMES))


async def test_a_black_hole_accepts_and_stays_silent_until_it_ends() -> None:
    day = board("black_hole")
    wire = Wire([b"up"])
    link = day.wrap(wire)
    await link.send([b"down"])
    with pytest.raises(LinkEnded):
        await link.receive(1)
    day.clear()
    await link.send([b"again"])

    assert ([b"again"], 2) == (wire.sent, day.counts["swallowed"])


async def test_close_after_cuts_a_link_after_that_many_frames() -> None:
    day = board("close_after=3")
    wire = Wire([b"1"])
    link = day.wrap(wire)
    await link.receive(1)
    await link.send([b"2", b"3"])

    with pytest.raises(LinkEnded):
        await link.send([b"4"])

    assert ([b"2", b"3"], 1011) == (wire.sent, wire.closed)


def test_refuse_turns_new_links_away() -> None:
    day = board("refuse=429@7")

    with pytest.raises(RefusingConnections) as refused:
        day.admit()

    assert (429, 7.0) == (refused.value.answer_status, refused.value.retry_after_s)
    day.clear()
    day.admit()
    assert 1 == day.counts["refused"]


async def test_one_seed_is_one_day_and_another_seed_another() -> None:
    faults = ("drop=0.1", "duplicate=0.1", "reorder=0.1")

    first, same, other = (
        await passed(board(*faults)),
        await passed(board(*faults)),
        await passed(board(*faults, seed=2)),
    )

    assert first == same
    assert first != other


async def test_links_of_one_conductor_meet_different_faults() -> None:
    day = board("drop=0.3")

    assert await passed(day) != await passed(day)


async def test_a_switch_holds_for_links_that_are_open() -> None:
    day = board()
    wire = Wire()
    link = day.wrap(wire)
    await link.send([b"1"])
    day.set(["drop=1"])
    await link.send([b"2"])
    day.set(["drop=0"])
    await link.send([b"3"])

    assert [b"1", b"3"] == wire.sent


def test_a_wrong_switch_changes_none_of_its_call() -> None:
    day = board("drop=0.5")

    with pytest.raises(FaultSyntax, match="explode"):
        day.set(["drop=1", "explode=1"])

    assert FrameFaults(drop=0.5) == day.plan.down


@pytest.mark.parametrize(
    "text",
    [
        "", "explode", "drop", "drop=2", "drop=-0.1", "drop=x", "drop=nan", "sideways.drop=1",
        "delay=-1", "delay=inf", "delay=1@2", "close_after=-1", "close_after=x", "refuse=200",
        "refuse=503@-1", "black_hole=maybe",
    ],
)  # fmt: skip
def test_what_is_no_fault_is_refused_with_its_text(text: Any) -> None:
    with pytest.raises(FaultSyntax) as refused:
        parse_faults([text])

    assert repr(text) in refused.value.message


@given(
    down=st.builds(FrameFaults, drop=probabilities, duplicate=probabilities, reorder=probabilities),
    up=st.builds(FrameFaults, delay_s=st.just(0.5), delay_p=st.sampled_from([0.5, 1.0])),
    black_hole=st.booleans(),
    close_after=st.none() | st.integers(1, 1000),
    refuse=st.none() | st.integers(400, 599),
)
def test_a_plan_is_written_as_the_switches_that_make_it(
    down: Any, up: Any, black_hole: Any, close_after: Any, refuse: Any
) -> None:
    plan = FaultPlan(
        down=down, up=up, black_hole=black_hole, close_after=close_after, refuse=refuse
    )

    assert plan == parse_faults(plan_texts(plan))
