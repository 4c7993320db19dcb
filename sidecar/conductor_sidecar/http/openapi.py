"""An OpenAPI 3.1 document of the tool surface, drawn from the listings.

Promise: each tool has an operation of its own, with the schemas of its manifest; what the document
allows is answered as it says. Refusal: nothing is written here by hand about any tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from conductor_handlers.toolhost.records import Listing
from conductor_sidecar import __version__
from conductor_sidecar.http.bodies import CONTEXT_MAX, KEY_MAX, VISIBLE

Json = dict[str, Any]
_LITERAL = frozenset({"const", "enum", "default", "example", "examples"})
"""Members of a schema that hold data: a `$ref` in there is none."""
_CONTEXT_NAME: Json = {"type": "string", "pattern": f"^{VISIBLE}{{1,{CONTEXT_MAX}}}$"}
_REFUSALS = {
    "400": "The body or the input is not valid: BODY_INVALID, INVALID_INPUT, REQUEST_MALFORMED.",
    "401": "There is no valid bearer token: UNAUTHORIZED.",
    "403": "Not allowed: TOOL_NOT_ALLOWLISTED, POLICY_DENIED, SCOPE_DENIED, APPROVAL_REQUIRED "
    "(`details.request_id`), APPROVAL_DENIED, ORIGIN_REFUSED.",
    "404": "Not found: TOOL_NOT_FOUND, or what the input names: NOT_FOUND.",
    "405": "The method is not allowed; `Allow` names those that are.",
    "408": "The request did not come in time.",
    "409": "CALL_IN_PROGRESS, or the key was used with another input: IDEMPOTENCY_CONFLICT.",
    "413": "The body is too large.",
    "415": "The body is not uncompressed application/json.",
    "421": "The Host header does not name this server.",
    "431": "The request's head is too large.",
    "503": "Too many requests at once.",
}
_READ_REFUSALS = ("400", "401", "403", "404", "405", "408", "421", "431")


def openapi_document(listings: Sequence[Listing]) -> Json:
    """Return the document for the given tools; plain JSON values, the same for the same tools."""
    paths: Json = {"/tools": _list_path(), "/openapi.json": _document_path()}
    schemas: Json = {
        "Fault": _fault(),
        "Refusal": _refusal(),
        "Tool": _tool(),
        "Context": _context(),
    }
    for listing in listings:
        schemas[f"{listing.mcp_name}.input"] = _embedded(
            listing.input_schema, f"{listing.mcp_name}.input"
        )
        if listing.output_schema is not None:
            name = f"{listing.mcp_name}.output"
            schemas[name] = _embedded(listing.output_schema, name)
        paths[f"/tools/{quote(listing.name, safe=':')}"] = _tool_path(listing)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conductor Sidecar: tools", "version": __version__,
            "description": "The tools of a workspace's packs, each call checked and recorded.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7433"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": {status: _refused(text) for status, text in _REFUSALS.items()},
            "schemas": schemas,
        },
    }  # fmt: skip


def installed_document() -> Json:
    """Return the document of the tools that an unconfigured sidecar has here: for the docs."""
    from conductor_sidecar.pack_selection import selected_packs
    from conductor_sidecar.settings import Settings
    from conductor_sidecar.tools import packs_catalogue

    settings = Settings()
    tools = packs_catalogue(selected_packs(settings), settings).tools.values()
    return openapi_document([tool.listing for tool in tools if not tool.manifest.internal_only])


def _list_path() -> Json:
    schema = {
        "type": "object", "required": ["tools"], "additionalProperties": False,
        "properties": {"tools": {"type": "array", "items": _ref("Tool")}},
    }  # fmt: skip
    return {"get": _read("listTools", "List the tools that the caller may use.", schema)}


def _document_path() -> Json:
    return {"get": _read("openapi", "This document.", {"type": "object"})}


def _tool_path(listing: Listing) -> Json:
    describe = _read(f"{listing.mcp_name}_describe", f"Describe {listing.name}.", _ref("Tool"))
    return {"get": describe, "post": _call(listing)}


def _read(operation: str, summary: str, schema: Json) -> Json:
    return {
        "operationId": operation, "summary": summary,
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": schema}}},
            **_refusal_refs(_READ_REFUSALS),
        },
    }  # fmt: skip


def _call(listing: Listing) -> Json:
    body: Json = {
        "type": "object", "additionalProperties": False,
        "properties": {"input": _ref(f"{listing.mcp_name}.input"), "context": _ref("Context")},
    }  # fmt: skip
    if listing.input_schema.get("required"):
        body["required"] = ["input"]
    key = {
        "name": "Idempotency-Key", "in": "header", "required": False,
        "description": "The same key, tool and input have one effect and one answer.",
        "schema": {"type": "string", "pattern": f"^{VISIBLE}{{1,{KEY_MAX}}}$"},
    }  # fmt: skip
    operation: Json = {
        "operationId": listing.mcp_name, "summary": listing.title or listing.name,
        "tags": [listing.pack], "parameters": [key],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": _called(listing), **_refusal_refs(_REFUSALS)},
        "x-permission": listing.permission, "x-required-scopes": listing.required_scopes,
        "x-required-approvals": listing.required_approvals,
        "x-destructive": listing.destructive, "x-idempotent": listing.idempotent,
    }  # fmt: skip
    if listing.description:
        operation["description"] = listing.description
    return operation


def _called(listing: Listing) -> Json:
    data: Json = {"type": "object"}
    if listing.output_schema is not None:
        data = _ref(f"{listing.mcp_name}.output")
    done = {
        "type": "object", "required": ["success"],
        "properties": {"success": {"const": True}, "data": data, "metadata": {"type": "object"}},
    }  # fmt: skip
    return {
        "description": "The tool ran; `success` says whether it did what it was asked.",
        "content": {"application/json": {"schema": {"oneOf": [done, _ref("Refusal")]}}},
    }


def _refusal_refs(statuses: Sequence[str] | Mapping[str, str]) -> Json:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _refused(text: str) -> Json:
    return {
        "description": text, "content": {"application/json": {"schema": _ref("Refusal")}},
    }  # fmt: skip


def _fault() -> Json:
    return {
        "type": "object", "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
            "message": {"type": "string"}, "details": {"type": "object"},
        },
    }  # fmt: skip


def _refusal() -> Json:
    return {
        "type": "object", "required": ["success", "error"],
        "properties": {
            "success": {"const": False}, "error": _ref("Fault"),
            "data": {"type": "object"}, "metadata": {"type": "object"},
        },
    }  # fmt: skip


def _context() -> Json:
    return {
        "type": "object",
        "description": "Where the call belongs. Other members are not read: scopes and identity "
        "never come from a body.",
        "properties": dict.fromkeys(("run_id", "task_id", "session_id"), _CONTEXT_NAME),
    }  # fmt: skip


def _tool() -> Json:
    text: Json = {"type": "string"}
    flag: Json = {"type": "boolean"}
    thing: Json = {"type": "object"}
    return {
        "type": "object",
        "required": ["name", "pack", "version", "permission", "input_schema", "required_scopes",
                     "mcp_name"],
        "properties": {
            "name": text, "title": text, "description": text, "pack": text, "version": text,
            "permission": {"enum": ["read", "write", "admin"]},
            "input_schema": thing, "output_schema": thing,
            "required_scopes": {"type": "array", "items": thing},
            "required_approvals": {"type": "array", "items": text},
            "destructive": flag, "idempotent": flag, "mcp_name": text, "toolset": text,
        },
    }  # fmt: skip


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _embedded(schema: Mapping[str, Any], name: str) -> Json:
    """Return a schema whose references still lead to itself where it stands in the document."""
    moved = {key: _moved(value, name) for key, value in schema.items() if key != "$schema"}
    moved.pop("$id", None)
    return moved


def _moved(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return [_moved(one, name) for one in value]  # pyright: ignore[reportUnknownVariableType]  JSON
    if not isinstance(value, Mapping):
        return value
    found: Json = {}
    for key, inner in cast("Mapping[str, Any]", value).items():
        if key == "$ref" and isinstance(inner, str) and inner.startswith("#"):
            found[key] = f"#/components/schemas/{name}{inner[1:]}"
        else:
            found[key] = inner if key in _LITERAL else _moved(inner, name)
    return found
