"""What a tool may touch, against what it says it does.

Promise: permission, scopes and schemas of every tool agree, and no tool asks for the whole
workspace. Refusal: what is enforced at run time is the tool host's; this is a reading of the
manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from conductor_handlers.pack_lint.verdict import Check, Finding, checked
from conductor_sdk.manifest_tools import NetworkScope, PathScope, ToolManifest

TITLE = "security lint"
RESERVED = ".lumenflow"
_EVERYTHING = frozenset({"*", "**", "**/*", "./**", "./**/*", "./*"})
_DRIVE = re.compile(r"^[A-Za-z]:")

_Found = tuple[str, str, str, str]


def check_security(tools: Sequence[ToolManifest]) -> Check:
    """Check permissions, scopes and schemas."""
    return checked("security", TITLE, [
        Finding(rule, f"/tools/{index}{pointer}", f"{tool.name}: {message}", hint)
        for index, tool in enumerate(tools)
        for rule, pointer, message, hint in _of_tool(tool)
    ])  # fmt: skip


def _of_tool(tool: ToolManifest) -> Iterator[_Found]:
    paths = [scope for scope in tool.required_scopes if isinstance(scope, PathScope)]
    yield from _permission(tool, paths)
    for index, scope in enumerate(tool.required_scopes):
        if isinstance(scope, PathScope):
            yield from _pattern(tool, scope, f"/required_scopes/{index}/pattern")
    yield from _schema(tool.input_schema, "/input_schema", required=True)
    yield from _schema(tool.output_schema, "/output_schema", required=False)
    yield from _network(tool)


def _permission(tool: ToolManifest, paths: Sequence[PathScope]) -> Iterator[_Found]:
    writes = any(scope.access == "write" for scope in paths)
    if tool.permission == "read" and writes:
        yield (
            "read_tool_writes", "/required_scopes", "a read tool asks for a write scope",
            "make it a write tool, or ask for read access",
        )  # fmt: skip
    if tool.permission == "write" and paths and not writes:
        yield (
            "write_tool_reads", "/required_scopes", "a write tool asks for no write scope",
            "make it a read tool, or ask for write access",
        )  # fmt: skip


def _pattern(tool: ToolManifest, scope: PathScope, pointer: str) -> Iterator[_Found]:
    pattern = scope.pattern
    steps = pattern.replace("\\", "/").split("/")
    if scope.access == "write" and tool.permission != "read" and pattern in _EVERYTHING:
        yield (
            "writes_everything", pointer, f"{pattern!r} is the whole workspace",
            "name the directory that it writes to",
        )  # fmt: skip
    absolute = pattern.startswith(("/", "~", "\\")) or _DRIVE.match(pattern)
    if ".." in steps or "\0" in pattern or absolute:
        yield (
            "pattern_escapes", pointer, f"{pattern!r} leads out of the workspace",
            "write a pattern relative to the workspace",
        )  # fmt: skip
    inner = [step for step in steps if step != "."]
    if scope.access == "write" and inner and inner[0].casefold() == RESERVED:
        yield (
            "pattern_reserved", pointer, f"{RESERVED} is the daemon's own",
            "write to a directory of the pack",
        )  # fmt: skip


def _schema(schema: Mapping[str, Any] | None, pointer: str, *, required: bool) -> Iterator[_Found]:
    if schema is None:
        if required:
            yield ("schema_missing", pointer, "its input is not described",
                   "write a JSON Schema of type object")  # fmt: skip
        return
    if schema.get("type") != "object":
        yield ("schema_not_object", pointer, f"type is {schema.get('type')!r}",
               "make it an object")  # fmt: skip
    problem = _not_a_schema(schema)
    if problem:
        yield "schema_invalid", pointer, problem, "correct the JSON Schema"


def _not_a_schema(schema: Mapping[str, Any]) -> str | None:
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(dict(schema))
    except (jsonschema_rs.ValidationError, ValueError) as error:
        return str(error).split("\n", 1)[0]
    return None


def _network(tool: ToolManifest) -> Iterator[_Found]:
    scopes = [scope for scope in tool.required_scopes if isinstance(scope, NetworkScope)]
    if all(scope.posture == "off" for scope in scopes):
        return
    pointer = "/input_schema/properties/url"
    pinned = _pinned_urls(tool.input_schema or {})
    if not pinned:
        yield (
            "url_not_pinned", pointer, "a tool with a network scope takes any URL",
            "pin it by const or enum",
        )  # fmt: skip
    for url in pinned:
        if not _is_https(url):
            yield "url_not_https", pointer, f"{url!r} is no https URL", "write https://…"


def _pinned_urls(schema: Mapping[str, Any]) -> Sequence[object]:
    match schema:
        case {"properties": {"url": {"const": url}}}:
            return [url]
        case {"properties": {"url": {"enum": [*urls]}}}:
            return urls
        case _:
            return []


def _is_https(url: object) -> bool:
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        return False
