"""`conductor enroll`: from a token file to the workspace's credential.

Promise: the enrollment file is replaced whole or not at all, and the journal says when. Refusal:
a token is never taken from the command line or the environment, where other users can see it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from conductor_sidecar.cli.options import json_option, workspace_option


@click.command()
@click.argument("url")
@click.option(
    "--token-file", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="The enrollment token: one line, mode 0600, no symbolic link.",
)  # fmt: skip
@click.option("--ca-file", metavar="FILE", help="PEM file of extra trust anchors for https://.")
@click.option("--allow-plaintext", is_flag=True, help="Allow http:// to another machine.")
@workspace_option
@json_option
def enroll(
    url: str, token_file: Path, ca_file: str | None, allow_plaintext: bool, workspace: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Exchange an enrollment token for this workspace's credential.

    URL is the conductor's address. Writes .lumenflow/state/conductor/enrollment.json, mode 0600.
    The token can be used once; delete its file afterwards.

    Exit code 77: the token was refused, here or by the conductor; the message says how to mend it.
    """
    import asyncio

    from conductor_sdk.clock import SystemClock
    from conductor_sdk.terminal_text import clean
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar import app, enrollment
    from conductor_terminal.printing import print_json

    target = resolve_workspace(workspace)
    base = enrollment.check_url(url, allow_plaintext=allow_plaintext)
    token = enrollment.read_token_file(token_file, app.read_private, SystemClock())
    # A token works once: it is not spent before there is a place for what it brings.
    enrollment.try_writing(target)
    grant = enrollment.request_grant(base, token.text, ca_file=ca_file)
    asyncio.run(app.enroll_workspace(target, grant, base))
    facts: dict[str, Any] = {
        "workspace": str(target.root), "subject": grant.subject, "link": grant.link,
        "expires_at": grant.expires_at,
    }  # fmt: skip
    if as_json:
        print_json(facts)
        return
    click.echo(clean(f"Enrolled as {grant.subject}; link {grant.link}"))
    click.echo("  next: conductor sidecar")
