"""What a server prints of requests that failed.

Promise: one line for what the operator can put right, and the trace where somebody's code raised.
Refusal: no access log.
"""

from __future__ import annotations

import logging
import os
from typing import Final

from conductor_flows.execute.errors import NodeFailed
from conductor_sdk.errors import ConductorError
from conductor_sdk.terminal_text import clean
from conductor_terminal.shell import TRACEBACK

LOGGER: Final = "conductor_flows.host"


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return a line, and a trace only where it leads into code that raised."""
        error = record.exc_info[1] if record.exc_info else None
        told = clean(f"flows: {record.getMessage()}")
        foreign = error if not isinstance(error, ConductorError) else None
        if isinstance(error, NodeFailed):
            foreign = error.__cause__
        if os.environ.get(TRACEBACK):
            foreign = error
        if foreign is None:
            return told
        trace = self.formatException((type(foreign), foreign, foreign.__traceback__))
        return f"{told}\n{trace}"


def tell_failures() -> None:
    """Print failures of the host on standard error. Idempotent."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(handler.formatter, _Lines) for handler in logger.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(_Lines())
        logger.addHandler(handler)
        logger.propagate = False
