"""A conductor that means harm: a hundred thousand messages, and nothing but coded answers.

Each message reaches the session in some state, with some credit, between other messages. What comes
out must be effects that the contract allows, in bounded number and size, and memory stays where it
was.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from conductor_protocol import effects as fx
from conductor_protocol.codec import DETAIL_MAX, decode_sidecar
from conductor_protocol.messages import Error, Limits, UnknownMessage
from conductor_protocol.sidecar_session import SessionConfig, SidecarSession, State
from conductor_sdk.records import Cursor, Outgoing
from hostile_conductor import EPOCH, Villain

MESSAGES = 25_000
"""For each of four seeds: a hundred thousand."""
GROWTH_BYTES = 16 * 1024 * 1024
LIMITS = Limits()
CREDIT = 24
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
EFFECTS = get_args(fx.SidecarEffect)
ERRORS_MAX = 11
"""Answers to one call: ten, and a fatal one."""


class Victim:
    """One link after the other, each with a session of its own, and what must hold for it."""

    def __init__(self, seed: int) -> None:
        self.villain = Villain(seed, LIMITS)
        self._dice = Random(f"{seed}/victim")
        self.counts: Counter[str] = Counter()
        self.now = 0.0
        self._pushes = 0
        self._begin()

    def _begin(self) -> None:
        seen = self.villain.seen
        seen.last, seen.credit, seen.pushed = self._dice.choice((0, 0, 7)), CREDIT, []
        self._start = seen.last
        self._expected: int | None = None
        self._granted = 0
        self.session = SidecarSession(SessionConfig(limits=LIMITS))
        if self._dice.random() < 0.95:
            cursor = Cursor(EPOCH if seen.last else "", seen.last)
            self._judge(self.session.start(
                self.now, cursor=cursor, session=None, packs=[], credit=CREDIT, software="t"
            ))  # fmt: skip
        self._judge(self.session.received([self.villain.opening()], self.now))

    def takes(self, frames: Sequence[bytes]) -> None:
        """Take frames as a shell does, and do what a shell does."""
        self.now += self._dice.choice((0.0, 0.01, 0.3))
        self._judge(self.session.received(frames, self.now))
        roll = self._dice.random()
        if roll < 0.2:
            deadline = self.session.next_deadline(self.now)
            assert deadline is None or deadline >= self.now
            self._judge(self.session.tick(self.now))
        elif roll < 0.35 and self.session.push_room:
            self._pushes += 1
            event_id = f"evt-{self._pushes % 50}"
            self.villain.seen.pushed = [event_id]
            body = b'{"kind":"demo:thing_queued"}'
            self._judge(self.session.push([Outgoing(event_id, "demo:q", body)], self.now))
        if self.session.state is State.CLOSED:
            self.counts["links"] += 1
            assert [] == self.session.received([b"{}"], self.now)
            self._begin()

    def _judge(self, effects: Sequence[fx.SidecarEffect]) -> None:
        stored: int | None = None
        errors = 0
        for place, effect in enumerate(effects):
            self.counts[type(effect).__name__] += 1
            match effect:
                case fx.Send(frames):
                    errors += sum(map(_is_error, frames))
                case fx.Deliver():
                    stored = self._delivered(effect)
                case fx.Connected():
                    self._expected = effect.start + 1
                    self._granted = effect.start + CREDIT
                    self.villain.seen.last = effect.start
                case fx.Counted(_, detail) | fx.PeerError(_, detail):
                    assert len(detail) <= 2048 + DETAIL_MAX
                case fx.Close():
                    assert place == len(effects) - 1
                case _:
                    assert isinstance(effect, EFFECTS)
        assert errors <= ERRORS_MAX
        if stored is not None and self.session.state is not State.CLOSED:
            self._granted = max(self._granted, stored + CREDIT)
            self.villain.seen.last, self.villain.seen.credit = stored, CREDIT
            self._judge(self.session.stored(stored, CREDIT, self.now))

    def _delivered(self, batch: fx.Deliver) -> int:
        """Gapless, in order, and within the credit; then it is stored."""
        assert self._expected is not None
        numbers = sorted([*(a.sequence for a in batch.events),
                          *(r.sequence or 0 for r in batch.refused)])  # fmt: skip
        assert list(range(self._expected, batch.last + 1)) == numbers
        assert batch.last <= self._granted
        assert all(len(arrived.body) <= LIMITS.max_event_bytes for arrived in batch.events)
        self._expected = batch.last + 1
        return batch.last


def _is_error(frame: bytes) -> bool:
    """Tell whether a frame of ours is an error; each must be one that a conductor takes."""
    if not frame.startswith(b'{"type":"error"'):
        return False
    message = decode_sidecar(frame, LIMITS)
    assert isinstance(message, Error)
    assert not isinstance(message, UnknownMessage)
    return True


def harass(victim: Victim, messages: int) -> None:
    dice, stream, told = Random(7), victim.villain.frames(), 0
    while told < messages:
        frames = [next(stream) for _ in range(dice.choice((1, 1, 2, 5)))]
        told += len(frames)
        victim.takes(frames)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_hundred_thousand_hostile_messages_end_in_coded_answers_and_take_no_memory(
    seed: int,
) -> None:
    victim = Victim(seed)
    harass(victim, 2_000)
    gc.collect()
    before = resident()
    harass(victim, MESSAGES)
    gc.collect()
    assert resident() - before < GROWTH_BYTES
    wanted = {"Send", "Connected", "GapDetected", "Deliver", "Confirmed", "RotateAsked", "Draining",
              "PeerError", "Counted", "Close"}  # fmt: skip
    assert set() == wanted - victim.counts.keys(), victim.counts


def test_what_a_hostile_conductor_leaves_behind_is_gone_with_the_next_collection() -> None:
    victim = Victim(5)
    harass(victim, 1_000)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        harass(victim, 4_000)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 512 * 1024
    assert peak - before < 32 * 1024 * 1024


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_million_hostile_messages(seed: int) -> None:
    victim = Victim(seed)
    harass(victim, 100_000)
