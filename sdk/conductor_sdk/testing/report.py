"""What the conformance suite found: records, and their reading.

Promise: every check that ran has one record, passed or not, in the order of the suite. Refusal: no
check is skipped silently; one that could not run is a record that failed, with its reason.
"""

from __future__ import annotations

import msgspec


class CheckResult(msgspec.Struct, frozen=True):
    """One check of one pack."""

    name: str
    """Stable: `manifest`, `emit`, `undeclared`, `outcome`, `replay`, `crash`, …."""
    passed: bool
    kind: str | None = None
    """The event kind that it is about, where it is about one."""
    detail: str = ""
    """What was seen."""
    hint: str = ""
    """What to change; empty when it passed."""
    sample: int | None = None
    """Which sample of the kind, from 1."""


class ConformanceReport(msgspec.Struct, frozen=True):
    """The suite's answer for one pack."""

    slug: str
    version: str
    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(result.passed for result in self.results)

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed, in order."""
        return tuple(result for result in self.results if not result.passed)

    def assert_passed(self) -> None:
        """Fail a test, with one line for each check that failed.

        Raises:
            AssertionError: If a check failed.
        """
        if not self.passed:
            raise AssertionError(
                f"{self.slug} {self.version} does not conform\n"
                + "\n".join(map(describe, self.failures))
            )


def describe(result: CheckResult) -> str:
    """Return a result as text: one line, and the hint below where it failed."""
    line = ("pass " if result.passed else "FAIL ") + result.name + about(result)
    if result.detail:
        line += f": {result.detail}"
    return line if result.passed else f"{line}\n     fix: {result.hint}"


def about(result: CheckResult) -> str:
    """Return what a check is about, with a space in front: ` kind (sample 2)`."""
    kind = f" {result.kind}" if result.kind else ""
    return kind if result.sample is None else f"{kind} (sample {result.sample})"
