"""Both ends of a link over a wire that loses, repeats, swaps and breaks, against a dict model.

The model is what each side has durably stored. After every step: nothing is acknowledged that is
not stored, what is delivered is gapless within its epoch, a confirmed id is at the conductor. At
the end, on a wire that behaves, everything arrives in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conductor_protocol import effects as fx
from conductor_protocol.codec import decode_sidecar
from conductor_protocol.conductor_session import ConductorConfig, ConductorSession
from conductor_protocol.conductor_session import State as ConductorState
from conductor_protocol.messages import Ack, Limits, PushResult
from conductor_protocol.sidecar_session import SessionConfig, SidecarSession
from conductor_protocol.sidecar_session import State as SidecarState
from conductor_sdk.records import Cursor, Outgoing

LIMITS = Limits(
    max_frame_bytes=4096, max_batch_events=3, max_event_bytes=1000, max_push_in_flight=7
)
CREDIT = 8
EVENT = {
    "schema_version": 2,
    "kind": "acme-demo:job_completed",
    "timestamp": "2026-01-01T00:00:00Z",
    "from": "w",
    "payload": {},
}
small = st.integers(0, 5)
up_or_down = st.sampled_from(["up", "down"])


def body(event_id: str) -> bytes:
    return msgspec.json.encode(EVENT | {"event_id": event_id})


class Wire:
    """One link: what is on its way, in both directions."""

    def __init__(self) -> None:
        self.sidecar = SidecarSession(SessionConfig(limits=LIMITS, max_batch=5))
        self.conductor = ConductorSession(ConductorConfig(limits=LIMITS, beat_s=10.0))
        self.frames: dict[str, list[bytes]] = {"up": [], "down": []}
        self.broken = False


class Links(RuleBasedStateMachine):
    """The two shells, their durable memories, and the wire between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.names = 0
        self.calm = 0
        """Frames carried since the last disaster."""
        self.wire: Wire | None = None
        # What the conductor holds.
        self.epochs = 1
        self.history: list[bytes] = []
        self.trimmed = 0
        self.at_conductor: dict[str, int] = {}
        self.unanswered: list[str] = []
        # What the sidecar holds; `unstored` is in memory only.
        self.cursor = Cursor("", 0)
        self.stored: dict[tuple[str, int], bytes | None] = {}
        self.gaps: set[tuple[str, int]] = set()
        self.outbox: dict[str, bytes] = {}
        self.unstored: list[fx.Deliver] = []
        self.delivered = Cursor("", 0)

    @property
    def epoch(self) -> str:
        return f"epoch-{self.epochs}"

    def name(self) -> str:
        self.names += 1
        return f"evt-{self.names}"

    def end(self) -> None:
        """The link is gone: frames, unanswered pushes and unstored batches with it."""
        self.wire = None
        self.calm = 0
        self.unstored.clear()
        self.unanswered.clear()

    # The sidecar's shell.

    def as_sidecar(self, wire: Wire, found: list[fx.SidecarEffect]) -> None:
        for effect in found:
            match effect:
                case fx.Send(frames):
                    wire.frames["up"] += frames
                    self.check_acks(frames)
                case fx.GapDetected():
                    self.note_gap(effect)
                case fx.Connected():
                    moved = effect.epoch != self.cursor.epoch and self.cursor != Cursor("", 0)
                    moved = moved or effect.start != self.cursor.sequence
                    assert moved == any(isinstance(e, fx.GapDetected) for e in found)
                    self.cursor = Cursor(effect.epoch, effect.start)
                    self.delivered = self.cursor
                case fx.Deliver():
                    self.check_batch(effect)
                    self.unstored.append(effect)
                case fx.Confirmed(results):
                    for result in results:
                        assert result.event_id in self.at_conductor
                        del self.outbox[result.event_id]
                case fx.Close():
                    wire.broken = True
                case _:
                    pass

    def check_acks(self, frames: list[bytes]) -> None:
        for frame in frames:
            message = decode_sidecar(frame, LIMITS)
            if isinstance(message, Ack):
                assert message.sequence <= self.cursor.sequence

    def note_gap(self, gap: fx.GapDetected) -> None:
        assert self.cursor == Cursor(gap.old_epoch, gap.old_cursor)
        if gap.gap_from is not None and gap.gap_to is not None:
            self.gaps |= {(gap.epoch, n) for n in range(gap.gap_from, gap.gap_to + 1)}

    def check_batch(self, batch: fx.Deliver) -> None:
        sequences = sorted(
            [a.sequence for a in batch.events] + [r.sequence or 0 for r in batch.refused]
        )
        expected = self.delivered.sequence + 1
        assert batch.epoch == self.delivered.epoch
        assert list(range(expected, batch.last + 1)) == sequences
        assert batch.last <= self.cursor.sequence + CREDIT
        self.delivered = Cursor(batch.epoch, batch.last)

    @precondition(lambda self: self.wire is None)
    @rule(greet=st.sampled_from([True, True, True, False]))
    def connect(self, greet: bool) -> None:
        wire = self.wire = Wire()
        wire.conductor.start(self.now)
        self.as_sidecar(
            wire,
            wire.sidecar.start(
                self.now,
                cursor=self.cursor,
                session=None,
                packs=[],
                credit=CREDIT,
                software="test",
            ),
        )

        if greet:
            self.carry("up", 1)
            self.carry("down", 1)

    @precondition(lambda self: self.unstored)
    @rule(credit=st.integers(0, CREDIT))
    def store(self, credit: int) -> None:
        batch = self.unstored.pop(0)
        for arrived in batch.events:
            self.stored[batch.epoch, arrived.sequence] = arrived.body
        for refused in batch.refused:
            self.stored[batch.epoch, refused.sequence or 0] = None
        self.cursor = Cursor(batch.epoch, batch.last)
        if self.wire is not None:
            found = self.wire.sidecar.stored(batch.last, credit, self.now)
            self.as_sidecar(self.wire, found)

    @precondition(lambda self: self.wire is not None)
    @rule(credit=st.integers(0, CREDIT))
    def grant(self, credit: int) -> None:
        assert self.wire is not None
        self.as_sidecar(self.wire, self.wire.sidecar.grant(credit, self.now))

    @rule(count=st.integers(1, 5))
    def queue(self, count: int) -> None:
        for _ in range(count):
            name = self.name()
            self.outbox[name] = body(name)

    @precondition(lambda self: self.wire is not None and self.outbox)
    @rule(count=st.integers(1, 9))
    def push(self, count: int) -> None:
        assert self.wire is not None
        room = min(count, self.wire.sidecar.push_room)
        events = [Outgoing(n, "acme-demo:job_completed", b) for n, b in self.outbox.items()][:room]
        self.as_sidecar(self.wire, self.wire.sidecar.push(events, self.now))

    # The conductor's shell.

    def as_conductor(self, wire: Wire, found: list[fx.ConductorEffect]) -> None:
        for effect in found:
            match effect:
                case fx.Send(frames):
                    wire.frames["down"] += frames
                case fx.Opened():
                    self.greet(wire, effect)
                case fx.Acked(sequence, limit):
                    assert sequence <= self.cursor.sequence
                    assert limit <= self.cursor.sequence + CREDIT
                case fx.PushArrived(events, refused):
                    assert refused == []
                    self.unanswered += [a.event.event_id for a in events]
                case fx.Close():
                    wire.broken = True
                case _:
                    pass

    def greet(self, wire: Wire, hello: fx.Opened) -> None:
        known = hello.epoch in ("", self.epoch) and hello.cursor <= len(self.history)
        cursor = hello.cursor if known else 0
        start = max(cursor, self.trimmed)
        lost = start > cursor
        found = wire.conductor.welcome(
            self.now,
            session="s",
            subject="w",
            epoch=self.epoch,
            resumed=known and not lost,
            start=start,
            gap_from=cursor + 1 if lost else None,
            gap_to=start if lost else None,
        )
        self.as_conductor(wire, found)

    @rule(count=st.integers(1, 9), bad=st.booleans())
    def happen(self, count: int, bad: bool) -> None:
        self.history += [body(self.name()) for _ in range(count)]
        if bad:
            self.history.append(b"[1]")

    @precondition(lambda self: self.sendable() > 0)
    @rule(count=st.integers(1, 12))
    def send(self, count: int) -> None:
        assert self.wire is not None
        session = self.wire.conductor
        first = session.next_sequence
        bodies = self.history[first - 1 : first - 1 + min(count, self.sendable())]
        self.as_conductor(self.wire, session.send_events(first, bodies, self.now))

    def sendable(self) -> int:
        """How many events the conductor has and may send."""
        if self.wire is None or self.wire.conductor.state is not ConductorState.OPEN:
            return 0
        session = self.wire.conductor
        return max(0, min(session.credit_limit, len(self.history)) + 1 - session.next_sequence)

    @precondition(lambda self: self.unanswered)
    @rule(count=st.integers(1, 5))
    def answer(self, count: int) -> None:
        assert self.wire is not None
        ids, self.unanswered = self.unanswered[:count], self.unanswered[count:]
        results: list[PushResult] = []
        for event_id in ids:
            status: Any = "duplicate" if event_id in self.at_conductor else "accepted"
            self.at_conductor[event_id] = self.at_conductor.get(event_id, 0) + 1
            results.append(PushResult(event_id, status))
        self.as_conductor(self.wire, self.wire.conductor.pushed(results, self.now))

    @precondition(lambda self: self.wire is not None and self.calm >= 12)
    @rule()
    def drain(self) -> None:
        assert self.wire is not None
        self.as_conductor(self.wire, self.wire.conductor.drain(1.0, None, self.now))

    @precondition(lambda self: self.calm >= 5)
    @rule(what=st.sampled_from(["lose the history", "trim", "crash", "crash"]), count=small)
    def disaster(self, what: str, count: int) -> None:
        if what == "lose the history":
            self.epochs += 1
            self.history, self.trimmed = [], 0
        elif what == "trim":
            self.trimmed = min(len(self.history), self.trimmed + count)
        self.end()

    # The wire and the clock.

    @precondition(lambda self: self.wire is not None and any(self.wire.frames.values()))
    @rule(way=up_or_down, count=st.integers(1, 6))
    def carry(self, way: str, count: int) -> None:
        wire = self.wire
        assert wire is not None
        self.calm += len(wire.frames[way][:count])
        frames, wire.frames[way] = wire.frames[way][:count], wire.frames[way][count:]
        if way == "up":
            self.as_conductor(wire, wire.conductor.received(frames, self.now))
        else:
            self.as_sidecar(wire, wire.sidecar.received(frames, self.now))

    @precondition(lambda self: self.wire is not None and any(self.wire.frames.values()))
    @rule(
        way=up_or_down,
        at=st.integers(0, 4),
        fault=st.sampled_from(["lose", "repeat", "repeat", "swap", "spoil"]),
    )
    def disturb(self, way: str, at: int, fault: str) -> None:
        assert self.wire is not None
        frames = self.wire.frames[way]
        if not frames:
            return
        at %= len(frames)
        changes: dict[str, Callable[[], object]] = {
            "lose": lambda: frames.pop(at),
            "repeat": lambda: frames.insert(at, frames[at]),
            "swap": lambda: frames.append(frames.pop(at)),
            "spoil": lambda: frames.__setitem__(at, frames[at][:-1]),
        }
        changes[fault]()

    @precondition(lambda self: self.sendable() > LIMITS.max_batch_events)
    @rule(at=st.integers(0, 4), fault=st.sampled_from(["lose", "repeat", "swap"]))
    def disturb_a_burst(self, at: int, fault: str) -> None:
        """Aimed where blind chance seldom gets: a fault between frames of one read."""
        self.send(12)
        self.disturb("down", at, fault)
        self.carry("down", 99)

    @rule(seconds=st.sampled_from([0.5, 0.5, 5.0, 10.0, 31.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.wire is not None:
            self.as_conductor(self.wire, self.wire.conductor.tick(self.now))
            self.as_sidecar(self.wire, self.wire.sidecar.tick(self.now))

    @precondition(lambda self: self.wire is not None and self.wire.broken)
    @rule()
    def notice_that_it_broke(self) -> None:
        self.end()

    @invariant()
    def what_is_stored_is_what_was_sent(self) -> None:
        for (epoch, sequence), found in self.stored.items():
            if epoch == self.epoch and found is not None:
                assert self.history[sequence - 1] == found

    @invariant()
    def a_closed_end_says_nothing(self) -> None:
        if self.wire is not None and self.wire.sidecar.state is SidecarState.CLOSED:
            assert self.wire.sidecar.next_deadline(self.now) is None

    def teardown(self) -> None:
        """On a wire that behaves, everything arrives."""
        self.end()
        for _ in range(200):
            if self.wire is None:
                self.connect(greet=True)
            self.carry("up", 99)
            self.carry("down", 99)
            while self.unstored:
                self.store(CREDIT)
            self.push(99)
            if self.sendable():
                self.send(99)
            if self.unanswered:
                self.answer(99)
            if self.cursor == Cursor(self.epoch, len(self.history)) and not self.outbox:
                break
        assert Cursor(self.epoch, len(self.history)) == self.cursor
        assert self.outbox == {}
        for sequence in range(1, len(self.history) + 1):
            place = (self.epoch, sequence)
            assert place in self.stored or place in self.gaps


Links.TestCase.settings = settings(
    max_examples=300, stateful_step_count=60, deadline=None, derandomize=True
)
TestLinks = Links.TestCase
