"""What a rule says when it is broken.

Promise: every diagnostic names its code, its place as a JSON Pointer into the document, and what
to do; equal documents give equal diagnostics in equal order. Refusal: nothing is raised and
nothing is printed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec


class Severity(StrEnum):
    """How bad it is; only `error` and `fatal` make a flow invalid."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    FATAL = "fatal"

    @property
    def fails(self) -> bool:
        """Whether a flow with such a diagnostic is invalid."""
        return self in {Severity.ERROR, Severity.FATAL}


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """One code of the registry."""

    code: str
    """As `DAG200`. Stable."""
    subsystem: Literal["macros", "validation", "lint", "lowering", "runtime"]
    severity: Severity
    summary: str
    """A line: what is wrong."""
    hint: str
    """A line: what to do."""
    status: Literal["validator", "dsl", "runtime", "reserved"]
    """Who says it; `reserved`: nobody yet, its subject comes later."""
    when: str
    """A sentence or two: under which condition exactly."""
    example: str
    """A fragment of a document, or a line of Python, that breaks the rule."""


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One breach of a rule."""

    code: str
    severity: Severity
    subsystem: str
    summary: str
    message: str
    """What is wrong here, with names."""
    location: str
    """A JSON Pointer into the small form of the document; "" is the whole of it."""
    hint: str
