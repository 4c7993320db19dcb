"""`conductor sidekick`: the group, and the commands about the pack itself.

Promise: shortcuts for the pack's tools; `import`, `storage` and `smoke`, which no tool does, say
what they touch. Refusal: no tool is implemented here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from conductor_packs.sidekick.cli.calling import Given, call, calls, report, workspace_options
from conductor_packs.sidekick.cli.channel import channel
from conductor_packs.sidekick.cli.memory import memory
from conductor_packs.sidekick.cli.routine import routine
from conductor_packs.sidekick.cli.show import print_record
from conductor_packs.sidekick.cli.task import task


@click.group()
def sidekick() -> None:
    """Tasks, memory, channels and routines of a workspace."""


for _group in (task, memory, channel, routine):
    sidekick.add_command(_group)


@sidekick.command()
@calls("sidekick:init", print_record)
def init() -> Given:
    """Make the pack's directory; no other command needs it."""
    return {}


@sidekick.command()
@calls("sidekick:status", print_record)
def status() -> Given:
    """Count what is kept."""
    return {}


@sidekick.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write it to a new file instead of printing it.")  # fmt: skip
@click.option("--no-audit", is_flag=True, help="Without the audit trail.")
@workspace_options
def export(out: Path | None, no_audit: bool, workspace: Path | None, as_json: bool) -> None:
    """Give everything that is kept, as JSON with a checksum."""
    from conductor_packs.sidekick.cli.restore import write_export
    from conductor_terminal.printing import print_json

    given = {"include_audit": False} if no_audit else {}
    output = call("sidekick:export", given, workspace)

    def show(data: Mapping[str, Any]) -> None:
        if out is None:
            print_json(data)
        else:
            write_export(out, data)
            click.echo(f"wrote {out}")

    if as_json and out is not None and output.success:
        write_export(out, output.data or {})
    report("sidekick:export", output, show, as_json=as_json)


@sidekick.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Remove first what is there.")
@click.option("--dry-run", is_flag=True, help="Check the file and count, and do nothing.")
@workspace_options
def import_(
    file: Path, replace: bool, dry_run: bool, workspace: Path | None, as_json: bool
) -> None:
    """Restore the export in FILE: all of it, or nothing.

    Refuses a file whose checksum does not fit, and a workspace that holds something, unless
    --replace is given. Writes the pack's storage itself, beside a running daemon or without one.
    """
    from conductor_packs.sidekick.cli.restore import restore

    counts = restore(file, workspace, replace=replace, dry_run=dry_run)
    _counted("would restore" if dry_run else "restored", counts, as_json=as_json)


@sidekick.group()
def storage() -> None:
    """Look after the pack's storage."""


@storage.command()
@click.option("--to", "kind", type=click.Choice(["filesystem", "sqlite"]), required=True)
@workspace_options
def migrate(kind: str, workspace: Path | None, as_json: bool) -> None:
    """Copy everything into the other kind of storage, which must be empty.

    Stop the daemon first; then set storage under [pack.sidekick] in conductor.toml.
    """
    from conductor_packs.sidekick.cli.restore import migrated

    _counted(f"copied to {kind}", migrated(workspace, kind), as_json=as_json)
    if not as_json:
        click.echo(f'next: set storage = "{kind}" under [pack.sidekick] in conductor.toml')


@sidekick.command()
@click.option(
    "--report", "directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Where the report is written; default: sidekick-smoke.",
)  # fmt: skip
@click.option("--own", is_flag=True, help="Start a sidecar in a temporary workspace.")
@workspace_options
def smoke(directory: Path | None, own: bool, workspace: Path | None, as_json: bool) -> None:
    """Walk through the pack's tools over HTTP and write a readiness report.

    Uses the workspace's running sidecar, whose records it adds to, or starts one in a temporary
    workspace where none runs. Exits 5 if a step fails.
    """
    from conductor_packs.sidekick.cli.smoke import run_smoke

    run_smoke(workspace, directory or Path("sidekick-smoke"), own=own, as_json=as_json)


def _counted(what: str, counts: Mapping[str, int], *, as_json: bool) -> None:
    from conductor_terminal.printing import print_json

    if as_json:
        print_json(dict(counts))
        return
    click.echo(f"{what}:")
    print_record(counts, first=())
