"""`conductor rotate`: a new credential for the running sidecar, now.

Promise: it returns when the new credential is in use, or says why it is not; the present one then
stays. Refusal: no credential is printed, and without a running sidecar nothing is done.
"""

from __future__ import annotations

from pathlib import Path

import click

from conductor_sidecar.cli.options import json_option, workspace_option


@click.command()
@workspace_option
@json_option
def rotate(workspace: Path, as_json: bool) -> None:
    """Get a new credential from the conductor and use it.

    The running sidecar fetches it, connects with it, and only then forgets the present one. The
    journal keeps a record: ROTATED.
    """
    from conductor_sidecar.cli.reach import Reach
    from conductor_terminal.printing import print_json

    done = Reach(workspace).request("POST", "/v1/rotate")
    if as_json:
        print_json(done)
        return
    click.echo(f"credential {done['generation']} is in use  ({done['fingerprint']})")
