"""Every error of the wire, each with the WebSocket close code that goes with it.

Promise: whatever a peer sends ends in one of these codes. Refusal: none of them carries bytes of
the peer's payload beyond a short excerpt, and none leaves `received()`.
"""

from __future__ import annotations

from typing import ClassVar

from conductor_sdk.errors import ConductorError, EventRefused, Exit


class ProtocolError(ConductorError):
    """The peer broke the protocol."""

    code = "PROTOCOL_ERROR"
    default_hint = "compare both ends with docs/protocol.md; then: conductor doctor"
    exit_code = Exit.UNAVAILABLE
    fatal: ClassVar[bool] = True
    """Whether the stream cannot be trusted any more, so that the link is closed."""
    ws_code: ClassVar[int] = 1002
    """The close code of a WebSocket where it is fatal."""


class FrameTooLarge(ProtocolError):
    """A frame is larger than `max_frame_bytes`."""

    code = "FRAME_TOO_LARGE"
    ws_code = 1009


class MalformedFrame(ProtocolError):
    """A frame is not UTF-8 or not JSON."""

    code = "MALFORMED_FRAME"
    ws_code = 1007


class MalformedMessage(ProtocolError):
    """A message does not have the shape of its type."""

    code = "MALFORMED_MESSAGE"
    fatal = False


class UnknownMessageType(ProtocolError):
    """A message has a type that this version does not know."""

    code = "UNKNOWN_MESSAGE"
    fatal = False


class UnexpectedMessage(ProtocolError):
    """A message came in a state in which it has no place."""

    code = "UNEXPECTED_MESSAGE"


class UnsupportedVersion(ProtocolError):
    """The two ends share no version of the protocol."""

    code = "UNSUPPORTED_VERSION"
    default_hint = "upgrade the older end; the sidecar's version: conductor --version"


class BatchTooLarge(ProtocolError):
    """A batch holds more than `max_batch_events` events."""

    code = "BATCH_TOO_LARGE"
    ws_code = 1008


class CreditExceeded(ProtocolError):
    """The conductor sent events beyond the credit that it was given."""

    code = "CREDIT_EXCEEDED"
    ws_code = 1008


class PushWindowExceeded(ProtocolError):
    """The sidecar has more than `max_push_in_flight` pushed events unanswered."""

    code = "PUSH_WINDOW_EXCEEDED"
    ws_code = 1008


class AckOutOfRange(ProtocolError):
    """The sidecar acknowledged events that were never sent."""

    code = "ACK_OUT_OF_RANGE"
    ws_code = 1008


class EventTooLarge(EventRefused):
    """The event is larger than `max_event_bytes`."""

    code = "EVENT_TOO_LARGE"


class EventTooDeep(EventRefused):
    """The event is nested deeper than `max_depth`."""

    code = "EVENT_TOO_DEEP"


class EventTooManyKeys(EventRefused):
    """The event has more than `max_keys` object keys."""

    code = "EVENT_TOO_MANY_KEYS"


class EventWithheld(EventRefused):
    """The conductor has the event but cannot carry it within the session's limits."""

    code = "EVENT_WITHHELD"
