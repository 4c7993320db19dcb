"""`conductor tools`: the tools that the loaded packs declare.

Promise: what is listed stands in a manifest. Refusal: nothing is called here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from conductor_sidecar.cli.options import config_option, json_option, workspace_option


@click.group()
def tools() -> None:
    """Look at the tools that packs bring."""


@tools.command(name="list")
@workspace_option
@config_option
@json_option
def list_(workspace: Path, config_file: Path | None, as_json: bool) -> None:
    """List every tool of the loaded packs, with its permission and scopes.

    Needs neither enrollment nor a running daemon.
    """
    import os

    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.cli.output import print_json, print_table
    from conductor_sidecar.config import load_configuration
    from conductor_sidecar.pack_selection import selected_packs

    loaded = load_configuration(
        resolve_workspace(workspace).root, file=config_file, environ=os.environ
    )
    found: list[dict[str, Any]] = [
        {"pack": pack.slug, **tool.model_dump(mode="json")}
        for pack in selected_packs(loaded.settings).packs
        for tool in pack.pack.manifest.tools
    ]
    if as_json:
        print_json({"tools": found})
    elif not found:
        click.echo("No loaded pack declares a tool.")
    else:
        rows = [(t["pack"], t["name"], t["permission"], _scopes(t)) for t in found]
        print_table(["pack", "tool", "permission", "scopes"], rows)


def _scopes(tool: dict[str, Any]) -> str:
    return ", ".join(
        f"{scope['access']} {scope['pattern']}"
        if scope["type"] == "path"
        else f"network {scope['posture']}"
        for scope in tool["required_scopes"]
    )
