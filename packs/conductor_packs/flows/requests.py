"""What the pack is asked: the payloads of its kinds.

Promise: what does not fit is a dead letter with the field named, before anything else is looked
at. Refusal: fields that are not known are passed over, so that a newer conductor may say more.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Key = Annotated[str, Meta(min_length=1, max_length=255)]
Token = Annotated[str, Meta(min_length=1, max_length=512)]
Word = Annotated[str, Meta(max_length=256)]
Labels = Annotated[dict[Word, Annotated[str, Meta(max_length=1024)]], Meta(max_length=32)]


class RunRequest(msgspec.Struct, frozen=True):
    """The payload of `flows:run`."""

    flow: Annotated[str, Meta(min_length=1, max_length=64)]
    """Its name in the configuration."""
    payload: Any = None
    """JSON, for the trigger."""
    entrypoint: Word | None = None
    """The alias of a trigger, or the path of a route; by default the flow's only entrypoint."""
    idempotency_key: Key | None = None
    """The same key with the same request is the same run; by default the event's id."""
    deadline_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    labels: Labels = {}
    """What nodes see of the request; `lf.` is taken."""


class SignalRequest(msgspec.Struct, frozen=True):
    """The payload of `flows:signal`: what a run that halted waits for."""

    token: Token
    """From `flows:run_halted`."""
    payload: Any = None
    """JSON; what the halted node gives."""


class ApproveRequest(msgspec.Struct, frozen=True):
    """The payload of `flows:approve`: a decision."""

    token: Token
    approved: bool
    approver: Word | None = None
    """By default whoever sent the event."""
    comment: Annotated[str, Meta(max_length=4096)] | None = None


class RetryRequest(msgspec.Struct, frozen=True):
    """The payload of `flows:retry`: a run that failed goes on from its checkpoint."""

    run_id: Annotated[str, Meta(min_length=1, max_length=64)]
    """From `flows:run_failed`."""
