"""What a handler is and what it may answer.

Promise: an outcome is one of five frozen records, nothing else counts as success. Refusal: an
outcome carries no exception and no payload; effects belong to the pack's own storage.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeAlias

import msgspec

from conductor_sdk.event import KernelEvent


class Handled(msgspec.Struct, frozen=True, kw_only=False):
    """The effect happened now."""

    action: str = "handled"
    status: ClassVar[str] = "handled"


class Replayed(msgspec.Struct, frozen=True, kw_only=False):
    """The effect had already happened; nothing was done."""

    action: str = "noop"
    status: ClassVar[str] = "replayed"


class Ignored(msgspec.Struct, frozen=True, kw_only=False):
    """The event is not for this pack; no replay key was stored."""

    action: str = "ignored"
    status: ClassVar[str] = "ignored"


class Retry(msgspec.Struct, frozen=True, kw_only=False):
    """Try again later; costs one of the event's attempts.

    `after_s` is in seconds; None leaves the delay to the retry policy.
    """

    reason: str = "retry"
    after_s: float | None = None
    status: ClassVar[str] = "retry"


class Reject(msgspec.Struct, frozen=True, kw_only=False):
    """Never try again: the event goes to the dead letters at once."""

    reason: str = "rejected"
    status: ClassVar[str] = "reject"


Outcome: TypeAlias = Handled | Replayed | Ignored | Retry | Reject

Handler: TypeAlias = Callable[[KernelEvent, Any], Awaitable[Outcome]]
"""`async def on_…(event, ctx) -> Outcome`. `ctx` is the pack's own context type."""


class Subscription(msgspec.Struct, frozen=True, kw_only=False):
    """A handler with its choices, for packs that want more than the defaults."""

    handler: Handler
    partition_key: Callable[[KernelEvent], str] | None = None
    """Events with one key run in order, others in parallel; default: the event's subject."""
    payload: type[Any] | None = None
    """A pydantic model, dataclass or msgspec struct; `event.payload` then has this type.

    A payload that does not fit is a dead letter with the field named, not a retry.
    """
    deadline_s: float | None = None
    """Seconds that one attempt may take; None: the daemon's `dispatch.deadline_s`."""
    max_attempts: int | None = None
    """Attempts before the dead letters; None: the daemon's `dispatch.max_attempts`."""


def wire_outcome(outcome: Outcome) -> dict[str, str]:
    """Return `{status, action}` as it is written on the wire and in listings."""
    match outcome:
        case Handled(action) | Replayed(action) | Ignored(action):
            return {"status": outcome.status, "action": action}
        case Retry(reason) | Reject(reason):
            return {"status": outcome.status, "action": reason}
