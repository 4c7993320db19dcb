"""The conductor's end of a link, inner half: what a sidecar's messages do.

Promise: no input of a peer raises, and nothing is decided that `conductor_table` does not say.
Refusal: this half takes no command; `conductor_session` does, and is what shells use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from conductor_protocol.batching import pushed_frames
from conductor_protocol.codec import check_events, decode_sidecar
from conductor_protocol.conductor_table import TABLE, Action, Input, State
from conductor_protocol.effects import (
    WS_CODES,
    Acked,
    Anchored,
    Arrived,
    Close,
    CloseCode,
    ConductorEffect,
    CountCode,
    Departed,
    Opened,
    PeerError,
    PushArrived,
    Refused,
)
from conductor_protocol.errors import (
    AckOutOfRange,
    ProtocolError,
    PushWindowExceeded,
    UnexpectedMessage,
    UnknownMessageType,
    UnsupportedVersion,
)
from conductor_protocol.liveness import Pulse
from conductor_protocol.messages import (
    VERSION,
    Ack,
    Beat,
    Bye,
    Error,
    Hello,
    Limits,
    Push,
    PushResult,
    SidecarMessage,
    UnknownMessage,
    smaller,
)
from conductor_protocol.outlet import Outlet

REASON_MAX = 200
"""Characters of a rejection's reason that go over the wire."""
_INPUTS: dict[type, Input] = {
    Hello: Input.HELLO,
    Ack: Input.ACK,
    Push: Input.PUSH,
    Beat: Input.BEAT,
    Bye: Input.BYE,
    Error: Input.ERROR,
    UnknownMessage: Input.UNKNOWN,
}


class ConductorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a conductor's session is told once."""

    limits: Limits = Limits()
    """What this end accepts; `welcome` tells the sidecar."""
    beat_s: float = 15.0
    max_batch: int = 4096
    """Events in one `PushArrived`, unless a single frame brings more."""
    max_error_replies: int = 10
    """`error` messages sent back for one call of `received`; everything is counted."""
    hello_timeout_s: float = 10.0


class ConductorCore:
    """State and parts of one link, and the actions of the sidecar's messages."""

    def __init__(self, config: ConductorConfig | None = None) -> None:
        self._config = config or ConductorConfig()
        self._state = State.AWAITING
        self._peer_limits = self._config.limits
        self._out: Outlet[ConductorEffect] = Outlet(self._config.max_error_replies)
        self._pulse = Pulse()
        self._greeting_deadline: float | None = None
        self._credit = 0
        self._sent = self._acked = self._limit = 0
        self._pushed = self._in_flight = 0
        self._arrived: list[Arrived] = []
        self._refused: list[Refused] = []

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    def received(self, frames: Sequence[bytes], now: float) -> list[ConductorEffect]:
        """Take frames in their order. Never raises, whatever they hold."""
        self._out.renew()
        if frames:
            self._pulse.heard(now)
        for frame in frames:
            if self._state is State.CLOSED:
                break
            try:
                self._take(decode_sidecar(frame, self._config.limits))
            except ProtocolError as error:
                self._answer(error)
        self._flush()
        return self._out.take()

    def _take(self, message: SidecarMessage | UnknownMessage) -> None:
        self._enter(_INPUTS[type(message)])
        match message:
            case Push():
                self._push(message)
            case Ack():
                self._ack(message)
            case Beat():
                if message.journal is not None:
                    self._out.add(Anchored(message.journal))
            case Hello():
                self._hello(message)
            case Bye():
                self._flush()
                self._out.add(Departed(message.reason))
                self._close(CloseCode.NORMAL, message.reason)
            case Error():
                self._complaint(message)
            case UnknownMessage():
                raise UnknownMessageType(message.type)
            case _:
                assert_never(message)

    def _enter(self, given: Input) -> None:
        """Let the table decide whether a message has its place here, and what follows."""
        rule = TABLE[self._state][given]
        if rule.action is Action.VIOLATION:
            raise UnexpectedMessage(f"{given.value} in state {self._state.value}")
        if rule.then is not State.CLOSED:
            self._state = rule.then

    def _hello(self, message: Hello) -> None:
        if VERSION not in message.versions:
            spoken = ", ".join(map(str, message.versions[:8]))
            raise UnsupportedVersion(f"the sidecar speaks {spoken}, this conductor {VERSION}")
        self._peer_limits = smaller(self._config.limits, message.limits)
        self._credit = message.credit
        self._out.add(
            Opened(message.packs, message.session, message.epoch, message.cursor, message.software)
        )

    def _ack(self, message: Ack) -> None:
        if message.sequence > self._sent:
            raise AckOutOfRange(f"{message.sequence} was acknowledged, {self._sent} was sent")
        if message.sequence < self._acked:
            self._out.count(CountCode.STALE_ACK, f"{message.sequence} after {self._acked}")
            return
        self._acked = message.sequence
        self._limit = message.sequence + message.credit
        self._out.add(Acked(self._acked, self._limit))

    def _push(self, message: Push) -> None:
        events = message.events
        if self._in_flight + len(events) > self._config.limits.max_push_in_flight:
            most = self._config.limits.max_push_in_flight
            raise PushWindowExceeded(f"{self._in_flight} in flight, {len(events)} more, of {most}")
        if len(self._arrived) + len(self._refused) + len(events) > self._config.max_batch:
            self._flush()
        arrived, refused = check_events(events, self._pushed + 1, self._config.limits)
        self._pushed += len(events)
        self._in_flight += len(arrived)
        self._arrived += arrived
        self._refused += refused

    def _complaint(self, message: Error) -> None:
        self._out.add(PeerError(message.code, message.message, message.fatal))
        if message.fatal:
            self._close(CloseCode.PEER_ERROR, f"{message.code}: {message.message}")

    def _answer(self, error: ProtocolError) -> None:
        """Tell the sidecar what it broke, and close where the stream cannot be trusted."""
        self._out.answer(error)
        if error.fatal:
            self._close(error.code, error.detail, error.ws_code)

    def _flush(self) -> None:
        """Hand the shell what was pushed; what was refused is answered here and now."""
        if not self._arrived and not self._refused:
            return
        self._out.add(PushArrived(self._arrived, self._refused))
        named = [
            PushResult(
                refused.event_id, "rejected", f"{refused.code}: {refused.detail}"[:REASON_MAX]
            )
            for refused in self._refused
            if refused.event_id is not None
        ]
        self._out.send_frames(pushed_frames(named, self._peer_limits))
        for refused in self._refused:
            if refused.event_id is None:
                self._out.reply(refused.code, refused.detail)
        self._arrived, self._refused = [], []

    def _close(self, code: str, detail: str, ws_code: int | None = None) -> None:
        self._flush()
        self._state = State.CLOSED
        self._out.add(
            Close(code, detail, WS_CODES[CloseCode(code)] if ws_code is None else ws_code)
        )
