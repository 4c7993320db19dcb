"""The conductor's end of a link: bytes and commands in, effects out.

Promise: events leave in order and within the credit, and every pushed id is answered by what the
shell stored. Refusal: no clock, no task, no store; the shell performs the effects, in order. One
object serves one link.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from conductor_protocol.batching import events_frames, pushed_frames
from conductor_protocol.conductor_core import REASON_MAX, ConductorConfig, ConductorCore
from conductor_protocol.conductor_table import TABLE, Action, Input, State
from conductor_protocol.effects import CloseCode, ConductorEffect, CountCode
from conductor_protocol.messages import VERSION, Beat, Drain, PushResult, Rotate, Welcome

__all__ = ["ConductorConfig", "ConductorSession", "State"]


class ConductorSession(ConductorCore):
    """The state machine of one link. Every method returns effects to perform, in order.

    `now` is always the same monotonic clock, in seconds. A command that the table gives no place
    in the present state is a no-op; after a `Close` that is every one.
    """

    def __init__(self, config: ConductorConfig | None = None) -> None:
        super().__init__(config)
        self._last = 0

    @property
    def credit_limit(self) -> int:
        """The last sequence that may be sent now."""
        return self._limit

    @property
    def next_sequence(self) -> int:
        """The sequence with which the next `send_events` must begin."""
        return self._sent + 1

    @property
    def acked(self) -> int:
        """Everything up to here is stored at the sidecar."""
        return self._acked

    @property
    def in_flight(self) -> int:
        """Pushed events that the shell has not answered yet."""
        return self._in_flight

    def start(self, now: float) -> list[ConductorEffect]:
        """Begin to wait for the hello of a link that has just opened."""
        if self._state is State.AWAITING:
            self._greeting_deadline = now + self._config.hello_timeout_s
        return self._out.take()

    def welcome(
        self,
        now: float,
        *,
        session: str,
        subject: str,
        epoch: str,
        resumed: bool,
        start: int,
        gap_from: int | None = None,
        gap_to: int | None = None,
    ) -> list[ConductorEffect]:
        """Answer an `Opened`.

        Args:
            now: The time.
            session: Its id: the resumed one or a new one.
            subject: The subject of the link's credential.
            epoch: The id of this conductor's history.
            resumed: Whether events go on right after the sidecar's cursor.
            start: Events begin at `start + 1`; the cursor itself where resumed.
            gap_from: First sequence that cannot be sent any more, where not resumed.
            gap_to: Last such sequence.
        """
        if self._commanded(Input.WELCOME):
            answer = Welcome(
                version=VERSION,
                session=session,
                subject=subject,
                epoch=epoch,
                resumed=resumed,
                gap_from=gap_from,
                gap_to=gap_to,
                start=start,
                limits=self._config.limits,
                beat_s=self._config.beat_s,
            )
            self._begin(answer, now)
        return self._out.take()

    def refuse(self, code: str, message: str, now: float) -> list[ConductorEffect]:
        """End the link with a fatal error: this sidecar is not served."""
        del now  # every command takes the time, so that shells need not know which one uses it
        if self._commanded(Input.REFUSE):
            self._out.reply(code, message, fatal=True)
            self._close(CloseCode.REFUSED, f"{code}: {message}")
        return self._out.take()

    def send_events(self, first: int, bodies: Sequence[bytes], now: float) -> list[ConductorEffect]:
        """Send events with sequences from `first` on, cut into frames within the limits.

        Raises:
            ValueError: `first` is not `next_sequence`, or the last passes `credit_limit`.
        """
        del now  # see `refuse`
        if bodies and self._commanded(Input.SEND_EVENTS):
            last = first + len(bodies) - 1
            if first != self.next_sequence or last > self._limit:
                raise ValueError(
                    f"events {first}..{last}: next is {self.next_sequence}, limit {self._limit}"
                )
            frames, withheld = events_frames(first, bodies, self._peer_limits)
            self._sent = last
            self._last = max(self._last, last)
            self._out.send_frames(frames)
            if withheld:
                self._out.count(CountCode.EVENT_WITHHELD, f"in {first}..{last}", withheld)
        return self._out.take()

    def pushed(self, results: Sequence[PushResult], now: float) -> list[ConductorEffect]:
        """Tell what became of pushed events; call it when that is durable."""
        del now  # see `refuse`
        if results and self._commanded(Input.PUSHED):
            self._in_flight = max(0, self._in_flight - len(results))
            short = [
                msgspec.structs.replace(result, reason=result.reason[:REASON_MAX])
                if result.reason is not None
                else result
                for result in results
            ]
            self._out.send_frames(pushed_frames(short, self._peer_limits))
        return self._out.take()

    def rotate(self, version: int, url: str, now: float) -> list[ConductorEffect]:
        """Tell the sidecar that a new credential waits at `url`."""
        del now  # see `refuse`
        if self._commanded(Input.ROTATE):
            self._out.send(Rotate(version=version, url=url))
        return self._out.take()

    def drain(self, retry_after_s: float, address: str | None, now: float) -> list[ConductorEffect]:
        """Announce that this link will be closed; what is in flight may still finish."""
        del now  # see `refuse`
        if self._commanded(Input.DRAIN):
            self._out.send(Drain(retry_after_s=retry_after_s, address=address))
        return self._out.take()

    def advance(self, last_sequence: int) -> None:
        """Note the last sequence of the workspace's history: the next beats carry it."""
        self._last = max(self._last, last_sequence)

    def beat(self, last_sequence: int, now: float) -> list[ConductorEffect]:
        """Beat now, with the last sequence of the workspace's history."""
        self.advance(last_sequence)
        if self._commanded(Input.BEATING):
            self._beat(now)
        return self._out.take()

    def paused(self, paused: bool, now: float) -> None:
        """Note that the shell stopped reading the link, or went on: silence is then its own."""
        self._pulse.pause(paused, now)

    def next_deadline(self, now: float) -> float | None:
        """Return the time, on the clock of `now` and not before it, at which to call `tick`."""
        if self._state is State.CLOSED:
            return None
        due = [d for d in (self._greeting_deadline, self._pulse.deadline()) if d is not None]
        return max(now, min(due)) if due else None

    def tick(self, now: float) -> list[ConductorEffect]:
        """Do what is due: give a silent sidecar up, or beat. Early calls do no harm."""
        if TABLE[self._state][Input.TICK].action is Action.TICK:
            if self._greeting_deadline is not None and now >= self._greeting_deadline:
                self._close(CloseCode.GREETING_TIMEOUT, "the greeting was not finished")
            elif self._pulse.silent(now):
                self._close(CloseCode.BEAT_TIMEOUT, "the sidecar missed its beats")
            elif self._pulse.beat_due(now):
                self._beat(now)
        return self._out.take()

    def _begin(self, answer: Welcome, now: float) -> None:
        self._sent = self._acked = answer.start
        self._last = max(self._last, answer.start)
        self._limit = answer.start + self._credit
        self._greeting_deadline = None
        self._pulse.begin(answer.beat_s, now)
        self._out.send(answer)

    def _beat(self, now: float) -> None:
        self._pulse.beaten(now)
        self._out.send(Beat(sequence=self._last))

    def _commanded(self, given: Input) -> bool:
        """Let the table decide whether a command has its place here, and what follows."""
        rule = TABLE[self._state][given]
        if rule.action is Action.IGNORE:
            return False
        if rule.then is not State.CLOSED:
            self._state = rule.then
        return True
