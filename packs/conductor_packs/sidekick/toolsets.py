"""The tools as the tool host takes them: 16 in the core tool set, 23 in the full one.

Promise: both are drawn from the table of descriptors. Refusal: an unknown tool set is not guessed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from conductor_packs.sidekick.descriptors import ToolDescriptor, tools_of
from conductor_packs.sidekick.schemas import Toolset, input_schema
from conductor_sdk.manifest_tools import ToolManifest


def tool_fields(tool: ToolDescriptor[Any], toolset: Toolset) -> dict[str, Any]:
    """Return a tool as a manifest writes it, without what is the default."""
    fields = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "entry": tool.entry,
        "permission": tool.permission,
        "required_scopes": [scope.model_dump(mode="json") for scope in tool.declared],
        "required_approvals": list(tool.approvals) if toolset == "full" else [],
        "destructive": tool.destructive,
        "idempotent": tool.idempotent,
        "input_schema": input_schema(tool.inputs, toolset),
        "output_schema": tool.output,
    }
    return {name: value for name, value in fields.items() if value not in (False, [])}


@functools.cache
def tool_manifests(toolset: Toolset) -> tuple[ToolManifest, ...]:
    """Return the tools of a tool set, checked; the same ones each time."""
    return tuple(
        ToolManifest.model_validate(tool_fields(tool, toolset)) for tool in tools_of(toolset)
    )


def toolset_of(config: Mapping[str, Any]) -> Toolset:
    """Return the tool set that the pack's section of the configuration asks for.

    Raises:
        ToolsetUnknown: It names another than `core` and `full`.
    """
    match config.get("toolset", "core"):
        case "core":
            return "core"
        case "full":
            return "full"
        case other:
            from conductor_packs.sidekick.errors import ToolsetUnknown

            raise ToolsetUnknown(repr(other))
