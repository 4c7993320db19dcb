"""JSON Schemas drawn from the models and the records, so that nobody writes them twice.

Promise: what is drawn is plain (no references, no null that nobody may send) and the same on every
run. Refusal: nothing is validated here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from conductor_packs.sidekick.inputs.fields import Input
from conductor_packs.sidekick.records import EXTRA, Record

Toolset = Literal["core", "full"]
Schema = dict[str, Any]

_MARKS = frozenset({"title", "anyOf", "toolset", "core", "null"})
_SAID_ELSEWHERE = frozenset({"default", "title", "description"})
_LEFT_OUT_EMPTY = frozenset({"depends_on"})
_ANY: Schema = {}
_NULL: Schema = {"type": "null"}


def input_schema(model: type[Input], toolset: Toolset) -> Schema:
    """Return the schema of a tool's input as a tool set has it: an object without other keys."""
    drawn = model.model_json_schema()
    fields = {
        name: _field(field, toolset)
        for name, field in drawn.get("properties", {}).items()
        if toolset == "full" or field.get("toolset") != "full"
    }
    required = {"required": drawn["required"]} if "required" in drawn else {}
    return {"type": "object", "properties": fields, **required, "additionalProperties": False}


@functools.cache
def record_schema(record: type[Record]) -> Schema:
    """Return the schema of a record as a tool answers it; keys of a later version may follow.

    The same object each time: not to be changed.
    """
    drawn = msgspec.json.schema(record)
    whole = drawn["$defs"][record.__name__]
    fields = {name: field for name, field in whole["properties"].items() if name != EXTRA}
    return {
        "type": "object",
        "properties": {name: _plain(field, drawn["$defs"]) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if _always(name, field)],
    }


def answer(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an answer with these keys and no other."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _field(drawn: Mapping[str, Any], toolset: Toolset) -> Schema:
    """Return a field of an input: its one real type, with null only where that clears."""
    kinds: Sequence[Schema] = drawn.get("anyOf", ())
    real = next((kind for kind in kinds if kind != _NULL), _ANY)
    field: Schema = {**real, **{key: value for key, value in drawn.items() if key not in _MARKS}}
    if field.get("default") in (None, []):
        field.pop("default", None)
    if "const" in field:
        field["enum"] = [field.pop("const")]
    if toolset == "core":
        field |= drawn.get("core", {})
    elif drawn.get("null") == toolset:
        field["type"] = [field["type"], "null"]
    return field


def _always(name: str, field: Mapping[str, Any]) -> bool:
    """Tell what a record always shows: not what may be None, and not what a later version added."""
    return field.get("default", "") is not None and name not in _LEFT_OUT_EMPTY


def _plain(part: Any, named: Mapping[str, Any]) -> Any:
    """Return a part of a record's schema without references, defaults, titles and nulls."""
    match part:
        case {"$ref": str(name)}:
            return _plain(named[name.rpartition("/")[2]], named)
        case {"anyOf": [one, {"type": "null"}]}:
            return _plain(one, named)
        case dict():
            schema = cast("Schema", part)
            kept = {key: schema[key] for key in schema if key not in _SAID_ELSEWHERE}
            if "properties" in kept:
                fields: Schema = kept["properties"]
                known = {key: _plain(fields[key], named) for key in fields if key != EXTRA}
                return {**kept, "properties": known}
            return {key: _plain(value, named) for key, value in kept.items()}
        case _:
            return part
