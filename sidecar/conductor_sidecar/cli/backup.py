"""`conductor backup` and `conductor restore`: the state of a workspace in one file, and back.

Promise: a backup is taken beside a running sidecar; a restore shows what it would do until it is
told to do it. Refusal: no restore while a sidecar runs, and no credential in a backup that was not
asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.backup.manifest import Manifest
    from conductor_sidecar.backup.restore import Restored
    from conductor_sidecar.backup.take import Taken

SNAPSHOT_TIMEOUT_S = 600.0
LOCK_WAIT_S = 10.0


@click.command()
@click.argument("target", type=click.Path(path_type=Path), default=Path(), metavar="[DIR|FILE]")
@workspace_option
@click.option(
    "--with-credential",
    is_flag=True,
    help="Put the enrollment and the tokens in; keep such a file like a password.",
)
@json_option
def backup(target: Path, workspace: Path, *, with_credential: bool, as_json: bool) -> None:
    """Write the state of this workspace into one file, also while the sidecar runs.

    \b
    In it: replay log, outbox and dead letters, the journal with the plans,
    what packs store, and a manifest with a SHA-256 of each file. Not in it,
    unless asked for: the enrollment and the tokens. It holds payloads: mode
    0600, keep it so.
    """
    from conductor_sdk.clock import SystemClock
    from conductor_sidecar.backup.take import name_file, take_backup
    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json

    reach, clock = Reach(workspace), SystemClock()
    file = name_file(target.absolute(), reach.workspace, clock)

    def taken(copy: Callable[[Path], None]) -> Taken:
        return take_backup(reach.workspace, file, copy, clock, with_credential=with_credential)

    def offline(wait_s: float) -> Taken:
        from conductor_state.snapshot import copy_owned

        with _locked(reach.workspace, "conductor backup", wait_s):
            return taken(lambda copy: copy_owned(reach.workspace.sidecar_db, copy))

    def online() -> Taken:
        reach.request("GET", "/v1/status")  # before anything is written: is there a sidecar?
        return taken(lambda copy: _snapshot(reach.workspace, copy))

    done = reach.one_of(online, offline)
    if as_json:
        print_json({"file": str(done.file), "bytes": done.bytes, "manifest": done.manifest})
    else:
        _show_taken(done)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@workspace_option
@click.option(
    "--with-credential", is_flag=True, help="Take the enrollment and the tokens of the backup too."
)
@click.option(
    "--dry-run/--yes",
    "dry_run",
    default=True,
    help="Only check, and show what would change (default), or do it.",
)
@json_option
def restore(
    file: Path, workspace: Path, *, with_credential: bool, dry_run: bool, as_json: bool
) -> None:
    """Put a backup in the place of this workspace's state; the sidecar must be stopped.

    \b
    All of it or nothing; what is there now is moved aside, not deleted.
    Events that came after the backup come again if the conductor still has
    them, and handlers run again for them: read docs/how-to/backup.md first.
    Exit codes: 0 done, or it can be done, 4 not a whole backup,
                6 a sidecar runs, 78 a newer program wrote it.
    """
    from conductor_sdk.clock import SystemClock
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.backup.restore import restore_backup
    from conductor_terminal.printing import print_json

    found = resolve_workspace(workspace)
    found.create()
    with _locked(found, "conductor restore", 0.0):
        done = restore_backup(
            found, file.absolute(), SystemClock(), dry_run=dry_run,
            with_credential=with_credential,
        )  # fmt: skip
    if as_json:
        aside = None if done.aside is None else str(done.aside)
        steps = [step.target for step in done.steps if step.staged]
        print_json({"dry_run": dry_run, "replaces": steps, "set_aside": aside,
                    "entries_now": done.entries_now, "manifest": done.manifest})  # fmt: skip
    else:
        _show_restored(done, dry_run=dry_run)


def _locked(workspace: Any, command: str, wait_s: float) -> Any:
    """Hold the workspace's lock for the length of a block, outside of any event loop."""
    import asyncio
    import contextlib
    from collections.abc import Generator

    from conductor_sidecar.app import workspace_lock

    @contextlib.contextmanager
    def holding() -> Generator[None]:
        lock = workspace_lock(workspace, command)
        asyncio.run(lock.acquire(wait_s))
        try:
            yield
        finally:
            lock.release()

    return holding()


def _snapshot(workspace: Any, copy: Path) -> None:
    """Ask the daemon for a copy of its database, and take it."""
    import msgspec

    from conductor_sdk.client import ask

    answer = ask(workspace, "POST", "/v1/snapshot", b"{}", timeout_s=SNAPSHOT_TIMEOUT_S)
    place = workspace.state_dir / msgspec.json.decode(answer)["directory"]
    try:
        shutil.copyfile(place / workspace.sidecar_db.name, copy)
        copy.chmod(0o600)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _show_taken(done: Taken) -> None:
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import size

    click.echo(f"{clean(str(done.file))}, {size(done.bytes)}")
    _show_manifest(done.manifest)
    for each in done.manifest.left_out:
        click.echo(f"not in it      {each}")


def _show_manifest(manifest: Manifest) -> None:
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import size

    where = f"#{manifest.sequence} of epoch {clean(manifest.epoch) or '-'}"
    click.echo(f"of             {manifest.created}, cursor {where}")
    for item in manifest.items:
        if item.store != "folder":
            click.echo(f"{item.store:<14} {size(item.bytes):>10}  {clean(item.path)}")
    folder = [item for item in manifest.items if item.store == "folder"]
    if folder:
        total = size(sum(item.bytes for item in folder))
        click.echo(f"{'folder':<14} {total:>10}  {len(folder)} files of packs")


def _show_restored(done: Restored, *, dry_run: bool) -> None:
    from conductor_sdk.terminal_text import clean

    _show_manifest(done.manifest)
    journal = f"{done.entries_now} entries now, {done.manifest.journal_entries} in the backup"
    click.echo(f"journal        {journal}")
    verb = "would take" if dry_run else "took"
    count = sum(1 for step in done.steps if step.staged)
    click.echo(f"{count} files or directories of the backup {verb} the place of those of now.")
    if dry_run:
        click.echo("Nothing was changed; to do it: conductor restore FILE --yes")
    else:
        click.echo(f"What was there: {clean(str(done.aside))}")
        click.echo("Next: conductor doctor, then conductor sidecar")
