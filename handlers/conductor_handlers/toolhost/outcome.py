"""What became of a call: the answer, and how the traces call it.

Promise: every refusal of the host is made here, with its code and class. Refusal: nothing is
decided or stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from conductor_handlers.toolhost.policy import Decided
from conductor_sdk.tool_output import ToolOutput, failed
from conductor_sdk.tool_schema import to_json

Result: TypeAlias = Literal["success", "failure", "denied"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one call."""

    output: ToolOutput
    text: bytes
    """The output's JSON: what is hashed, and kept for a key."""
    result: Result
    decisions: Sequence[Decided] = ()
    replayed: bool = False


def answered(
    output: ToolOutput, text: bytes, decisions: Sequence[Decided], *, replayed: bool = False
) -> Outcome:
    """Return the outcome of a tool that answered, now or when its key was first used."""
    return Outcome(output, text, "success" if output.success else "failure", decisions, replayed)


def failure(
    code: str, message: str, decisions: Sequence[Decided] = (), *,
    details: Mapping[str, Any] | None = None,
) -> Outcome:  # fmt: skip
    """Return the outcome of a call that went wrong."""
    output = failed(code, message, details=details)
    return Outcome(output, to_json(output), "failure", decisions)


def denied(
    code: str, message: str, decisions: Sequence[Decided] = (), *,
    details: Mapping[str, Any] | None = None,
) -> Outcome:  # fmt: skip
    """Return the outcome of a call that is not allowed."""
    output = failed(code, message, details=details)
    return Outcome(output, to_json(output), "denied", decisions)
