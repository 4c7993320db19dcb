"""The front of `conductor mcp`: everything goes to the running daemon.

Promise: with no daemon the installed packs' tools are listed all the same, and a call answers what
to type; the next call after a daemon has come finds it. Refusal: no tool runs in this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, Tool

from conductor_sdk.errors import ConductorError, SidecarUnreachable
from conductor_sdk.tool_output import failed
from conductor_sidecar.mcp.errors import McpInterrupted, McpRefused
from conductor_sidecar.mcp.line import DaemonLine
from conductor_sidecar.mcp.present import result_of

_RESERVED = "io.modelcontextprotocol/"
"""Prefix of the keys in `_meta` that belong to one connection and are not passed on."""


class BridgeFront:
    """Tools behind the control socket."""

    def __init__(self, line: DaemonLine, offline: Callable[[], Sequence[Tool]]) -> None:
        """Describe the bridge.

        Args:
            line: To the daemon.
            offline: Reads the tools of the installed packs; blocks, so it runs in a thread.
        """
        self._line = line
        self._offline = offline

    async def list_tools(self, ctx: ServerRequestContext[Any, Any]) -> ListToolsResult:  # noqa: ARG002  the same for every client
        """List the daemon's tools, or those that the installed packs would bring."""
        try:
            result = await self._line.request("tools/list", {})
        except (SidecarUnreachable, McpInterrupted):
            return ListToolsResult(tools=list(await asyncio.to_thread(self._offline)))
        return ListToolsResult.model_validate(result, by_name=False)

    async def call_tool(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: CallToolRequestParams,  # noqa: ARG002  passed on as it came
    ) -> CallToolResult:
        """Pass one call on."""

        async def on_progress(step: Mapping[str, Any]) -> None:
            await ctx.session.report_progress(
                step.get("progress", 0), step.get("total"), step.get("message")
            )

        try:
            result = await self._line.request("tools/call", _passed_on(ctx.params), on_progress)
        except (SidecarUnreachable, McpInterrupted, McpRefused) as error:
            return _refused(error)
        return CallToolResult.model_validate(result, by_name=False)


def _passed_on(params: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(params or {})
    meta: Mapping[str, Any] = given.get("_meta") or {}
    given["_meta"] = {key: meta[key] for key in meta if not key.startswith(_RESERVED)}
    return given


def _refused(error: ConductorError) -> CallToolResult:
    text = f"{error.message} ({error.hint})"
    return result_of(failed(error.code, text, details={"hint": error.hint}))
