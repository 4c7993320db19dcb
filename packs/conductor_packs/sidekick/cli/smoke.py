"""`conductor sidekick smoke`: the walk on a terminal, its report in two files.

Promise: exits 0 where every step passed, 5 where one did not. Refusal: the walk stands elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from conductor_packs.sidekick.cli.calling import host
from conductor_packs.sidekick.cli.errors import FileRefused
from conductor_packs.sidekick.cli.show import print_rows, shown
from conductor_packs.sidekick.smoke.readiness import Readiness, write
from conductor_packs.sidekick.smoke.run import smoke
from conductor_sdk.errors import Exit
from conductor_terminal.printing import print_json


def run_smoke(workspace: Path | None, directory: Path, *, own: bool, as_json: bool) -> None:
    """Walk, write the report and leave.

    Raises:
        SidecarNotReady: Its own sidecar did not start.
        SidecarUnreachable: A workspace was named, and no sidecar runs there.
        FileRefused: The report cannot be written.
    """
    place = None if own else host().workspace(workspace)
    report = smoke(place, strict=workspace is not None)
    try:
        files = write(report, directory)
    except OSError as error:
        raise FileRefused(f"{directory}: {error.strerror}") from None
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _show(report, files)
    click.get_current_context().exit(int(Exit.OK if report.passed else Exit.EXPECTATION))


def _show(report: Readiness, files: tuple[Path, Path]) -> None:
    print_rows(
        ["result", "ms", "step"],
        [(step.result, step.duration_ms, f"{step.name}: {step.expected}") for step in report.steps],
    )
    for step in report.steps:
        if step.detail:
            click.echo(shown(f"{step.name}: {step.detail}"), err=True)
    for file in files:
        click.echo(f"wrote {file}")
    click.echo("ready" if report.passed else "not ready")
