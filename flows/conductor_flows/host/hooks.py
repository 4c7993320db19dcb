"""What may be done before and after each run of a host.

Promise: hooks are called in their order before a run and in the reverse order after it, and one
whose `before_execute` has returned is told how the run ended, whatever happened. Refusal: a hook
cannot change the payload or the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from conductor_flows.execute.outcomes import Outcome
from conductor_flows.execute.planning.compiling import Ends


@dataclass(frozen=True, slots=True)
class Call:
    """A run that is about to begin."""

    host: str
    flow: str
    """The flow's name."""
    ends: Ends
    payload: Any
    """JSON; not to be changed."""
    labels: dict[str, str]
    """A hook may add to them; nodes see them. `lf.run_id` and its kin are there already."""
    extensions: dict[str, Any]
    """JSON by name; a hook may add to them."""
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    outcome: Outcome | None
    """None where it failed. The pieces of a stream have been handed on when this is told."""
    error: BaseException | None
    """Why it failed or was cancelled."""
    took_s: float
    pieces: int | None = None
    """How many a stream gave, where the answer is one."""


class Hook(Protocol):
    """Something that surrounds runs, as tracing or the current user."""

    async def before_execute(self, call: Call) -> None:
        """Look at a run before it begins; what is raised refuses it."""
        ...

    async def after_execute(self, call: Call, ended: Ended) -> None:
        """Look at how it ended; what is raised is logged and changes nothing.

        After a cancellation it must not wait: whoever cancelled waits for it.
        """
        ...
