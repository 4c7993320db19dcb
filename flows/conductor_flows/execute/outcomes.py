"""What a run gives.

Promise: closed: a value, a stream, or a halt. Refusal: errors are raised, not given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

WaitKind = Literal["timer", "callback", "approval"]


@dataclass(frozen=True, slots=True)
class Halt:
    """Given by a halt node's function: the run waits here for something from outside."""

    kind: WaitKind
    payload: Any
    """What is shown to whoever may let it go on; JSON."""
    after_s: float | None = None
    """When a timer fires, or a callback or approval is given up; from now."""
    otherwise: Any = None
    """What the node gives when the time is up and nobody came: for an approval the rejection."""
    until: datetime | None = None
    """The moment itself, with a time zone, instead of `after_s`; one that is over is now."""


@dataclass(frozen=True, slots=True)
class Value:
    """The answer, as JSON."""

    value: Any


@dataclass(frozen=True, slots=True)
class Halted:
    """The run waits; it goes on from its checkpoint."""

    alias: str
    payload: Any
    checkpoint_id: str | None = None
    token: str | None = None
    """Names the wait to whoever may end it."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """The answer comes in pieces: JSON values. Closing the iterator cancels the run."""

    items: AsyncIterator[Any]


Outcome: TypeAlias = Value | Streamed | Halted
