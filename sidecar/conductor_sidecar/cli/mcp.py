"""`conductor mcp`: the workspace's tools for an MCP client, on standard input and output.

Promise: nothing but the protocol on standard output; it forwards to the running daemon and finds
it again after a restart. Refusal: no tool runs here and no daemon is started.
"""

from __future__ import annotations

from pathlib import Path

import click

from conductor_sidecar.cli.options import config_option, workspace_option


@click.command()
@workspace_option
@config_option
@click.option(
    "--tools", "patterns", multiple=True, metavar="PATTERN",
    help="Offer only matching tools: task:* or sidekick_memory_*. May be repeated.",
)  # fmt: skip
@click.option(
    "--toolset", metavar="NAME", help="Offer only the tools of one tool set, for example core."
)
def mcp(
    workspace: Path, config_file: Path | None, patterns: tuple[str, ...], toolset: str | None
) -> None:
    """Serve the tools of this workspace to an MCP client.

    For a client's configuration, not for a terminal: it speaks the Model Context Protocol on
    standard input and output until the client leaves. Fewer tools leave a model more room.

    Without a running `conductor sidecar` the tools are listed and calls say how to start one.
    """
    import asyncio
    import os

    from conductor_sdk.workspace import resolve_workspace
    from conductor_sidecar.config import load_configuration
    from conductor_sidecar.logs import configure

    found = resolve_workspace(workspace)
    settings = load_configuration(found.root, file=config_file, environ=os.environ).settings
    configure(settings.logs)

    # After the refusals that need nothing of it: the protocol's library takes half a second.
    from conductor_sidecar import __version__
    from conductor_sidecar.mcp.line import DaemonLine
    from conductor_sidecar.mcp.offline import Installed
    from conductor_sidecar.mcp.stdio import serve_stdio

    installed = Installed(found, settings, patterns, toolset)
    line = DaemonLine(found, __version__, installed.words)
    asyncio.run(serve_stdio(line, installed, __version__))
