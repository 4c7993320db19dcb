"""The sidecar's end of a link: bytes and commands in, effects out.

Promise: what is acknowledged was stored, what is delivered is gapless, every deadline is an
argument. Refusal: no clock, no task, no store; the shell performs the effects, in order. One
object serves one link; a reconnection takes a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conductor_protocol.batching import fits, push_frames
from conductor_protocol.effects import CloseCode, Confirmed, SidecarEffect
from conductor_protocol.errors import EventTooLarge
from conductor_protocol.liveness import Heard
from conductor_protocol.messages import VERSION, Ack, Beat, Bye, Head, Hello, PackNotice, PushResult
from conductor_protocol.sidecar_core import SessionConfig, SidecarCore
from conductor_protocol.sidecar_table import TABLE, Action, Input, State
from conductor_sdk.records import Cursor

__all__ = ["Pushable", "SessionConfig", "SidecarSession", "State"]


class Pushable(Protocol):
    """An encoded event with its id; `records.Outgoing` and `records.Queued` are such."""

    @property
    def event_id(self) -> str:
        """The id that the result will name."""
        ...

    @property
    def body(self) -> bytes:
        """The event's JSON."""
        ...


class SidecarSession(SidecarCore):
    """The state machine of one link. Every method returns effects to perform, in order.

    `now` is always the same monotonic clock, in seconds. After a `Close` every call is a no-op.
    """

    def __init__(self, config: SessionConfig | None = None) -> None:
        super().__init__(config)
        self._head: Head | None = None
        self._paused = False

    @property
    def push_room(self) -> int:
        """How many events `push` takes now; 0 unless the session is open, or open and draining."""
        if self._state not in {State.OPEN, State.DRAINING}:
            return 0
        return max(0, self._peer_limits.max_push_in_flight - len(self._window))

    @property
    def in_flight(self) -> int:
        """Pushed events without a result."""
        return len(self._window)

    @property
    def heard(self) -> Heard:
        """What was heard of the conductor so far; for health and metrics."""
        credit = 0 if self._paused else self._inflow.open_credit
        return Heard(self._beaten, self._inflow.last, credit, self._pulse.last)

    def anchor(self, head: Head) -> None:
        """Set the journal's head that the next beats carry."""
        self._head = head

    def start(
        self,
        now: float,
        *,
        cursor: Cursor,
        session: str | None,
        packs: Sequence[PackNotice],
        credit: int,
        software: str,
    ) -> list[SidecarEffect]:
        """Send the hello of a link that has just opened.

        Args:
            now: The time.
            cursor: What is durably stored here.
            session: The session to resume, from the last `Connected`.
            packs: What is loaded.
            credit: Events that may be sent beyond the cursor.
            software: Name and version, for the conductor's log.
        """
        rule = TABLE[self._state][Input.START]
        if rule.action is Action.GREET:
            self._state, self._cursor, self._credit = rule.then, cursor, credit
            self._welcome_deadline = now + self._config.welcome_timeout_s
            hello = Hello(
                versions=[VERSION],
                software=software,
                packs=list(packs),
                session=session,
                epoch=cursor.epoch,
                cursor=cursor.sequence,
                credit=credit,
                limits=self._config.limits,
            )
            self._out.send(hello)
        return self._out.take()

    def stored(self, last: int, credit: int, now: float) -> list[SidecarEffect]:
        """Acknowledge: everything up to `last` is durable; `credit` more may be sent.

        Raises:
            ValueError: `last` was never delivered.
        """
        del now  # every command takes the time, so that shells need not know which one uses it
        if TABLE[self._state][Input.STORED].action is Action.ACK:
            self._acknowledge(self._inflow.stored(last, credit))
        return self._out.take()

    def grant(self, credit: int, now: float) -> list[SidecarEffect]:
        """Allow `credit` events beyond what is acknowledged."""
        del now  # see `stored`
        if TABLE[self._state][Input.GRANT].action is Action.ACK:
            self._acknowledge(self._inflow.grant(credit))
        return self._out.take()

    def push(self, events: Sequence[Pushable], now: float) -> list[SidecarEffect]:
        """Send events up, in order; ids that are in flight already are left out.

        An event that no frame can carry is answered at once: `Confirmed`, rejected. Unless the
        session is open nothing is sent, and nothing is in flight.

        Raises:
            ValueError: More than `push_room`.
        """
        if TABLE[self._state][Input.PUSH].action is Action.PUSH:
            fresh = {e.event_id: e for e in events if e.event_id not in self._window}
            if len(fresh) > self.push_room:
                raise ValueError(f"push of {len(fresh)} events into room for {self.push_room}")
            going = [e for e in fresh.values() if fits(e.body, self._peer_limits)]
            if len(going) < len(fresh):
                self._out.add(
                    Confirmed(
                        [
                            PushResult(e.event_id, "rejected", EventTooLarge.code)
                            for e in fresh.values()
                            if not fits(e.body, self._peer_limits)
                        ]
                    )
                )
            if going:
                self._window.sent([e.event_id for e in going], now)
                self._out.send_frames(push_frames([e.body for e in going], self._peer_limits))
        return self._out.take()

    def bye(self, reason: str, now: float) -> list[SidecarEffect]:
        """Say goodbye and close; what is unacknowledged stays unacknowledged."""
        del now  # see `stored`
        if TABLE[self._state][Input.BYE].action is Action.LEAVE:
            if self._state is not State.CONNECTING:
                self._out.send(Bye(reason=reason))
            self._close(CloseCode.NORMAL, reason)
        return self._out.take()

    def paused(self, paused: bool, now: float) -> None:
        """Note that the shell stopped reading the link, or went on: silence is then its own."""
        if self._paused and not paused:
            self._window.restart(now)
            self._ear.events_came()
        self._paused = paused
        self._pulse.pause(paused, now)

    def beat_due(self, now: float) -> bool:
        """Tell whether `tick` would send a beat."""
        return TABLE[self._state][Input.TICK].action is Action.TICK and self._pulse.beat_due(now)

    def next_deadline(self, now: float) -> float | None:
        """Return the time, on the clock of `now` and not before it, at which to call `tick`."""
        due = [d for d in self._deadlines() if d is not None]
        return max(now, min(due)) if due else None

    def tick(self, now: float) -> list[SidecarEffect]:
        """Do what is due: give a silent conductor up, or beat. Early calls do no harm."""
        if TABLE[self._state][Input.TICK].action is Action.TICK:
            unanswered = None if self._paused else self._window.deadline()
            if self._welcome_deadline is not None and now >= self._welcome_deadline:
                self._close(CloseCode.GREETING_TIMEOUT, "no welcome came")
            elif self._pulse.silent(now):
                self._close(CloseCode.BEAT_TIMEOUT, "the conductor missed its beats")
            elif unanswered is not None and now >= unanswered:
                self._close(CloseCode.PUSH_TIMEOUT, f"{self.in_flight} pushed events unanswered")
            elif self._pulse.beat_due(now):
                self._pulse.beaten(now)
                self._out.send(Beat(sequence=self._inflow.last, journal=self._head))
        return self._out.take()

    def _acknowledge(self, ack: Ack | None) -> None:
        if ack is not None:
            self._out.send(ack)

    def _deadlines(self) -> tuple[float | None, ...]:
        match self._state:
            case State.GREETING:
                return (self._welcome_deadline,)
            case State.OPEN | State.DRAINING:
                pushed = None if self._paused else self._window.deadline()
                return (self._pulse.deadline(), pushed)
            case State.CONNECTING | State.CLOSED:
                return ()
