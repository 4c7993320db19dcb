"""The readiness report: what was walked through, with which versions and files.

Promise: the JSON and the Markdown say the same; both name versions and hashes, so that a report is
about one pack and no other. Refusal: no step is made here, and no content of a record is in it.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from conductor_packs.sidekick.contract.hashing import CONTRACT_VERSION, schema_hash
from conductor_packs.sidekick.names import VERSION
from conductor_packs.sidekick.smoke.walk import StepResult
from conductor_sdk.pack_hash import NotHashable, tree_hash

JSON_FILE = "readiness.json"
MARKDOWN_FILE = "readiness.md"
_PACK = Path(__file__).parent.parent


class Readiness(msgspec.Struct, frozen=True):
    """One walk."""

    passed: bool
    at: str
    workspace: str
    own_sidecar: bool
    versions: dict[str, str]
    hashes: dict[str, str]
    steps: list[StepResult]
    duration_ms: int


def readiness(
    steps: Sequence[StepResult], *, at: str, workspace: Path, own_sidecar: bool
) -> Readiness:
    """Return the report of a walk."""
    return Readiness(
        passed=all(step.result == "pass" for step in steps), at=at, workspace=str(workspace),
        own_sidecar=own_sidecar,
        versions={
            "conductor": _distribution(), "python": platform.python_version(),
            "pack": VERSION, "contract": CONTRACT_VERSION,
        },
        hashes={"pack": _pack_hash(), "schemas": schema_hash()},
        steps=list(steps), duration_ms=sum(step.duration_ms for step in steps),
    )  # fmt: skip


def write(report: Readiness, directory: Path) -> tuple[Path, Path]:
    """Write both files, in place of older ones; returns their paths.

    Raises:
        OSError: They cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    as_json, as_text = directory / JSON_FILE, directory / MARKDOWN_FILE
    as_json.write_text(json.dumps(msgspec.to_builtins(report), indent=2) + "\n", encoding="utf-8")
    as_text.write_text(markdown(report), encoding="utf-8")
    return as_json, as_text


def markdown(report: Readiness) -> str:
    """Return the report as Markdown."""
    passed = sum(step.result == "pass" for step in report.steps)
    where = "a sidecar of its own" if report.own_sidecar else report.workspace
    summary = f"{passed} of {len(report.steps)} steps passed in {report.duration_ms} ms"
    lines = [
        f"# Sidekick is {'ready' if report.passed else 'not ready'}", "",
        f"{summary}, {report.at}, against {where}.", "",
        "| What | Which |", "|---|---|",
        *(f"| {name} | {value} |" for name, value in report.versions.items()),
        *(f"| hash of the {name} | `{value}` |" for name, value in report.hashes.items()), "",
        "| # | Step | Tool | Expected | Status | ms | Result |", "|---|---|---|---|---|---|---|",
        *(_row(number, step) for number, step in enumerate(report.steps, 1)),
    ]  # fmt: skip
    failed = [step for step in report.steps if step.detail]
    details = [f"- {step.name}: `{_plain(step.detail)}`" for step in failed]
    return "\n".join([*lines, *(["", "## What failed", "", *details] if details else []), ""])


def _row(number: int, step: StepResult) -> str:
    status = "" if step.status is None else step.status
    return (
        f"| {number} | {step.name} | `{step.tool}` | {step.expected} | {status} | "
        f"{step.duration_ms} | {step.result} |"
    )


def _plain(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")


def _distribution() -> str:
    try:
        return version("conductor-sidecar")
    except PackageNotFoundError:
        return "not installed"


def _pack_hash() -> str:
    try:
        return tree_hash(_PACK)
    except (NotHashable, OSError) as error:
        return f"none: {error}"
