"""`conductor health`: is it alive, is it ready, does it hear; for supervisors and container probes.

Promise: exit code 0 when what was asked for is so, 1 when it is not, 69 when no sidecar answers;
asking changes nothing and opens no store. Refusal: no restart is decided here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from conductor_sdk.errors import Exit
from conductor_sidecar.cli.options import json_option, workspace_option

CHECKS = ("live", "ready", "hearing")


@click.command()
@click.argument("check", type=click.Choice(CHECKS), required=False)
@workspace_option
@json_option
def health(check: str | None, workspace: Path, as_json: bool) -> None:
    """Tell how the running sidecar is, with the reasons.

    live: its own parts move; when not, only a restart helps. ready: events flow. hearing: no beats
    pass without events. Without a word all three are shown, and the exit code is that of ready.

    Exit code 0: it is so; 1: it is not; 69: no sidecar answers.
    """
    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json

    report = Reach(workspace).request("GET", "/v1/health")
    if as_json:
        print_json(report if check is None else report[check])
    else:
        for name in CHECKS if check is None else (check,):
            show(name, report[name])
    if not report[check or "ready"]["ok"]:
        raise SystemExit(int(Exit.FAILURE))


def show(name: str, answer: dict[str, Any]) -> None:
    """Print one answer for people."""
    from conductor_sdk.terminal_text import clean

    click.echo(f"{name:<13} {'yes' if answer['ok'] else 'no'}")
    for reason in answer["reasons"]:
        since = "" if reason["for_s"] is None else f", for {reason['for_s']:g} s"
        click.echo(f"{'':<13} {reason['code']}: {clean(reason['detail'])}{since}")
