"""One call of a tool for a command: through the running daemon, or with the stores.

Promise: either way the same host decides, as the same caller, and leaves the same evidence. A call
is made once: what was lost on the way is reported, never repeated. Refusal: nothing is printed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conductor_sdk.client_tools import RemoteTools
from conductor_sdk.client_wire import SocketConnection
from conductor_sdk.errors import Exit, SidecarUnreachable, UsageWrong
from conductor_sdk.tool_output import ToolOutput
from conductor_sdk.workspace import Workspace, connect_control_socket
from conductor_sidecar.cli.reach import Reach
from conductor_sidecar.errors import CallLost

EXITS: Mapping[str, Exit] = {
    "INVALID_INPUT": Exit.USAGE,
    "TOOL_NOT_FOUND": Exit.NOT_FOUND,
    "NOT_FOUND": Exit.NOT_FOUND,
    "CALL_IN_PROGRESS": Exit.BUSY,
}
"""Exit codes of failed calls; any other is 1."""
DRY_RUN = "dry_run"


def exit_of(output: ToolOutput) -> Exit:
    """Return the exit code of a call's answer."""
    if output.success:
        return Exit.OK
    return EXITS.get(output.error.code if output.error else "", Exit.FAILURE)


def call_tool(
    workspace: Path, tool: str, given: Mapping[str, Any], *,
    key: str | None = None, dry_run: bool = False, config_file: Path | None = None,
) -> ToolOutput:  # fmt: skip
    """Call a tool; a refusal of the host is an answer.

    Args:
        workspace: Where.
        tool: Its name.
        given: The input.
        key: The idempotency key.
        dry_run: Ask for a preview, of a tool that has one.
        config_file: Settings in place of the workspace's, where no daemon runs.

    Raises:
        CallLost: The daemon went away before it had answered.
        UsageWrong: The tool has no preview.
        WorkspaceBusy: Another command holds the stores for longer than 10 s.
    """
    reach = Reach(workspace)

    def online() -> ToolOutput:
        return _through_daemon(reach.workspace, tool, given, key, dry_run=dry_run)

    def offline(lock_wait_s: float) -> ToolOutput:
        return asyncio.run(
            _with_stores(reach.workspace, tool, given, key, dry_run, config_file, lock_wait_s)
        )

    return reach.one_of(online, offline)


def _through_daemon(
    workspace: Workspace, tool: str, given: Mapping[str, Any], key: str | None, *, dry_run: bool
) -> ToolOutput:
    # Asked before the call: once it is on its way, "nobody there" no longer means "not run".
    connect_control_socket(workspace).close()
    tools = RemoteTools(lambda wait_s: SocketConnection(workspace, wait_s))
    try:
        if dry_run:
            schemas = {found.name: found.input_schema for found in tools.list_blocking()}
            given = _previewing(tool, given, schemas)
        return tools.call_blocking(tool, given, key=key)
    except SidecarUnreachable as error:
        raise CallLost(error.detail) from error


async def _with_stores(
    workspace: Workspace, tool: str, given: Mapping[str, Any], key: str | None, dry_run: bool,
    config_file: Path | None, lock_wait_s: float,
) -> ToolOutput:  # fmt: skip
    from conductor_handlers.toolhost.records import Request
    from conductor_sidecar.config import load_configuration
    from conductor_sidecar.logs import configure_command
    from conductor_sidecar.offline import tools_without_daemon
    from conductor_sidecar.tools import local_caller

    configure_command()  # standard output is the answer's alone
    loaded = load_configuration(workspace.root, file=config_file, environ=os.environ)
    async with tools_without_daemon(workspace, loaded.settings, lock_wait_s=lock_wait_s) as tools:
        caller = local_caller()
        if dry_run:
            listings = tools.host.listings(caller)
            given = _previewing(tool, given, {one.name: one.input_schema for one in listings})
        return await tools.host.call(Request(tool, dict(given), caller, key))


def _previewing(
    tool: str, given: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return the input of a preview; an unknown tool's is left to the host to refuse."""
    schema = schemas.get(tool)
    if schema is not None and DRY_RUN not in schema.get("properties", {}):
        raise UsageWrong(
            f"{tool} has no preview, so --dry-run cannot be kept",
            hint=f"see what it takes: conductor tools describe {tool}",
        )
    return {**given, DRY_RUN: True}
