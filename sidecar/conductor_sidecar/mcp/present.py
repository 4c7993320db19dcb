"""How tools and their answers look to an MCP client.

Promise: an answer is the host's envelope, once as structured content and once as short JSON text;
a refusal is a result with `isError`, never a protocol error, so that the model can read it.
Refusal: nothing is checked here; input and output are checked by the tool host, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations

from conductor_handlers.toolhost.records import Listing
from conductor_sdk.tool_output import ToolOutput

PREFIX = "conductor.sidecar/"
"""Of our keys in `_meta`."""
_ANYTHING: dict[str, Any] = {"type": "object"}


def tool_of(name: str, listing: Listing) -> Tool:
    """Return a tool as MCP lists it."""
    return Tool(
        name=name,
        title=listing.title,
        description=_description(listing),
        input_schema=_object_schema(listing.input_schema) or _ANYTHING,
        output_schema=_useful(listing.output_schema),
        annotations=ToolAnnotations(
            read_only_hint=listing.permission == "read",
            destructive_hint=listing.destructive,
            idempotent_hint=listing.idempotent,
            open_world_hint=_reaches_out(listing),
        ),
    )


def result_of(output: ToolOutput) -> CallToolResult:
    """Return a call's answer as MCP carries it."""
    body: dict[str, Any] = {}
    if output.error is not None:
        body = {"code": output.error.code, "message": output.error.message}
        if output.error.details:
            body["details"] = output.error.details
        if output.data:
            body["data"] = output.data
    elif output.data is not None:
        body = output.data
    encoded = msgspec.json.encode(body)
    meta = {PREFIX + key: value for key, value in (output.metadata or {}).items()}
    return CallToolResult(
        content=[TextContent(type="text", text=encoded.decode())],
        structured_content=msgspec.json.decode(encoded),  # JSON, whatever the tool has put there
        is_error=not output.success,
        _meta=meta or None,
    )


def _description(listing: Listing) -> str | None:
    if not listing.required_approvals:
        return listing.description
    leave = "Each call needs a person's approval."
    return f"{listing.description} {leave}" if listing.description else leave


def _object_schema(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    # Arguments and structured contents are objects anyway; one schema that does not say so would
    # make the whole list invalid for older clients.
    return None if schema is None else {**schema, "type": "object"}


def _useful(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A schema that names no property tells a client nothing."""
    if not schema or not schema.get("properties") or schema.get("type", "object") != "object":
        return None
    return _object_schema(schema)


def _reaches_out(listing: Listing) -> bool:
    return any(
        scope.get("type") == "network" and scope.get("posture") != "off"
        for scope in listing.required_scopes
    )
