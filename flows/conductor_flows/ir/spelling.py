"""Between the spellings of the two dialects: snake_case here, camelCase and PascalCase there.

Promise: driven by the types alone, so a field that is added to a record is spelled both ways at
once; free-form JSON is never touched. Refusal: no field is renamed beyond its spelling.
"""

from __future__ import annotations

import enum
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from conductor_flows.ir.json_values import as_array, as_object

_ODD = {"wasm": "WASM"}
"""Values whose rich spelling does not follow the rule."""


def camel(name: str) -> str:
    """Spell a key: `retry_owner` as `retryOwner`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def pascal(value: str) -> str:
    """Spell a value: `best_effort` as `BestEffort`."""
    return _ODD.get(value) or "".join(part.capitalize() for part in value.split("_"))


def from_rich(value: Any, kind: Any) -> Any:
    """Respell a rich JSON value as the builtins that msgspec reads as `kind`."""
    kind = _plain(kind)
    if value is None:
        return None
    if _is_struct(kind) and (found := as_object(value)) is not None:
        fields = _fields(kind)
        return {
            _name(fields, key): from_rich(item, fields[key][1] if key in fields else Any)
            for key, item in found.items()
        }
    if get_origin(kind) is list and (items := as_array(value)) is not None:
        return [from_rich(item, get_args(kind)[0]) for item in items]
    if isinstance(value, str) and (words := _words(kind)):
        return words.get(value, value)
    return value


def to_rich(value: Any) -> Any:
    """Respell a record as rich JSON; what is None is left out."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        found = {field.name: getattr(value, field.name) for field in fields}
        return {
            camel(name): _value(item, _plain(_types(type(value))[name]))
            for name, item in found.items()
            if item is not None
        }
    return value


def _value(item: Any, kind: Any) -> Any:
    if (items := as_array(item)) is not None:
        inner = _plain(get_args(kind)[0]) if get_args(kind) else Any
        return [_value(each, inner) for each in items]
    if isinstance(item, str) and _words(kind):
        return pascal(item)
    return to_rich(item)


def _name(fields: Mapping[str, tuple[str, Any]], key: str) -> str:
    # An unknown key stays as it is, so that the reader refuses it by its own name.
    return fields[key][0] if key in fields else key


@functools.cache
def _types(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    types_of = _types(kind)
    return {
        camel(field.name): (field.encode_name, types_of[field.name])
        for field in msgspec.structs.fields(kind)
    }


def _words(kind: Any) -> dict[str, str]:
    """Return the values of a closed vocabulary by their rich spelling; {} for anything else."""
    if get_origin(kind) is Literal:
        return {pascal(str(word)): str(word) for word in get_args(kind)}
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        return {pascal(member.value): member.value for member in kind}
    return {}


def _plain(kind: Any) -> Any:
    """Strip `| None` from a type."""
    if get_origin(kind) in {types.UnionType, typing.Union}:
        kinds = [each for each in get_args(kind) if each is not types.NoneType]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
