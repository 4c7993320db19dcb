"""Sample payloads for subscribed kinds: given by the pack, or made from its payload types.

Promise: the same pack gives the same samples every time. Refusal: a sample that does not fit its
payload type is an error of the pack, not something to repair here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from conductor_sdk.handler import Handler, Subscription
from conductor_sdk.pack import Pack

Payload = Mapping[str, Any]


def samples_of(
    pack: Pack, given: Mapping[str, Sequence[Payload]] | None = None
) -> dict[str, tuple[Payload, ...]]:
    """Return payloads for every subscribed kind; an empty tuple where none can be made.

    Args:
        pack: The pack; its own `samples` are used next.
        given: Payloads that win over the pack's.
    """
    found: dict[str, tuple[Payload, ...]] = {}
    for kind in pack.manifest.subscribed_event_kinds:
        named = (given or {}).get(kind) or pack.samples.get(kind)
        found[kind] = tuple(named) if named else _made(pack.handlers.get(kind))
    return found


def _made(handler: Handler | Subscription | None) -> tuple[Payload, ...]:
    if not isinstance(handler, Subscription) or handler.payload is None:
        return ()
    try:
        schema = _schema(handler.payload)
    except Exception:  # noqa: BLE001  # foreign types: what has no schema has no made sample
        return ()
    definitions = schema.get("$defs", {})
    made = _example(schema, definitions, 0)
    return (cast("Payload", made),) if isinstance(made, dict) else ()


def _schema(target: type[Any]) -> dict[str, Any]:
    if hasattr(target, "model_json_schema"):
        return cast("dict[str, Any]", target.model_json_schema())
    return msgspec.json.schema(target)


def _example(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    if depth > 16:  # noqa: PLR2004  a recursive type ends somewhere
        return None
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _example(definitions[name], definitions, depth + 1)
    for preset in ("default", "const"):
        if preset in schema:
            return schema[preset]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _example(schema[choice][0], definitions, depth + 1)
    return _typed(schema, definitions, depth)


def _typed(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> Any:
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            required = schema.get("required", ())
            return {name: _example(fields[name], definitions, depth + 1) for name in required}
        case "array":
            item = schema.get("items", {})
            return [_example(item, definitions, depth + 1)] * int(schema.get("minItems", 0))
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
        case "string":
            if schema.get("format") == "date-time":
                return "2026-01-01T00:00:00Z"
            return "sample".ljust(int(schema.get("minLength", 0)), "x")
        case _:
            return None
