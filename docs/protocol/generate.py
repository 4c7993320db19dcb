"""Writes the generated parts of the protocol's documentation.

Promise: run from anywhere, it makes `docs/protocol/` and the marked blocks of `docs/protocol.md`
what the code says; a test runs it in memory and compares. Refusal: it never writes a sentence of
its own: text comes from docstrings, tables and types.

Usage: python docs/protocol/generate.py
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from conductor_protocol import (
    conductor_table,
    effects,
    errors,
    messages,
    schemas,
    sidecar_table,
)
from conductor_sdk.errors import ConductorError, EventMalformed, EventRefused
from conductor_sdk.event import keyed_event_id

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "protocol.md"
VECTORS = (
    ("acme/prod", "acme-demo:job_completed", "job-42"),
    ("workspace:zürich", "conductor:recovery_requested", "2026-01-01T00:00:00.000Z"),
    ("a", "bc:d", ""),
)
"""Subject, kind and key of the three test vectors of the event id recipe."""


def field_texts(module: Any) -> dict[str, dict[str, str]]:
    """Read the strings under the fields of a module's classes."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = {}
    for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        texts = found.setdefault(owner.name, {})
        for field, below in zip(owner.body, owner.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name))
                    | ast.Assign(targets=[ast.Name(id=name)]),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    texts[name] = " ".join(text.split())
    return found


def documents() -> dict[Path, str]:
    """Return every generated file with its text."""
    texts = field_texts(messages)
    spec = schemas.asyncapi(texts, f"{messages.VERSION}.0.0")
    files = {
        HERE / "schemas" / f"{stem}.json": as_json(schema)
        for stem, schema in schemas.json_schemas(texts).items()
    }
    files[HERE / "asyncapi.json"] = as_json(spec)
    # The round trip parts what the spec shares, which YAML would write as anchors.
    files[HERE / "asyncapi.yaml"] = yaml.safe_dump(
        json.loads(as_json(spec)), sort_keys=False, allow_unicode=True, width=100
    )
    files[PAGE] = fill(PAGE.read_text(encoding="utf-8"), blocks(texts))
    return files


def as_json(value: Any) -> str:
    """Format a document for people and for diffs."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def fill(page: str, parts: Mapping[str, str]) -> str:
    """Replace what stands between the markers of each block."""
    for name, text in parts.items():
        pattern = rf"(<!-- begin: {name} -->\n).*?(<!-- end: {name} -->)"
        page, found = re.subn(
            pattern, lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page, flags=re.DOTALL
        )
        if found != 1:
            raise SystemExit(f"{PAGE.name} has {found} blocks named {name}")
    return page


def blocks(texts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the generated blocks of the page."""
    known = schemas.components(texts, "{name}")
    return {
        "sidecar messages": message_tables(schemas.sidecar_types(), known),
        "conductor messages": message_tables(schemas.conductor_types(), known),
        "records": "\n\n".join(
            f"### {name}\n\n{doc_of(getattr(messages, name))}\n\n{field_table(known[name])}"
            for name in ("Limits", "PackNotice", "Head", "PushResult")
        ),
        "sidecar states": state_table(sidecar_table),
        "sidecar diagram": diagram(sidecar_table),
        "conductor states": state_table(conductor_table),
        "conductor diagram": diagram(conductor_table),
        "error codes": error_table(),
        "event codes": event_code_table(),
        "close codes": close_table(),
        "counter codes": enum_table(effects.CountCode),
        "test vectors": vector_table(),
    }


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Format a Markdown table."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def doc_of(owner: Any) -> str:
    """Return a docstring as one paragraph."""
    return " ".join((owner.__doc__ or "").split())


def message_tables(types: Iterable[Any], known: Mapping[str, Any]) -> str:
    """Describe messages, one heading for each."""
    return "\n\n".join(
        f"### `{schemas.tag_of(t)}`\n\n{doc_of(t)}\n\n{field_table(known[t.__name__])}"
        for t in types
    )


