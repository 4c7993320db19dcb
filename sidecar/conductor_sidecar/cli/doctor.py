"""`conductor doctor`: checks of this workspace and machine.

Promise: every finding that is not ok names the next command. Refusal: nothing is changed.
"""

from __future__ import annotations

from pathlib import Path

import click

from conductor_sidecar.cli.options import json_option, workspace_option

MARKS = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "skip": "-"}


@click.command()
@workspace_option
@json_option
def doctor(workspace: Path, as_json: bool) -> int:
    """Check this workspace and the machine; needs neither enrollment nor a running daemon.

    Exit code 0: nothing failed (warnings may stand); 1: something did.
    """
    import asyncio
    import os

    from conductor_sdk.clock import SystemClock
    from conductor_sdk.errors import Exit
    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.cli.output import print_json, print_table
    from conductor_sidecar.doctor import Doctor

    examined = Doctor(resolve_workspace(workspace), os.environ, SystemClock()).examine()
    checks = asyncio.run(examined)
    if as_json:
        print_json({"checks": checks})
    else:
        rows = [
            (
                MARKS[c.state],
                c.name,
                c.detail + (f"; next: {c.hint.removeprefix('run: ')}" if c.hint else ""),
            )
            for c in checks
        ]
        print_table(["", "check", "finding"], rows)
    failed = any(check.state == "fail" for check in checks)
    return int(Exit.FAILURE if failed else Exit.OK)
