"""What a session tells its shell to do.

Promise: sessions only decide; performing these, in the given order, is the shell's whole job.
Refusal: an effect never carries a callback.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from conductor_protocol.messages import Head, PackNotice, PushResult
from conductor_sdk.event import KernelEvent


class CloseCode(StrEnum):
    """Why a session ends a link, beside the codes of protocol errors."""

    NORMAL = "NORMAL"
    """Somebody said goodbye."""
    RESUME = "RESUME"
    """A hole in the sequence: reconnect at once."""
    DEAF = "DEAF"
    """The conductor beats and moves on, but no event arrives: reconnect at once."""
    BEAT_TIMEOUT = "BEAT_TIMEOUT"
    """Three beats missed."""
    GREETING_TIMEOUT = "GREETING_TIMEOUT"
    """No `welcome`, or no `hello`, in time."""
    PUSH_TIMEOUT = "PUSH_TIMEOUT"
    """Pushed events stay unanswered."""
    PEER_ERROR = "PEER_ERROR"
    """The peer sent a fatal error."""
    REFUSED = "REFUSED"
    """The conductor refused the hello."""


WS_CODES = {
    CloseCode.NORMAL: 1000,
    CloseCode.REFUSED: 1008,
    CloseCode.PEER_ERROR: 1000,
    CloseCode.RESUME: 4000,
    CloseCode.DEAF: 4001,
    CloseCode.BEAT_TIMEOUT: 4002,
    CloseCode.GREETING_TIMEOUT: 4003,
    CloseCode.PUSH_TIMEOUT: 4004,
}
"""The close code that a WebSocket carries for each; a `ProtocolError` brings its own."""


class CountCode(StrEnum):
    """What a session only counts, beside the codes of protocol errors that it survives."""

    REPEATED = "REPEATED"
    """Events that this session has delivered before."""
    OUT_OF_ORDER = "OUT_OF_ORDER"
    """Events that came after a hole."""
    UNKNOWN_PUSHED = "UNKNOWN_PUSHED"
    """A result for an id that is not in flight."""
    STALE_ACK = "STALE_ACK"
    """An ack below an earlier one."""
    EVENT_WITHHELD = "EVENT_WITHHELD"
    """An event over the peer's limits, sent as null."""


class Send(msgspec.Struct, frozen=True):
    """Write these frames, in order, in one write."""

    frames: list[bytes]


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """One well-formed event with its sequence and its bytes as received."""

    sequence: int
    event: KernelEvent
    body: bytes


class Refused(msgspec.Struct, frozen=True):
    """One event that broke a limit or the event shape; it is acknowledged but never stored."""

    sequence: int | None
    code: str
    """EVENT_MALFORMED, EVENT_TOO_LARGE, EVENT_TOO_DEEP, EVENT_TOO_MANY_KEYS, EVENT_WITHHELD."""
    detail: str
    event_id: str | None = None


class Connected(msgspec.Struct, frozen=True):
    """Sidecar: the welcome was accepted; pushing may start."""

    session: str
    subject: str
    epoch: str
    resumed: bool
    start: int
    max_push_in_flight: int
    beat_s: float


class GapDetected(msgspec.Struct, frozen=True):
    """Sidecar: history that cannot be had any more; store it before anything of the session."""

    old_epoch: str
    old_cursor: int
    epoch: str
    gap_from: int | None
    gap_to: int | None
    start: int = 0
    """The new cursor: the session's events begin at `start + 1`."""


class Deliver(msgspec.Struct, frozen=True):
    """Sidecar: store these, then call `stored(last)`."""

    epoch: str
    last: int
    """The highest sequence that this batch covers, refused and repeated events included."""
    events: list[Arrived]
    refused: list[Refused]


class Confirmed(msgspec.Struct, frozen=True):
    """Sidecar: what the conductor did with pushed events."""

    results: list[PushResult]


class RotateAsked(msgspec.Struct, frozen=True):
    """Sidecar: fetch the credential of this version."""

    version: int
    url: str


class Draining(msgspec.Struct, frozen=True):
    """Sidecar: the conductor is about to close; reconnect as told."""

    retry_after_s: float
    address: str | None


class PeerError(msgspec.Struct, frozen=True):
    """The peer complained."""

    code: str
    message: str
    fatal: bool


class Counted(msgspec.Struct, frozen=True):
    """A refusal that only needs a counter and a log line: unknown type, out of order, …."""

    code: str
    detail: str
    count: int = 1


class Close(msgspec.Struct, frozen=True):
    """Flush what was sent, then close the link."""

    code: str
    """One of `CloseCode`, or the code of the `ProtocolError` that ended the link."""
    detail: str
    ws_code: int = 1000


class Opened(msgspec.Struct, frozen=True):
    """Conductor: a sidecar said hello; answer with `welcome(...)` or `refuse(...)`."""

    packs: list[PackNotice]
    session: str | None
    epoch: str
    cursor: int
    software: str


class Acked(msgspec.Struct, frozen=True):
    """Conductor: the sidecar stored everything up to `sequence`; it may be sent up to `limit`."""

    sequence: int
    limit: int


class PushArrived(msgspec.Struct, frozen=True):
    """Conductor: store these, then call `pushed(results)`."""

    events: list[Arrived]
    """`sequence` counts the events of this session's pushes, from 1."""
    refused: list[Refused]


class Anchored(msgspec.Struct, frozen=True):
    """Conductor: a beat brought the journal's head."""

    journal: Head


class Departed(msgspec.Struct, frozen=True):
    """Conductor: the sidecar said goodbye."""

    reason: str


SidecarEffect: TypeAlias = (
    Send | Connected | GapDetected | Deliver | Confirmed | RotateAsked | Draining
    | PeerError | Counted | Close
)  # fmt: skip
ConductorEffect: TypeAlias = (
    Send | Opened | Acked | PushArrived | Anchored | Departed | PeerError | Counted | Close
)
