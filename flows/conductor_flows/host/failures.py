"""Errors as a host tells them: a status of HTTP, and an envelope.

Promise: one table for every way in; the envelope has `error`, and where there is more to say
`code`, `details` and `diagnostics`; an error that nobody thought of is told without its text, which
may hold anything. Refusal: nothing is logged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from conductor_flows.durable import errors as durable
from conductor_flows.execute import errors as execute
from conductor_flows.host.errors import HttpRefusal
from conductor_flows.ir.json_values import as_array
from conductor_sdk.errors import ConductorError

UNEXPECTED: Final = "An unexpected error"
_DIAGNOSTICS: Final = "diagnostics"


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of an error; readers pass over keys that they do not know."""

    error: str
    """A line for people."""
    code: str | None = None
    """Stable; listed in docs/reference."""
    details: Mapping[str, Any] | None = None
    """Facts for programs, as `{"hints": […]}` or `{"pointer": "/value"}`."""
    diagnostics: list[Any] | None = None
    """What is wrong with the flow itself."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An error, ready to be told."""

    status: int
    envelope: Envelope
    retry_after_s: int | None = None
    """When to ask again."""

    @property
    def body(self) -> bytes:
        """The envelope as JSON."""
        return msgspec.json.encode(self.envelope)


STATUSES: Final[tuple[tuple[type[ConductorError], int], ...]] = (
    (execute.PortRefused, 400),
    (execute.SpillUnsupported, 400),
    (execute.Cancelled, 503),
    (execute.DeadlineExceeded, 504),
    (execute.TimeBudget, 504),
    (durable.CheckpointNotFound, 404),
    (durable.TokenUnknown, 404),
    (durable.TokenUsed, 410),
    (durable.LeaseConflict, 409),
    (durable.StillWaiting, 409),
    (durable.NothingWaits, 409),
    (durable.ResumeExhausted, 409),
)
"""By class, the first that fits; everything else is 500."""


def failure_of(error: BaseException) -> Failed:
    """Say how an error is told.

    Args:
        error: Whatever a run, a load or a resume raised.
    """
    if isinstance(error, HttpRefusal):
        return Failed(error.status, _envelope(error), error.retry_after_s)
    if isinstance(error, ConductorError):
        status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
        return Failed(status, _envelope(error))
    return Failed(500, Envelope(UNEXPECTED))


def _envelope(error: ConductorError) -> Envelope:
    data = dict(error.data)
    diagnostics = as_array(data.pop(_DIAGNOSTICS, None))
    return Envelope(
        error.message, error.code, cast("Mapping[str, Any]", data) or None,
        None if diagnostics is None else list(diagnostics),
    )  # fmt: skip
