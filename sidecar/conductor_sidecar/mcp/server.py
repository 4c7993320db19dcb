"""An MCP server over a `Front`: what lists the tools and runs the calls.

Promise: the protocol in all its versions is the official SDK's; a long call tells a client that
asked for it every few seconds that it is still running. Refusal: no tool is known here, and the
process's logging is left as it is (which the SDK's high-level server would not do).

Importing this module imports the SDK, which takes half a second: import it late.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
)

PROGRESS_S = 5.0
NAME = "conductor"
TITLE = "Conductor Sidecar"
INSTRUCTIONS = (
    "Tools of the packs in this workspace. A call that was not done answers with isError and a "
    "code. On APPROVAL_REQUIRED ask the user to run `conductor approvals grant` with the "
    "request_id in details, then repeat exactly the same call."
)


class Front(Protocol):
    """Where the tools are: in this process, or behind the control socket."""

    async def list_tools(self, ctx: ServerRequestContext[Any, Any]) -> ListToolsResult:
        """List the tools that this client may see."""
        ...

    async def call_tool(
        self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        """Run one call; cancelled when the client cancels its request."""
        ...


def build_server(front: Front, version: str) -> Server[Any]:
    """Return a server that any number of connections may share."""

    async def list_tools(
        ctx: ServerRequestContext[Any, Any],
        params: PaginatedRequestParams | None,  # noqa: ARG001  one page holds them all
    ) -> ListToolsResult:
        return await front.list_tools(ctx)

    async def call_tool(
        ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams
    ) -> CallToolResult:
        return await front.call_tool(ctx, params)

    return Server(
        NAME,
        version=version,
        title=TITLE,
        instructions=INSTRUCTIONS,
        # No argument of a tool is mirrored in a header, so there is nothing to compare.
        get_tool_input_schema=lambda _: None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


@contextlib.asynccontextmanager
async def progress(ctx: ServerRequestContext[Any, Any]) -> AsyncGenerator[None]:
    """Report the seconds that have passed while the block runs, to a client that asked."""
    if not ctx.meta or "progress_token" not in ctx.meta:
        yield
        return
    reporting = asyncio.create_task(_report(ctx), name="mcp.progress")
    try:
        yield
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


async def _report(ctx: ServerRequestContext[Any, Any]) -> None:
    passed_s = 0.0
    while True:
        # Not at once: a call that is done within this time is answered in one piece.
        await asyncio.sleep(PROGRESS_S)
        passed_s += PROGRESS_S
        await ctx.session.report_progress(passed_s, message="running")
