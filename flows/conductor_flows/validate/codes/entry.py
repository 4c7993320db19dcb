"""How the tables of codes are written down.

Promise: an entry that leaves something out is an error of the validator. Refusal: no code is
defined here.
"""

from __future__ import annotations

from typing import Literal

from conductor_flows.validate.diagnostic import Code, Severity

Subsystem = Literal["macros", "validation", "lint", "lowering", "runtime"]
Status = Literal["validator", "dsl", "runtime", "reserved"]


def entry(
    code: str, summary: str, *, when: str, example: str, hint: str,
    subsystem: Subsystem = "validation", severity: Severity = Severity.ERROR,
    status: Status = "validator",
) -> Code:  # fmt: skip
    """Return one entry."""
    return Code(
        code=code, subsystem=subsystem, severity=severity, summary=summary, hint=hint,
        status=status, when=when, example=example,
    )  # fmt: skip
