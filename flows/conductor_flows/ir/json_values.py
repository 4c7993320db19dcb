"""JSON values whose shape is not known yet.

Promise: what comes out has the type that its name says. Refusal: nothing is converted.
"""

from __future__ import annotations

from typing import Any, TypeGuard


def as_object(value: object) -> dict[str, Any] | None:
    """Return a JSON object; None for anything else."""
    return value if _is_object(value) else None


def as_array(value: object) -> list[Any] | None:
    """Return a JSON array; None for anything else."""
    return value if _is_array(value) else None


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