def field_table(schema: Mapping[str, Any]) -> str:
    """Describe the fields of one record."""
    rows = [
        [
            f"`{name}`",
            type_text(field),
            "yes" if name in schema.get("required", ()) else default_text(field),
            field.get("description", ""),
        ]
        for name, field in schema["properties"].items()
        if name != "type"
    ]
    return table(["field", "type", "required", "meaning"], rows)


def default_text(field: Mapping[str, Any]) -> str:
    """Say what a field is when it is left out."""
    default = field.get("default")
    return "no: the defaults" if isinstance(default, dict) else f"no: `{json.dumps(default)}`"


def type_text(field: Mapping[str, Any]) -> str:
    """Say a schema in a few words."""
    match field:
        case {"anyOf": options}:
            return " or ".join(type_text(option) for option in options)
        case {"$ref": name}:
            return str(name)
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items}:
            return f"list of {type_text(items)}"
        case _:
            return str(field["type"]) + bounds_text(field)


def bounds_text(field: Mapping[str, Any]) -> str:
    """Say a schema's bounds in a few signs."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    parts = [
        f"{sign} {'2^53-1' if field[key] == messages.INT_MAX else field[key]}"
        for key, sign in signs.items()
        if key in field
    ]
    if "maxLength" in field:
        parts.append(f"≤ {field['maxLength']} characters")
    return f", {', '.join(parts)}" if parts else ""


def state_table(module: Any) -> str:
    """Draw a session's table: inputs down, states across."""
    states = list(module.State)
    rows: list[list[str]] = []
    for given in module.Input:
        cells = []
        for state in states:
            rule = module.TABLE[state][given]
            arrow = "" if rule.then is state else f" → {rule.then.value}"
            quiet = rule.action is module.Action.IGNORE
            cells.append("·" if quiet and not arrow else rule.action.value + arrow)
        rows.append([f"`{given.value}`", *cells])
    return table(["input", *(state.value for state in states)], rows)


def diagram(module: Any) -> str:
    """Draw a session's transitions; violations and deadlines, which all close, are left out."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(module.State)).value}"]
    for state, rules in module.TABLE.items():
        lines += [
            f"    {state.value} --> {rule.then.value}: {given.value}"
            for given, rule in rules.items()
            if rule.then is not state and rule.action is not module.Action.VIOLATION
        ]
    return "\n".join([*lines, "    CLOSED --> [*]", "```"])


def error_table() -> str:
    """List the errors of the wire."""
    found = sorted(family(errors.ProtocolError), key=lambda e: e.code)
    return table(
        ["code", "meaning", "fatal", "WebSocket close code"],
        [
            [
                f"`{e.code}`",
                doc_of(e),
                "yes" if e.fatal else "no",
                str(e.ws_code) if e.fatal else "",
            ]
            for e in found
        ],
    )


def event_code_table() -> str:
    """List the reasons for which one event of a batch is refused."""
    found = sorted(family(EventRefused) | {EventMalformed}, key=lambda e: e.code)
    return table(["code", "meaning"], [[f"`{e.code}`", doc_of(e)] for e in found])


def family(root: type[ConductorError]) -> set[Any]:
    """Return the subclasses of an error that the protocol defines."""
    return {child for child in root.__subclasses__() if child.__module__ == errors.__name__}


def close_table() -> str:
    """List why a session closes a link, beside the errors of the wire."""
    texts = field_texts(effects)["CloseCode"]
    return table(
        ["code", "WebSocket close code", "meaning"],
        [
            [f"`{code.value}`", str(effects.WS_CODES[code]), texts[code.name]]
            for code in effects.CloseCode
        ],
    )


def enum_table(codes: type[StrEnum]) -> str:
    """List the members of a documented enum."""
    texts = field_texts(effects)[codes.__name__]
    return table(["code", "meaning"], [[f"`{code.value}`", texts[code.name]] for code in codes])


def vector_table() -> str:
    """List the test vectors of the event id recipe."""
    return table(
        ["subject", "kind", "key", "event_id"],
        [
            [*(f"`{json.dumps(part, ensure_ascii=False)}`" for part in parts), f"`{event_id}`"]
            for parts in VECTORS
            for event_id in [keyed_event_id(*parts)]
        ],
    )


def main() -> None:
    """Write every generated file."""
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
