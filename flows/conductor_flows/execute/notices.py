"""What a run has to say to whoever operates it, without failing.

Promise: a notice has a code of the registry and names the flow and the place in it, never a value
that went through. Refusal: nothing is kept here, and a notice changes nothing about a run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to know."""

    code: str
    """As `RUN030`."""
    flow: str
    where: str
    """An alias, or an edge as `a->b`."""
    detail: str


Tell: TypeAlias = Callable[[Notice], None]
"""Takes a notice; must not block and must not raise."""


def logged(notice: Notice) -> None:
    """Write a notice to the log: some happen all the time and are information only."""
    level = logging.INFO if notice.code in {"RUN040", "WEB201"} else logging.WARNING
    logger = logging.getLogger("conductor_flows")
    logger.log(level, "%s: %s at %s: %s", notice.code, notice.flow, notice.where, notice.detail)
