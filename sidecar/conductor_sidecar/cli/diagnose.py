"""`conductor diagnose`: one redacted file for whoever helps.

Promise: says what is in it and what is left out; a secret that is found stops it. Refusal: nothing
is sent, and no payload is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor_sidecar.cli.options import config_option, json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.diagnosis.bundle import Written


@click.command()
@workspace_option
@config_option
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .tar.gz or a .zip; default: one with a name of its own, here.",
)
@click.option(
    "--log",
    "log_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Put the end of this log file in; journald is asked anyway.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="PART",
    help="Leave a part out, as doctor or logs; may be repeated.",
)
@click.option("--offline", is_flag=True, help="Ask nothing of the network.")
@json_option
def diagnose(
    workspace: Path, config_file: Path | None, output: Path | None, log_file: Path | None,
    without: tuple[str, ...], *, offline: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a bundle of what is known about this sidecar, secrets taken out.

    \b
    In it: versions, settings, status, checks, names and sizes of files,
    unit files, logs. Not in it: payloads, credentials, values of variables.
    Read it before you send it: texts of errors and logs are in it as they
    were written.
    """
    import os

    from conductor_sdk.clock import SystemClock
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.checkup.scene import Scene
    from conductor_sidecar.diagnosis.bundle import write_bundle
    from conductor_sidecar.diagnosis.parts import PARTS, log_part
    from conductor_terminal.printing import print_json

    parts = [*PARTS, *([log_part(log_file)] if log_file else [])]
    known = {part.key for part in parts}
    for name in without:
        if name not in known:
            raise click.BadParameter(f"{name!r} is none of {', '.join(sorted(known))}",
                                     param_hint="--without")  # fmt: skip
    clock = SystemClock()
    scene = Scene(resolve_workspace(workspace), os.environ, clock, offline, config_file=config_file)
    name = f"conductor-diagnose-{scene.workspace.root.name}-{clock.now():%Y%m%dT%H%M%SZ}.tar.gz"
    file = (output or Path(name)).absolute()
    done = write_bundle(scene, file / name if file.is_dir() else file, parts, without)
    if as_json:
        print_json({"file": str(done.file), "bytes": done.bytes, "manifest": done.manifest})
    else:
        _show(done)


def _show(done: Written) -> None:
    import textwrap

    from conductor_sdk.terminal_text import WIDTH, clean
    from conductor_terminal.printing import print_table, size

    click.echo(f"{clean(str(done.file))}, {size(done.bytes)}\n")
    rows = [
        (each.path, size(each.bytes), f"nothing: {each.missing}" if each.missing else each.why)
        for each in done.manifest.files
    ]
    print_table(["file", "size", "what"], rows)
    click.echo("\nNot in it:")
    for each in done.manifest.left_out:
        for line in textwrap.wrap(each, WIDTH, initial_indent="- ", subsequent_indent="  "):
            click.echo(line)
