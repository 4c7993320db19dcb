"""One tool for people: what it takes, gives, may touch and needs.

Promise: whole in 80 columns; what a schema says beyond names and types is in `--json`. Refusal:
nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from conductor_sdk.terminal_text import WIDTH, clean
from conductor_terminal.printing import print_table

if TYPE_CHECKING:
    from conductor_handlers.toolhost.records import Listing

_INDENT = 14


def show_tool(tool: Listing) -> None:
    """Print a tool."""
    click.echo(click.style(clean(tool.name), bold=True))
    if tool.description:
        _wrapped(tool.description, 0)
    click.echo()
    _fact("pack", f"{tool.pack} {tool.version}")
    _fact("permission", tool.permission)
    _fact("scopes", ", ".join(map(_scope, tool.required_scopes)))
    _fact("approvals", ", ".join(tool.required_approvals) or "none needed")
    marks = [("destructive", tool.destructive), ("idempotent", tool.idempotent)]
    if any(on for _, on in marks):
        _fact("is", ", ".join(name for name, on in marks if on))
    if tool.toolset:
        _fact("tool set", tool.toolset)
    _fact("on MCP", tool.mcp_name)
    _schema("takes", tool.input_schema)
    if tool.output_schema:
        _schema("gives", tool.output_schema)
    click.echo(f"\nnext: conductor tools call {clean(tool.name)} --input '{{…}}'")


def _fact(name: str, text: str) -> None:
    import textwrap

    lines = textwrap.wrap(clean(text), WIDTH - _INDENT) or [""]
    for index, line in enumerate(lines):
        click.echo(f"{(name if index == 0 else ''):<{_INDENT}}{line}")


def _wrapped(text: str, indent: int) -> None:
    import textwrap

    for line in textwrap.wrap(clean(text), WIDTH - indent):
        click.echo(" " * indent + line)


def _schema(word: str, schema: Mapping[str, Any]) -> None:
    properties = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties") or {})
    click.echo()
    if not properties:
        click.echo(f"{word:<{_INDENT}}an object")
        return
    required = set(cast("list[str]", schema.get("required") or []))
    rows = [
        (name, type_of(of), "yes" if name in required else "", of.get("description", ""))
        for name, of in properties.items()
    ]
    print_table([word, "type", "required", ""], rows)


def type_of(schema: object) -> str:
    """Return the type of a property in one word, or its few values."""
    if not isinstance(schema, Mapping):
        return "any"
    found = cast("Mapping[str, Any]", schema)
    if isinstance(found.get("enum"), list):
        text = "|".join(map(str, found["enum"]))
        return text if len(text) <= WIDTH // 3 else f"one of {len(found['enum'])}"
    if "const" in found:
        import json

        return json.dumps(found["const"])
    named = found.get("type", "any")
    if isinstance(named, list):
        return "|".join(map(str, cast("list[object]", named)))
    if named == "array":
        return f"{type_of(found.get('items', {}))}[]"
    return str(named)


def _scope(scope: Mapping[str, Any]) -> str:
    if scope.get("type") == "path":
        return f"{scope.get('access')} {scope.get('pattern')}"
    return f"network {scope.get('posture', '')}"
