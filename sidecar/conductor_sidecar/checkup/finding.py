"""What a check is, and what it finds.

Promise: a check has an id that stays, a sentence, and at most one mend that touches no data.
Refusal: nothing is looked at here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from conductor_sidecar.checkup.scene import Scene

State = Literal["ok", "warn", "fail", "skip"]
Severity = Literal["warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look has given."""

    state: State
    detail: str
    hint: str = ""
    """The next command; empty where nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Mend:
    """What `--fix` does when a check is not ok."""

    does: str
    """A sentence, for the documentation."""
    run: Callable[[Scene], list[str]]
    """Does it; returns what it did, a line each."""
    asks: bool = False
    """Whether somebody must agree first: something is removed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    id: str
    """`<group>.<what>`; stable."""
    name: str
    """For people; unique."""
    severity: Severity
    """The worst that it can find."""
    sentence: str
    """What it looks at, for the documentation."""
    look: Callable[[Scene], Finding]
    mend: Mend | None = None
    network: bool = False
    """Whether it leaves this machine; `--offline` leaves it out."""

    @property
    def group(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one check."""

    id: str
    group: str
    name: str
    state: State
    detail: str
    hint: str
    severity: Severity
    fixable: bool
    """Whether `--fix` would do something about it."""
    fixed: tuple[str, ...] = ()
    """What `--fix` has done."""


def ok(detail: str) -> Finding:
    """Say that all is well."""
    return Finding("ok", detail)


def warn(detail: str, hint: str) -> Finding:
    """Say that it works, and should be looked at."""
    return Finding("warn", detail, hint)


def fail(detail: str, hint: str) -> Finding:
    """Say that it does not work, or is not safe."""
    return Finding("fail", detail, hint)


def skip(reason: str) -> Finding:
    """Say why it was not looked at."""
    return Finding("skip", reason)
