"""The sidecar's end of a link, inner half: what a conductor's messages do.

Promise: no input of a peer raises, and nothing is decided that `sidecar_table` does not say.
Refusal: this half takes no command; `sidecar_session` does, and is what shells use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from conductor_protocol.codec import decode_conductor
from conductor_protocol.effects import (
    WS_CODES,
    Close,
    CloseCode,
    Confirmed,
    Connected,
    CountCode,
    Draining,
    GapDetected,
    PeerError,
    RotateAsked,
    SidecarEffect,
)
from conductor_protocol.errors import (
    ProtocolError,
    UnexpectedMessage,
    UnknownMessageType,
    UnsupportedVersion,
)
from conductor_protocol.inflow import Inflow
from conductor_protocol.liveness import DeafEar, Pulse
from conductor_protocol.messages import (
    VERSION,
    Beat,
    ConductorMessage,
    Drain,
    Error,
    Events,
    Limits,
    Pushed,
    Rotate,
    UnknownMessage,
    Welcome,
    smaller,
)
from conductor_protocol.outlet import Outlet
from conductor_protocol.push_window import PushWindow
from conductor_protocol.sidecar_table import TABLE, Action, Input, State
from conductor_sdk.records import Cursor

_INPUTS: dict[type, Input] = {
    Welcome: Input.WELCOME,
    Events: Input.EVENTS,
    Pushed: Input.PUSHED,
    Beat: Input.BEAT,
    Rotate: Input.ROTATE,
    Drain: Input.DRAIN,
    Error: Input.ERROR,
    UnknownMessage: Input.UNKNOWN,
}


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a sidecar's session is told once."""

    limits: Limits = Limits()
    """What this end accepts."""
    max_batch: int = 4096
    """Events in one `Deliver`, unless a single frame brings more."""
    max_error_replies: int = 10
    """`error` messages sent back for one call of `received`; everything is counted."""
    welcome_timeout_s: float = 10.0
    push_timeout_s: float = 60.0
    """How long pushed events may go without any result before the link is given up."""


class SidecarCore:
    """State and parts of one link, and the actions of the conductor's messages."""

    def __init__(self, config: SessionConfig | None = None) -> None:
        self._config = config or SessionConfig()
        self._state = State.CONNECTING
        self._peer_limits = self._config.limits
        self._out: Outlet[SidecarEffect] = Outlet(self._config.max_error_replies)
        self._inflow = Inflow()
        self._window = PushWindow(self._config.push_timeout_s)
        self._pulse = Pulse()
        self._ear = DeafEar()
        self._beaten: int | None = None
        """The conductor's last sequence, as its last beat named it."""
        self._cursor = Cursor("", 0)
        self._credit = 0
        self._welcome_deadline: float | None = None

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    def received(self, frames: Sequence[bytes], now: float) -> list[SidecarEffect]:
        """Take frames in their order. Never raises, whatever they hold."""
        self._out.renew()
        if frames:
            self._pulse.heard(now)
        for frame in frames:
            if self._state is State.CLOSED:
                break
            try:
                self._take(decode_conductor(frame, self._config.limits), now)
            except ProtocolError as error:
                self._answer(error)
        self._flush()
        return self._out.take()

    def _take(self, message: ConductorMessage | UnknownMessage, now: float) -> None:
        self._enter(_INPUTS[type(message)])
        match message:
            case Events():
                self._events(message)
            case Pushed():
                self._pushed(message, now)
            case Beat():
                self._beat(message, now)
            case Welcome():
                self._welcome(message, now)
            case Rotate():
                self._out.add(RotateAsked(message.version, message.url))
            case Drain():
                self._out.add(Draining(message.retry_after_s, message.address))
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
        self._state = rule.then

    def _events(self, message: Events) -> None:
        if message.events and self._inflow.leaves_hole(message):
            detail = f"{message.first} came where {self.last + 1} was expected"
            self._out.count(CountCode.OUT_OF_ORDER, detail, len(message.events))
            self._close(CloseCode.RESUME, detail)
            return
        if self._inflow.waiting + len(message.events) > self._config.max_batch:
            self._flush()
        repeated = self._inflow.take(message, self._config.limits)
        if repeated:
            self._out.count(CountCode.REPEATED, f"from {message.first} on", repeated)
        if repeated < len(message.events):
            self._ear.events_came()

    def _pushed(self, message: Pushed, now: float) -> None:
        known = self._window.settle(message.results, now)
        if known:
            self._out.add(Confirmed(known))
        if len(known) < len(message.results):
            unknown = len(message.results) - len(known)
            self._out.count(CountCode.UNKNOWN_PUSHED, "results for ids not in flight", unknown)

    def _beat(self, message: Beat, now: float) -> None:
        self._beaten = message.sequence
        behind = message.sequence > self._inflow.last and self._inflow.open_credit > 0
        if self._ear.beat_came(behind=behind, beat_s=self._pulse.beat_s, now=now):
            detail = f"the conductor is at {message.sequence}, nothing came after {self.last}"
            self._close(CloseCode.DEAF, detail)

    def _welcome(self, message: Welcome, now: float) -> None:
        if message.version != VERSION:
            detail = f"the conductor chose version {message.version}, this sidecar speaks {VERSION}"
            raise UnsupportedVersion(detail)
        old = self._cursor
        same = message.epoch == old.epoch
        whole = message.resumed and message.start <= old.sequence and same
        first_contact = old == Cursor("", 0) and message.gap_from is None
        if not whole and not first_contact:
            self._out.add(
                GapDetected(
                    old.epoch,
                    old.sequence,
                    message.epoch,
                    message.gap_from,
                    message.gap_to,
                    message.start,
                )
            )
        delivered = old.sequence if whole else message.start
        self._inflow.begin(message.epoch, message.start, delivered, self._credit)
        self._welcome_deadline = None
        self._peer_limits = smaller(self._config.limits, message.limits)
        self._pulse.begin(message.beat_s, now)
        self._out.add(
            Connected(
                session=message.session,
                subject=message.subject,
                epoch=message.epoch,
                resumed=whole,
                start=delivered,
                max_push_in_flight=self._peer_limits.max_push_in_flight,
                beat_s=message.beat_s,
            )
        )

    def _complaint(self, message: Error) -> None:
        self._out.add(PeerError(message.code, message.message, message.fatal))
        if message.fatal:
            self._close(CloseCode.PEER_ERROR, f"{message.code}: {message.message}")

    @property
    def last(self) -> int:
        """The last sequence that was delivered in this session, or where it began."""
        return self._inflow.last

    def _answer(self, error: ProtocolError) -> None:
        """Tell the conductor what it broke, and close where the stream cannot be trusted."""
        self._out.answer(error)
        if error.fatal:
            self._close(error.code, error.detail, error.ws_code)

    def _flush(self) -> None:
        """Hand the shell what was taken, and complain of what of it was refused."""
        batch = self._inflow.flush()
        if batch is not None:
            self._out.add(batch)
            for refused in batch.refused:
                self._out.reply(refused.code, refused.detail, sequence=refused.sequence)

    def _close(self, code: str, detail: str, ws_code: int | None = None) -> None:
        self._flush()
        self._state = State.CLOSED
        self._out.add(
            Close(code, detail, WS_CODES[CloseCode(code)] if ws_code is None else ws_code)
        )
