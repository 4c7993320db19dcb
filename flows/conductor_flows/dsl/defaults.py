"""Defaults of dataclasses that were read from JSON.

Promise: what is read is what the class would have made itself: a field that JSON leaves out is set
on the instance, so that it is written again and a surface finds it. Refusal: no other type is
touched.

msgspec leaves such a field to the class attribute, where attribute access finds it and writing the
instance does not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

_LEAVES = frozenset({str, int, float, bool, bytes, type(None)})


def leaves_defaults(tp: Any) -> bool:
    """Whether values of a type may have a dataclass in them that lacks its defaults."""
    seen: set[Any] = set()
    left = [msgspec.inspect.type_info(tp)]
    while left:
        info = left.pop()
        kind = getattr(info, "cls", None)
        if kind is not None and kind in seen:
            continue
        seen.add(kind)
        if isinstance(info, msgspec.inspect.DataclassType) and _defaults(info.cls):
            return True
        left += _inner(info)
    return False


def _inner(info: Any) -> Iterator[msgspec.inspect.Type]:
    for field in getattr(info, "fields", ()):
        yield field.type
    for name in ("item_type", "key_type", "value_type"):
        if (found := getattr(info, name, None)) is not None:
            yield found
    yield from getattr(info, "item_types", ())
    yield from getattr(info, "types", ())


@functools.cache
def _defaults(kind: type[Any]) -> Mapping[str, Any]:
    """Return what msgspec leaves to the class: nothing where instances have slots."""
    if hasattr(kind, "__slots__") or not dataclasses.is_dataclass(kind):
        return {}
    return {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.default is not dataclasses.MISSING
    }


def with_defaults(value: Any) -> Any:
    """Set the missing defaults of every dataclass in a value that has just been read."""
    kind: type[Any] = value.__class__
    if kind not in _LEAVES:
        inside: dict[str, Any] | None = getattr(value, "__dict__", None)
        if inside is not None and dataclasses.is_dataclass(kind):
            for name, default in _defaults(kind).items():
                inside.setdefault(name, default)
        for each in _parts(value, kind):
            with_defaults(each)
    return value


def _parts(value: Any, kind: type[Any]) -> Iterable[Any]:
    if dataclasses.is_dataclass(kind):
        return [getattr(value, field.name, None) for field in dataclasses.fields(kind)]
    if issubclass(kind, msgspec.Struct):
        return [getattr(value, name) for name in kind.__struct_fields__]
    if issubclass(kind, dict):
        return list(value.values())
    return value if issubclass(kind, list | tuple | set | frozenset) else ()
