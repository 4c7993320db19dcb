"""What `conductor pack` and `conductor packs` print, for people and for programs.

Promise: fits 80 columns, without colour in a pipe; every refusal is shown with its code, its value
and its fix. Refusal: nothing is loaded or decided here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from conductor_handlers.pack_lint.verdict import Check
from conductor_handlers.registry import LoadedPack, RefusedPack, Registry
from conductor_sdk.pack_errors import ManifestInvalid, PackRefused
from conductor_sdk.terminal_text import WIDTH, clean
from conductor_sdk.testing.report import CheckResult, ConformanceReport, about
from conductor_sidecar.cli.pack_checks import Validated

Samples = dict[str, list[dict[str, Any]]]


def read_samples(file: Path) -> Samples | None:
    """Read a project's `conformance.json`: payloads by subscribed kind; None without the file.

    Raises:
        ManifestInvalid: It is not an object of lists of objects.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Samples)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ManifestInvalid(f"{file}: {error}", hint=f"edit {file}") from None


def validation_json(
    loaded: Sequence[LoadedPack], refused: Sequence[RefusedPack]
) -> list[dict[str, Any]]:
    """Return one object for each pack, with all its problems."""
    return [
        *({**_loaded_json(found), "valid": True, "problems": []} for found in loaded),
        *({**_refused_json(found), "valid": False} for found in refused),
    ]


def checks_json(pack: Validated) -> dict[str, Any]:
    """Return what was found of one pack."""
    found, verdict = pack.found, pack.verdict
    shown = _refused_json(found) if isinstance(found, RefusedPack) else _loaded_json(found)
    return {
        **shown,
        "valid": pack.valid,
        "problems": shown.get("problems", []),
        "checks": [msgspec.to_builtins(check) for check in verdict.checks] if verdict else [],
        "root": verdict.root if verdict else None,
        "integrity": verdict.integrity if verdict else None,
        "pin": verdict.pin if verdict else None,
    }


def conformance_json(report: ConformanceReport) -> dict[str, Any]:
    """Return a report as an object."""
    return {
        "slug": report.slug,
        "version": report.version,
        "passed": report.passed,
        "results": [msgspec.structs.asdict(result) for result in report.results],
    }


def registry_json(registry: Registry) -> dict[str, Any]:
    """Return everything that was found, loaded or not."""
    return {
        "loaded": [_loaded_json(found) for found in registry.packs],
        "refused": [_refused_json(found) for found in registry.refused],
        "disabled": [{"name": each.name, "source": each.source} for each in registry.disabled],
    }


def show_validation(loaded: Sequence[LoadedPack], refused: Sequence[RefusedPack]) -> None:
    """Print what was checked."""
    for found in loaded:
        _show_loaded(found)
        click.echo("valid")
    for against in refused:
        _show_refused(against)


def show_checks(pack: Validated) -> None:
    """Print one pack: whether it loads, every check, its hash, and the verdict."""
    if isinstance(pack.found, RefusedPack):
        _show_refused(pack.found)
    else:
        _show_loaded(pack.found)
    if pack.verdict is None:
        _wrapped("its files were not found; nothing of them was checked", 2)
        return
    for check in pack.verdict.checks:
        _show_check(check)
    if pack.verdict.integrity:
        pinned = "pinned" if pack.verdict.pin else "not pinned"
        click.echo(f"{pack.verdict.integrity}\n  {pinned}")
    click.echo("valid" if pack.valid else "not valid")


def show_conformance(report: ConformanceReport) -> None:
    """Print every check, then the sum."""
    for result in report.results:
        _show_result(result)
    passed = len(report.results) - len(report.failures)
    verdict = "conforms" if report.passed else "does not conform"
    click.echo(
        f"{report.slug} {report.version} {verdict}: {passed} of {len(report.results)} checks passed"
    )


def show_registry(registry: Registry) -> None:
    """Print the packs that are loaded, refused and turned off."""
    for found in registry.packs:
        _show_loaded(found)
    for against in registry.refused:
        _show_refused(against)
    for each in registry.disabled:
        click.echo(f"{each.name}  off")
        _wrapped(f"turned off by packs.disabled; from {each.source}", 2)
    if not registry.packs and not registry.refused and not registry.disabled:
        click.echo("no packs are installed")
        click.echo("  make one: conductor pack new NAME")


def _show_loaded(found: LoadedPack) -> None:
    click.echo(f"{found.slug} {found.version}")
    _wrapped(f"from {found.source}", 2)
    policy = found.pack.manifest.backpressure_policy
    _column("emits", (f"{kind} ({policy[kind]})" for kind in found.emits))
    _column("subscribes", found.subscribes)


def _show_refused(against: RefusedPack) -> None:
    many = len(against.problems)
    click.echo(f"{clean(against.name)}  refused: {many} problem{'s' if many > 1 else ''}")
    _wrapped(f"from {against.source}", 2)
    for problem in against.problems:
        click.echo(f"  {problem.code}")
        for line, fix in _lines(problem):
            _wrapped(line, 4)
            _wrapped(f"fix: {fix}", 4)


def _lines(problem: PackRefused) -> list[tuple[str, str]]:
    each = cast("list[dict[str, str]]", problem.data.get("problems", []))
    if len(each) < 2:  # noqa: PLR2004  # one is in the message already
        return [(problem.message, problem.hint)]
    return [(f"{one['pointer']}: {one['message']}", f"edit {one['pointer']}") for one in each]


def _show_check(check: Check) -> None:
    mark = "FAIL" if check.status == "fail" else check.status
    click.echo(f"{mark} {check.title}" + (f": {check.reason}" if check.reason else ""))
    for finding in check.findings:
        _wrapped(f"{finding.rule}  {finding.where}", 5)
        _wrapped(finding.message, 7)
        _wrapped(f"fix: {finding.hint}", 7)


def _show_result(result: CheckResult) -> None:
    mark = "pass" if result.passed else "FAIL"
    click.echo(clean(f"{mark} {result.name}{about(result)}"))
    if result.detail:
        _wrapped(result.detail, 5)
    if not result.passed:
        _wrapped(f"fix: {result.hint}", 5)


def _column(heading: str, kinds: Iterable[str]) -> None:
    for index, kind in enumerate(kinds):
        click.echo(f"  {heading if index == 0 else '':<10}  {clean(kind)}")


def _wrapped(text: str, indent: int) -> None:
    space = " " * indent
    for line in textwrap.wrap(
        clean(text), WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=False
    ):
        click.echo(line)


def _loaded_json(found: LoadedPack) -> dict[str, Any]:
    policy = found.pack.manifest.backpressure_policy
    return {
        "slug": found.slug,
        "version": found.version,
        "source": found.source,
        "emits": [{"kind": kind, "policy": policy[kind]} for kind in found.emits],
        "subscribes": list(found.subscribes),
    }


def _refused_json(against: RefusedPack) -> dict[str, Any]:
    problems = [problem.as_json() for problem in against.problems]
    return {"name": against.name, "source": against.source, "problems": problems}
