"""`conductor dev token`: who may connect.

Promise: a text is written into a private file, once; rotating keeps the present credential until
the new one is used. Refusal: no text of a credential is printed, and none of a token unless asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor_sidecar.cli.dev_options import with_client
from conductor_sidecar.cli.options import json_option
from conductor_terminal.printing import print_json, print_table

if TYPE_CHECKING:
    from conductor_server.dev_client import DevClient

WEEK_S = 604_800.0


@click.group()
def token() -> None:
    """Issue, list, rotate and revoke enrollment tokens and credentials."""


@token.command()
@with_client
@click.argument("workspace")
@click.option("--ttl", "ttl_s", type=click.FloatRange(1), default=86_400.0, metavar="SECONDS",
              show_default=True, help="How long it may wait to be used.")  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Where to write it; `-` prints it. Default: a file in --directory.")  # fmt: skip
def issue(client: DevClient, workspace: str, ttl_s: float, output: Path | None) -> None:
    """Issue an enrollment token for WORKSPACE into a private file."""
    from conductor_sdk.secret import Secret
    from conductor_server.dev_directory import write_private_file

    body = {"workspace": workspace, "ttl_s": ttl_s}
    answer = client.ask("POST", "/dev/tokens", body)
    if output is not None and str(output) == "-":
        click.echo(answer["token"])
        return
    path = output or client.directory.token_file(workspace)
    write_private_file(path, Secret(answer["token"]))
    click.echo(f"{answer['token_id']}  {path}")


@token.command("list")
@with_client
@json_option
def list_tokens(client: DevClient, *, as_json: bool) -> None:
    """List tokens and credentials, oldest first, without their text."""
    found = client.ask("GET", "/dev/tokens")["tokens"]
    if as_json:
        print_json({"tokens": found})
        return
    rows = [(t["token_id"], t["purpose"], t["state"], t["workspace"]) for t in found]
    print_table(("ID", "PURPOSE", "STATE", "WORKSPACE"), rows)


@token.command()
@with_client
@click.argument("token_id")
def revoke(client: DevClient, token_id: str) -> None:
    """Revoke a token or credential; a credential's link is closed."""
    answer = client.ask("POST", "/dev/tokens/revoke", {"token_id": token_id})
    click.echo(f"{answer['token_id']}  {answer['state']}")


@token.command()
@with_client
@click.argument("workspace")
@click.option("--overlap", "overlap_s", type=click.FloatRange(0, 31_536_000), default=WEEK_S,
              show_default=True, metavar="SECONDS",
              help="How long the present credential works if nobody uses the new one.")  # fmt: skip
@json_option
def rotate(client: DevClient, workspace: str, overlap_s: float, *, as_json: bool) -> None:
    """Let WORKSPACE have a new credential.

    A connected sidecar fetches it now, another one when it connects. The present credential ends
    when the new one is used for the first time, or with the overlap.
    """
    body = {"workspace": workspace, "overlap_s": overlap_s}
    answer = client.ask("POST", "/dev/tokens/rotate", body)
    if as_json:
        print_json(answer)
        return
    click.echo(f"credential {answer['version']} waits for {answer['workspace']}")
