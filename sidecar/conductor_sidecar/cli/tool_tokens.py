"""`conductor tools token`: credentials for tools over TCP.

Promise: a token is shown once, by the command that makes it; the workspace keeps its hash, and the
journal who got what. Refusal: no token is taken from or put into the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option

if TYPE_CHECKING:
    from datetime import timedelta

    from conductor_handlers.toolhost.records import AnyScope
    from conductor_sdk.workspace import Workspace

CREATED, REVOKED = "HTTP_CREDENTIAL_CREATED", "HTTP_CREDENTIAL_REVOKED"
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_POSTURES = {"off", "full"}


@click.group()
def token() -> None:
    """Make, list and revoke credentials for tools over TCP.

    The file http.token in the state directory is the credential `default`: it may use whatever
    http.allow_tools allows. Named ones are narrower.
    """


@token.command()
@click.argument("name")
@click.option(
    "--tool", "tools", multiple=True, required=True, metavar="PATTERN",
    help="A tool that it may call: a name, or a pattern as task:*. Repeat for more.",
)  # fmt: skip
@click.option(
    "--scope", "scopes", multiple=True, metavar="SCOPE",
    help="What its calls may touch: read:GLOB, write:GLOB, network:full, network:off or "
    "network:HOST:PORT. Default: no narrower than the workspace.",
)  # fmt: skip
@click.option("--expires-in", metavar="TIME", help="When it ends, as 90d, 12h or 30m.")
@workspace_option
@json_option
def create(
    name: str, tools: tuple[str, ...], scopes: tuple[str, ...], expires_in: str | None,
    workspace: Path, as_json: bool,
) -> None:  # fmt: skip
    """Make a credential and print its token, once."""
    from conductor_sdk.clock import SystemClock
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.http.credential_file import add_credential, make_credential, new_token
    from conductor_terminal.printing import print_json

    opened, now, secret = resolve_workspace(workspace), SystemClock().now(), new_token()
    stored = make_credential(
        name, tools, token=secret, now=now,
        scopes=[_scope(text) for text in scopes] if scopes else None,
        expires_at=None if expires_in is None else now + _duration(expires_in),
    )  # fmt: skip
    facts = {"name": name, "tools": list(tools), "scopes": stored.scopes or "workspace",
             "expires_at": stored.expires_at or "never"}  # fmt: skip
    _journaled(opened, CREATED, facts, lambda: add_credential(opened, stored))
    if as_json:
        print_json({**facts, "token": secret.reveal()})
    else:
        click.echo(secret.reveal())
        click.echo("This is the only time that it is shown.", err=True)


@token.command(name="list")
@workspace_option
@json_option
def list_(workspace: Path, as_json: bool) -> None:
    """List the named credentials; tokens are not kept."""
    from conductor_sdk.clock import SystemClock
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.http.credential_file import read_credentials
    from conductor_terminal.printing import print_json, print_table

    found = read_credentials(resolve_workspace(workspace))
    now = SystemClock().now()
    rows: list[dict[str, Any]] = [
        {"name": one.name, "tools": one.tools, "scopes": one.scopes, "created_at": one.created_at,
         "expires_at": one.expires_at,
         "expired": one.expires is not None and one.expires <= now}
        for one in found
    ]  # fmt: skip
    if as_json:
        print_json({"credentials": rows})
    elif not rows:
        click.echo("No named credential.")
    else:
        print_table(["name", "ends", "tools", "scopes"], [
            (row["name"], "ended" if row["expired"] else row["expires_at"] or "never",
             ", ".join(row["tools"]), _shown(row["scopes"]))
            for row in rows
        ])  # fmt: skip


@token.command()
@click.argument("name")
@workspace_option
def revoke(name: str, workspace: Path) -> None:
    """Forget a credential; a running sidecar refuses it from the next request on."""
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.http.credential_file import remove_credential

    opened = resolve_workspace(workspace)
    _journaled(opened, REVOKED, {"name": name}, lambda: remove_credential(opened, name))
    click.echo(f"Revoked {name}.")


def _journaled(
    workspace: Workspace, event_type: str, facts: Mapping[str, Any], change: Callable[[], None]
) -> None:
    """Change the credentials, and write down that it was done.

    A token that the journal does not know is never shown, so nobody has it.
    """
    import asyncio

    from conductor_sidecar.app import open_journal

    async def run() -> None:
        journal = open_journal(workspace)
        try:
            await journal.create()
            change()
            await journal.append(event_type, "operator", facts)
        finally:
            await journal.close()

    workspace.create()
    asyncio.run(run())


def _duration(text: str) -> timedelta:
    from datetime import timedelta

    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a time as 90d", param_hint="--expires-in")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _scope(text: str) -> AnyScope:
    from pydantic import ValidationError

    from conductor_sdk.manifest_tools import NetworkScope, PathScope

    kind, _, rest = text.partition(":")
    try:
        if kind == "network":
            if rest in _POSTURES:
                return NetworkScope.model_validate({"type": "network", "posture": rest})
            return NetworkScope(type="network", posture="allowlist", allowlist_entries=[rest])
        return PathScope.model_validate({"type": "path", "access": kind, "pattern": rest})
    except ValidationError:
        raise click.BadParameter(
            f"{text!r} is not read:GLOB, write:GLOB or network:…", param_hint="--scope"
        ) from None


def _shown(scopes: list[dict[str, Any]] | None) -> str:
    if scopes is None:
        return "the workspace's"
    return ", ".join(
        f"{scope['access']} {scope['pattern']}"
        if scope["type"] == "path"
        else f"network {scope['posture']}"
        for scope in scopes
    )
