"""The tools of single flows.

Promise: what is taken is checked against the flow as it is now; the call then goes through
flows:ask, or flows:run where the flow changes something, so that whatever a workspace decides about
these holds here too. Refusal: a flow that was listed as one that changes nothing is not run once it
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor_packs.flows.context import FlowsContext
from conductor_packs.flows.taking import Taking, labelled
from conductor_packs.flows.tools import told_of
from conductor_sdk.errors import ConductorError
from conductor_sdk.tool import ToolContext
from conductor_sdk.tool_output import ToolOutput, failed


async def run(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Run the flow that the tool is named after."""
    return await _through("flows:run", fields, ctx)


async def ask(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Run the flow that the tool is named after, if it changes nothing."""
    return await _through("flows:ask", fields, ctx)


async def _through(door: str, fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    own: FlowsContext = ctx.pack
    flow, _, label = ctx.call.tool.partition(":")[2].partition(".")
    try:
        loaded = await own.engine.shelf.get(flow)
        # One that is there no more is told as unknown, under the name that is left of it.
        taking = Taking.of(loaded, labelled(loaded).get(label, label or None))
    except ConductorError as error:
        return told_of(error)
    problems = taking.problems(fields)
    if problems:
        first = problems[0]
        text = f"{first['pointer'] or '/'}: {first['message']}"
        return failed(
            "INVALID_INPUT", f"the input of {ctx.call.tool} is invalid: {text}",
            details={"problems": problems},
        )  # fmt: skip
    return await ctx.tools.call(door, taking.request(fields))
