"""`conductor systemd`: the sidecar as a service of systemd.

Promise: what would be written is shown before it is, and the next commands are printed; units can
be printed on a machine that has no systemd. Refusal: nothing is started, enabled or reloaded, and
a file of somebody else is never overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from conductor_sidecar.systemd.installing import Change
    from conductor_sidecar.systemd.units import Manager, Wanted

F = TypeVar("F", bound=Callable[..., Any])
CREDSTORE = "/etc/credstore"


def _unit_options(function: F) -> F:
    """Add the options that say which units; read them with `_wanted`."""
    path = click.Path(path_type=Path)
    for option in reversed((
        workspace_option,
        click.option("--host", is_flag=True,
                     help="The host's own sidecar, in /var/lib/conductor-sidecar."),
        click.option("--user/--system", "user_manager", default=False,
                     help="Under the user's manager, or the system's (default)."),
        click.option("--as", "user", metavar="USER",
                     help="Whom it runs as; default: the owner of the workspace."),
        click.option("--listen", metavar="HOST:PORT",
                     help="A socket unit for the tools, on an address of this machine."),
        click.option("--url", help="The conductor's address, for the first enrollment."),
        click.option("--program", type=path, metavar="PATH",
                     help="The installed conductor; default: this one."),
        click.option("--systemd", "version", type=click.IntRange(min=232), metavar="VERSION",
                     help="The systemd that reads them; default: this machine's."),
    )):  # fmt: skip
        function = option(function)
    return function


def _change_options(function: F) -> F:
    for option in (
        json_option,
        click.option("--root", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
                     default=Path("/"), help="Where / is, for images and packages."),
        click.option("--dry-run/--yes", "dry_run", default=True,
                     help="Only show what would change (default), or do it."),
    ):  # fmt: skip
        function = option(function)
    return function


@click.group()
def systemd() -> None:
    """Run the sidecar as a service of systemd; see docs/how-to/systemd.md."""


@systemd.command("print")
@_unit_options
@click.pass_context
def print_units(ctx: click.Context, /, **options: Any) -> None:
    """Print the units; needs no systemd and writes nothing."""
    from conductor_sidecar.systemd.units import render

    for file in render(_wanted(ctx, options)):
        click.echo(f"# /{file.path}\n{file.text}")


@systemd.command()
@_unit_options
@_change_options
@click.pass_context
def install(
    ctx: click.Context, /, *, root: Path, dry_run: bool, as_json: bool, **options: Any
) -> None:
    """Write the units; without --yes, show what would be written.

    Running it again changes nothing. Files that this command did not write, or that were edited,
    are left alone, and then none is written.
    """
    from conductor_sidecar.systemd.installing import apply, plan_install
    from conductor_sidecar.systemd.units import render

    wanted = _wanted(ctx, options)
    changes = plan_install(render(wanted), root)
    if not dry_run:
        apply(changes)
    _show(changes, _after_install(wanted), dry_run=dry_run, as_json=as_json)


@systemd.command()
@_unit_options
@_change_options
@click.pass_context
def uninstall(
    ctx: click.Context, /, *, root: Path, dry_run: bool, as_json: bool, **options: Any
) -> None:
    """Remove the units; without --yes, show what would be removed.

    The workspace, its state and the user stay. Exit code 6: the unit is still enabled.
    """
    from dataclasses import replace

    from conductor_sidecar.systemd.installing import apply, plan_uninstall
    from conductor_sidecar.systemd.units import NAME, NOTIFY_RELOAD, render, unit_name

    # The workspace and its user may be gone already.
    options["user"] = NAME
    wanted = _wanted(ctx, options)
    # Whatever any earlier installation may have written.
    every = replace(wanted, listen="127.0.0.1:1", url="http://localhost", version=NOTIFY_RELOAD)
    changes = plan_uninstall(render(every), root, unit_name(wanted))
    if not dry_run:
        apply(changes)
    reload = f"{_systemctl(wanted)} daemon-reload"
    _show(changes, [reload], dry_run=dry_run, as_json=as_json)


def _wanted(ctx: click.Context, options: dict[str, Any]) -> Wanted:
    from click.core import ParameterSource

    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.systemd.enquiry import enquire

    host, user_manager = options.pop("host"), options.pop("user_manager")
    workspace: Path | None = options.pop("workspace")
    if host:
        if ctx.get_parameter_source("workspace") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--host has a workspace of its own")
        workspace = None
    elif workspace is not None:
        # For an image it may be a directory that is not here; then its user must be named.
        named = workspace.is_absolute() and not workspace.exists() and options["user"]
        workspace = workspace if named else resolve_workspace(workspace).root
    manager: Manager = "user" if user_manager else "system"
    return enquire(workspace=workspace, manager=manager, **options)


def _systemctl(wanted: Wanted) -> str:
    return "systemctl --user" if wanted.manager == "user" else "systemctl"


def _after_install(wanted: Wanted) -> list[str]:
    """Return the commands that make a service of the files."""
    import shlex

    from conductor_sdk.workspace import Workspace
    from conductor_sidecar.systemd.units import unit_name

    service = unit_name(wanted)
    units = [service] if wanted.listen is None else [unit_name(wanted, "socket"), service]
    named = " ".join(shlex.quote(unit) for unit in units)
    commands: list[str] = []
    if wanted.workspace is None:
        commands += ["systemd-sysusers", "systemd-tmpfiles --create"]
    enrolled = wanted.workspace is not None and Workspace(wanted.workspace).enrollment.exists()
    if not enrolled and wanted.manager == "system":
        stem = service.removesuffix(".service")
        place = shlex.quote(f"{CREDSTORE}/{stem}.enrollment-token")
        commands.append(f"install -D -m 0600 TOKEN_FILE {place}")
    elif not enrolled:
        url = shlex.quote(wanted.url or "https://conductor.example")
        commands.append(f"conductor enroll {url} --token-file TOKEN_FILE")
    commands += [f"{_systemctl(wanted)} daemon-reload",
                 f"{_systemctl(wanted)} enable --now {named}"]  # fmt: skip
    if wanted.manager == "user":
        commands.append("loginctl enable-linger")
    return commands


def _show(changes: Sequence[Change], following: list[str], *, dry_run: bool, as_json: bool) -> None:
    from conductor_sdk.terminal_text import clean
    from conductor_terminal.printing import print_json

    acts = any(change.acts for change in changes)
    if as_json:
        files = [{"path": str(c.path), "state": c.state, "diff": c.diff()} for c in changes]
        print_json({"dry_run": dry_run, "files": files, "next": following})
        return
    for change in changes:
        if dry_run and change.acts:
            click.echo("\n".join(clean(line) for line in change.diff().split("\n")), nl=False)
    done = {"create": "created", "update": "updated", "remove": "removed"}
    for change in changes:
        word = change.state if dry_run else done.get(change.state, change.state)
        click.echo(clean(f"{word:<9}  {change.path}"))
    if dry_run and acts:
        click.echo("Nothing is changed yet; do it with --yes. Then:")
    for command in following:
        click.echo(clean(f"  next: {command}"))
