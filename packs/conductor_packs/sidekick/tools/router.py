"""The tools by name, for those who embed the pack without a tool host.

Promise: a name that is not one of the group's is answered with `UNKNOWN_TOOL`. Refusal: no policy,
approval or journal is applied here; the daemon's tool host is the governed way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor_packs.sidekick import codes
from conductor_packs.sidekick.descriptors import DESCRIPTORS, Group
from conductor_sdk.tool import Tool, ToolContext
from conductor_sdk.tool_entry import load_entry
from conductor_sdk.tool_output import ToolOutput, failed


def tool_named(name: str, group: Group | None = None) -> Tool | None:
    """Return a tool of the full tool set; None where there is none of that name, in that group."""
    for descriptor in DESCRIPTORS:
        if descriptor.name == name and group in {None, descriptor.group}:
            return load_entry(descriptor.entry)
    return None


async def route(
    name: str, given: Mapping[str, Any], ctx: ToolContext, *, group: Group | None = None
) -> ToolOutput:
    """Call a tool by name, or answer `UNKNOWN_TOOL`."""
    tool = tool_named(name, group)
    if tool is None:
        return failed(codes.UNKNOWN_TOOL, f"there is no tool {name or '(no name)'}")
    return await tool(given, ctx)
