"""`conductor events`: what happens, live.

Promise: one line per record, JSON with `--json`, until Ctrl-C. Refusal: history is `explain`'s.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.feed import Activity


@click.command()
@workspace_option
@json_option
@click.option("--kind", metavar="KIND", help="Only events of this kind.")
@click.option("--count", type=int, metavar="N", help="Stop after N lines.")
def events(workspace: Path, as_json: bool, kind: str | None, count: int | None) -> None:
    """Follow what happens in the running sidecar: received, handled, queued, confirmed, ….

    Needs a running daemon: without one nothing happens, and `conductor explain EVENT_ID` tells
    what did. Stops on Ctrl-C.
    """
    from conductor_sdk.terminal_text import clean
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.activity_stream import follow
    from conductor_terminal.printing import print_line

    shown = 0
    with contextlib.suppress(KeyboardInterrupt):
        for activity in follow(resolve_workspace(workspace)):
            if kind is not None and activity.kind != kind:
                continue
            if as_json:
                print_line(activity)
            else:
                click.echo(clean(_line(activity)))
            shown += 1
            if count is not None and shown >= count:
                return


def _line(activity: Activity) -> str:
    parts = [activity.at[11:23], activity.what.ljust(11)]
    parts += [part for part in (activity.kind, activity.event_id, activity.detail) if part]
    return "  ".join(parts)
