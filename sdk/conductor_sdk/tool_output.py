"""What a tool's call answers: one envelope on every surface.

Promise: a refusal, a failure and a success have the same shape, and a failure has a stable code.
Refusal: no HTTP status and no exit code here; each surface has its own table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class ToolFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a call did not succeed."""

    code: str
    """Stable, upper snake case."""
    message: str
    details: dict[str, Any] | None = None


class ToolOutput(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call answers; the same envelope on every surface."""

    success: bool
    data: dict[str, Any] | None = None
    error: ToolFault | None = None
    metadata: dict[str, Any] | None = None
    """About the call, not part of the answer: for example `call_id` and `replayed`."""


def succeeded(data: Mapping[str, Any] | None = None) -> ToolOutput:
    """Return the answer of a call that did what it was asked."""
    return ToolOutput(success=True, data=dict(data or {}))


def failed(
    code: str, message: str, *,
    details: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None,
) -> ToolOutput:  # fmt: skip
    """Return the answer of a call that did not; `details` and `data` are JSON objects."""
    fault = ToolFault(code, message, None if details is None else dict(details))
    return ToolOutput(success=False, data=None if data is None else dict(data), error=fault)
