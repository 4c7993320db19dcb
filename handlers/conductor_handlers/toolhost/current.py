"""The call that the running code belongs to.

Promise: whatever a tool starts while it runs knows the call, so that a call within a call is
never wider than the outer one. Refusal: nothing is decided here.
"""

from __future__ import annotations

import contextvars
from dataclasses import dataclass

from conductor_handlers.toolhost.records import AnyScope


@dataclass(frozen=True, slots=True)
class Within:
    """A running call, for the calls that its tool makes."""

    call_id: str
    scopes: tuple[AnyScope, ...] | None
    """The caller's."""
    depth: int
    """1 for a call from outside."""


current_call: contextvars.ContextVar[Within | None] = contextvars.ContextVar(
    "current_call", default=None
)
