"""A small pack whose tools do what a test of the MCP surface needs to see."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor_sdk.manifest import PackManifest
from conductor_sdk.manifest_tools import NetworkScope, PathScope, ToolManifest
from conductor_sdk.pack import Pack
from conductor_sdk.tool import ToolContext
from conductor_sdk.tool_output import ToolOutput, failed, succeeded

SLUG = "notes"
LONG = "note:" + "very_" * 15 + "long"


@dataclass
class Desk:
    """What the tools did; a test puts a fresh one into `desk`."""

    titles: list[str] = field(default_factory=list)
    callers: list[tuple[str, str]] = field(default_factory=list)
    """Actor and surface of each call."""
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0


desk = Desk()


async def add(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    call = getattr(ctx, "call", None)
    if call is not None:
        desk.callers.append((call.actor, call.surface))
    if given.get("dry_run"):
        return succeeded({"title": given["title"], "dry_run": True})
    desk.titles.append(given["title"])
    return succeeded({"title": given["title"], "count": len(desk.titles)})


async def list_(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    return succeeded({"titles": list(desk.titles)})


async def drop(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    desk.titles.clear()
    return succeeded({})


async def find(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    return failed("NOT_FOUND", "No such note.", details={"title": given["title"]})


async def wait(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    desk.waiting.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        desk.cancelled += 1
        raise
    return succeeded({})


def _object(**properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name != "dry_run"]
    return {
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": False,
    }  # fmt: skip


TEXT = {"type": "string", "minLength": 1}
FLAG = {"type": "boolean"}


def _tool(name: str, entry: str, **more: Any) -> ToolManifest:
    access = "read" if more.get("permission", "read") == "read" else "write"
    scope = PathScope(type="path", pattern="notes/**", access=access)
    more.setdefault("required_scopes", [scope])
    return ToolManifest(name=name, entry=f"notes_pack:{entry}", **more)


TOOLS = (
    _tool(
        "note:add", "add", permission="write", title="Add a note", description="Adds a note.",
        input_schema=_object(title=TEXT, dry_run=FLAG),
    ),
    _tool(
        "note:list", "list_", description="Lists notes.", idempotent=True, input_schema=_object(),
        output_schema={
            "type": "object",
            "properties": {"titles": {"type": "array", "items": {"type": "string"}}},
            "required": ["titles"],
        },
    ),
    _tool(
        "note:drop", "drop", permission="admin", description="Drops all notes.", destructive=True,
        required_approvals=["notes:drop"], input_schema=_object(),
    ),
    _tool("note:find", "find", input_schema=_object(title=TEXT)),
    _tool(
        "note:wait", "wait", deadline_s=30,
        required_scopes=[NetworkScope(type="network", posture="full")],
    ),
    _tool(LONG, "list_"),
    _tool("note:hidden", "list_", internal_only=True),
)  # fmt: skip

pack = Pack(manifest=PackManifest(id=SLUG, version="1.0.0", tools=TOOLS))
