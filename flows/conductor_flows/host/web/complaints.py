"""The log of runs that failed through no fault of whoever asked.

Promise: such an error is told with its trace, if that leads anywhere, and so many of them in a
while; what is left out is told as a number, and counted as any answer is: a crowd that makes a flow
fail does not fill a disk. Refusal: nothing is told to a client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from conductor_flows.execute.errors import Cancelled, DeadlineExceeded, MissingOutput, said_by

WHILE_S: Final = 10.0
TOLD_MAX: Final = 50
"""In a while."""
PLAIN: Final = (Cancelled, DeadlineExceeded, MissingOutput)
"""Errors whose trace leads through the host only."""
_log: Final = logging.getLogger("conductor_flows.host")


class Complaints:
    """One for a host."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing told.

        Args:
            now: Seconds, that only grow.
        """
        self._now = now
        self._since = now()
        self._told = self._left_out = 0

    def tell(self, flow: str, error: BaseException) -> None:
        """Tell of a run of a flow that failed."""
        if self._now() - self._since >= WHILE_S:
            if self._left_out:
                _log.error("%d errors were not told: there were too many", self._left_out)
            self._since, self._told, self._left_out = self._now(), 0, 0
        if self._told == TOLD_MAX:
            if not self._left_out:
                _log.error("more errors than %d in %g s: the next are left out", TOLD_MAX, WHILE_S)
            self._left_out += 1
            return
        self._told += 1
        trace = None if isinstance(error, PLAIN) else error
        _log.error("%s: %s: %s", flow, type(error).__name__, said_by(error), exc_info=trace)
