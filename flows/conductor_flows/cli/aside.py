"""What users' code prints, kept apart from answers.

Promise: within `aside`, what modules and nodes print goes to standard error, so that a pipe gets
answers alone. Refusal: nothing is caught or changed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from contextvars import ContextVar
from typing import Final, TextIO

_ANSWERS: Final[ContextVar[TextIO | None]] = ContextVar("flows_answers", default=None)


@contextlib.contextmanager
def aside() -> Generator[None]:
    """Let prints go to standard error for the time of a block."""
    token = _ANSWERS.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _ANSWERS.reset(token)


@contextlib.contextmanager
def answering() -> Generator[None]:
    """Print an answer within `aside`; nobody else may have a turn in the block."""
    with contextlib.redirect_stdout(_ANSWERS.get() or sys.stdout):
        yield
