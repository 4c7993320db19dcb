"""What the checks of a pack answer.

Promise: every check is answered, in a fixed order, with all that speaks against the pack. Refusal:
nothing is checked, printed or decided here.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from conductor_sdk.errors import Exit

Status: TypeAlias = Literal["pass", "fail", "skip"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that speaks against the pack."""

    rule: str
    """Stable, lower snake case; listed in `docs/reference/pack-checks.md`."""
    where: str
    """A JSON pointer into the manifest, or `file:line`."""
    message: str
    hint: str


class Check(msgspec.Struct, frozen=True):
    """One check and what it found."""

    name: str
    title: str
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    """Why it was skipped."""


class PackVerdict(msgspec.Struct, frozen=True):
    """All checks of one pack."""

    name: str
    root: str
    checks: tuple[Check, ...]
    integrity: str | None = None
    """`sha256:` and 64 hex digits; None: the files could not be read."""
    pin: str | None = None
    """What the workspace's configuration wants it to be."""

    @property
    def passed(self) -> bool:
        """Whether every check passed; one that was skipped did not."""
        return all(check.status == "pass" for check in self.checks)

    @property
    def exit_code(self) -> Exit:
        """0; 4 where only the hash is not the pinned one; else 1."""
        failed = {check.name for check in self.checks if check.status != "pass"}
        if failed == {"integrity"}:
            return Exit.INTEGRITY
        return Exit.FAILURE if failed else Exit.OK


def checked(name: str, title: str, findings: list[Finding]) -> Check:
    """Return a check that was made."""
    return Check(name, title, "fail" if findings else "pass", tuple(findings))


def skipped(name: str, title: str, reason: str) -> Check:
    """Return a check that could not be made."""
    return Check(name, title, "skip", reason=reason)
