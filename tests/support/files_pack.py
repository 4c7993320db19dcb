"""A pack whose tools read and write files, and a real tool host around it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conductor_handlers.registry import load_registry
from conductor_handlers.toolhost.catalogue import build_catalogue
from conductor_handlers.toolhost.host import HostPorts, ToolHost
from conductor_handlers.toolhost.records import PackRoom
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.testing.harness import PackHarness
from conductor_sdk.tool import ToolContext
from conductor_sdk.tool_output import ToolOutput, failed, succeeded
from conductor_state.memory.approvals import MemoryApprovals
from conductor_state.memory.tool_results import MemoryToolResults
from tool_evidence import MemoryEvents, MemoryEvidence

SHARED = "shared/**"
_PATH = {"path": {"type": "string", "minLength": 1, "maxLength": 200}}
_TEXT = {"content": {"type": "string", "maxLength": 200}}
_PRIORITY = {"priority": {"$ref": "#/$defs/priority"}}


async def read(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Return a file's content."""
    try:
        return succeeded({"content": ctx.files.read_bytes(given["path"]).decode("latin-1")})
    except OSError:
        return failed("NOT_FOUND", "There is no such file.")


async def write(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Replace a file's content."""
    try:
        ctx.files.write_bytes(given["path"], given["content"].encode())
    except OSError:
        return failed("NOT_FOUND", "The file cannot be written.")
    return succeeded({"path": given["path"]})


async def rate(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Answer with a number."""
    return succeeded({"rating": len(given.get("priority", "P2")) + given.get("boost", 0)})


def scope(access: str) -> dict[str, str]:
    return {"type": "path", "pattern": SHARED, "access": access}


def _object(required: list[str], *parts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    properties = {name: schema for part in parts for name, schema in part.items()}
    return {"type": "object", "properties": properties, "required": required,
            "additionalProperties": False, **more}  # fmt: skip


PACK = Pack(
    PackManifest.from_mapping({
        "id": "files", "version": "1.0.0",
        "tools": [
            {
                "name": "files:read", "entry": "files_pack:read", "permission": "read",
                "required_scopes": [scope("read")], "input_schema": _object(["path"], _PATH),
                "output_schema": _object(["content"], {"content": {"type": "string"}}),
            },
            {
                "name": "files:write", "entry": "files_pack:write", "permission": "write",
                "required_scopes": [scope("read"), scope("write")],
                "input_schema": _object(["path", "content"], _PATH, _TEXT),
                "output_schema": _object(["path"], _PATH),
            },
            {
                "name": "files:rate", "entry": "files_pack:rate", "permission": "read",
                "required_scopes": [scope("read")],
                "input_schema": _object(
                    [], _PRIORITY, {"boost": {"type": "integer", "minimum": 0, "maximum": 9}},
                    **{"$defs": {"priority": {"enum": ["P0", "P1", "P2"]}}},
                ),
                "output_schema": _object(["rating"], {"rating": {"type": "integer"}}),
            },
        ],
    })
)  # fmt: skip


def files_host(root: Path) -> tuple[ToolHost, MemoryEvidence]:
    """A real tool host with the pack, and what it writes down."""
    registry = load_registry(packs=[PACK], installed=False)
    assert () == registry.refused
    harness = PackHarness(PACK, workspace=root)
    evidence = MemoryEvidence()
    ports = HostPorts(MemoryApprovals(), MemoryToolResults(), evidence, MemoryEvents())
    rooms = {"files": PackRoom(harness.context, None)}
    return ToolHost(build_catalogue(registry, {}), rooms, ports, subject="ws-1"), evidence
