"""Why an attempt failed. These become codes in dead letters, never exceptions for the operator."""

from __future__ import annotations

import traceback
from pathlib import Path

from conductor_sdk.errors import ConductorError

HERE = Path(__file__).parent
TRACE_FRAMES = 6
TEXT_MAX = 1500
"""Characters of a foreign error's text; what comes after it must fit too."""


class HandlerFailed(ConductorError):
    """The handler raised."""

    code = "HANDLER_FAILED"
    retryable = True
    default_hint = "run: conductor dead-letters show EVENT_ID"


class HandlerCrashed(ConductorError):
    """The process ended while the handler ran, once too often."""

    code = "HANDLER_CRASHED"
    default_hint = "run: conductor dead-letters show EVENT_ID"


class HandlerTimeout(ConductorError):
    """The handler did not finish before its deadline."""

    code = "HANDLER_TIMEOUT"
    retryable = True
    default_hint = "raise dispatch.deadline_s, or make the handler faster"


class HandlerNonsense(ConductorError):
    """The handler returned something that is not an outcome."""

    code = "HANDLER_NONSENSE"
    retryable = True
    default_hint = "return Handled, Replayed, Ignored, Retry or Reject"


class PayloadInvalid(ConductorError):
    """The payload does not fit the type that the subscription names."""

    code = "PAYLOAD_INVALID"
    default_hint = "run: conductor dead-letters show EVENT_ID"


class EventRejected(ConductorError):
    """The handler rejected the event."""

    code = "EVENT_REJECTED"
    default_hint = "run: conductor dead-letters show EVENT_ID"


class StoredEventUnreadable(ConductorError):
    """A stored event cannot be decoded any more."""

    code = "STORED_EVENT_UNREADABLE"
    default_hint = "run: conductor dead-letters show EVENT_ID"


def describe(error: BaseException) -> str:
    """Return `Type: text` of an exception, on one line."""
    try:
        text = " ".join(str(error).split())[:TEXT_MAX]
    except Exception:  # noqa: BLE001  foreign code: even the text of an error may fail
        text = "its text cannot be read"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def trace(error: BaseException) -> str:
    """Return where an exception came from, outermost first: `pack.py:12 on_job > db.py:40 put`."""
    steps = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    theirs = [(code, line) for code, line in steps if Path(code.co_filename).parent != HERE]
    return " > ".join(
        f"{Path(code.co_filename).name}:{line} {code.co_name}"
        for code, line in theirs[-TRACE_FRAMES:]
    )
