"""What can be said of a Python type without a value of it.

Promise: a type has one name, equal types have equal names, and a connection is called impossible
only where no value of the one type could be a value of the other. Refusal: nothing is decoded.
"""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

_NUMBERS = {float: (int,), complex: (int, float)}
"""What type checkers let pass for another number."""
_CONSTRAINTS = ("pydantic", "annotated_types")


def opaque(tp: Any) -> bool:
    """Whether the type says nothing."""
    return tp is Any or tp is object


def type_name(tp: Any) -> str | None:
    """Return the name of a type, as `EchoRequest` or `list[Line]`; None where it says nothing."""
    if opaque(tp):
        return None
    if tp is None or tp is types.NoneType:
        return "None"
    origin, args = get_origin(tp), get_args(tp)
    if origin is Annotated:
        return type_name(args[0])
    if origin in {Union, types.UnionType}:
        return " | ".join(_inner(arg) for arg in args)
    if origin is Literal:
        return f"Literal[{', '.join(repr(arg) for arg in args)}]"
    name = str(getattr(origin or tp, "__name__", None) or tp)
    return f"{name}[{', '.join(_inner(arg) for arg in args)}]" if args else name


def _inner(tp: Any) -> str:
    return "..." if tp is ... else type_name(tp) or "Any"


def assignable(source: Any, target: Any) -> bool:
    """Whether a value of the one type may be a value of the other; True where that is not known."""
    source, target = _bare(source), _bare(target)
    if opaque(source) or opaque(target) or source == target:
        return True
    if _is_union(source):
        return all(assignable(each, target) for each in get_args(source))
    if _is_union(target):
        return any(assignable(source, each) for each in get_args(target))
    if get_origin(source) is Literal:
        return all(assignable(type(each), target) for each in get_args(source))
    one, other = get_origin(source) or source, get_origin(target) or target
    if not isinstance(one, type) or not isinstance(other, type):
        return get_origin(target) is not Literal
    if typing.is_typeddict(target) or typing.is_typeddict(source):
        return one is other or dict in {one, other}
    if not (issubclass(one, other) or one in _NUMBERS.get(other, ())):
        return False
    mine, theirs = get_args(source), get_args(target)
    if len(mine) != len(theirs):
        return True
    return all(assignable(a, b) for a, b in zip(mine, theirs, strict=True))


def _bare(tp: Any) -> Any:
    if tp is None:
        return types.NoneType
    return get_args(tp)[0] if get_origin(tp) is Annotated else tp


def _is_union(tp: Any) -> bool:
    return get_origin(tp) in {Union, types.UnionType}


def wants_pydantic(tp: Any, seen: frozenset[Any] = frozenset()) -> bool:
    """Whether something in the type is pydantic's: a model, or a constraint on a field."""
    if isinstance(tp, type) and hasattr(tp, "__get_pydantic_core_schema__"):
        return True
    if isinstance(tp, type) and hasattr(tp, "__pydantic_validator__"):
        return True
    if get_origin(tp) is Annotated:
        kinds = (type(each).__module__.split(".")[0] for each in get_args(tp)[1:])
        if any(kind in _CONSTRAINTS for kind in kinds):
            return True
    parts = [*get_args(tp), *_field_types(tp)]
    return any(wants_pydantic(part, seen | {tp}) for part in parts if _new(part, seen))


def _new(part: Any, seen: frozenset[Any]) -> bool:
    return getattr(part, "__hash__", None) is not None and part not in seen


def _field_types(tp: Any) -> list[Any]:
    named = is_dataclass(tp) or typing.is_typeddict(tp) or hasattr(tp, "_fields")
    if not isinstance(tp, type) or not (named or issubclass(tp, msgspec.Struct)):
        return []
    try:
        return list(typing.get_type_hints(tp, include_extras=True).values())
    except NameError:
        return []  # a name that only type checkers see: building the port says so


def field_marks(tp: Any, key: str, at: str = "", seen: frozenset[Any] = frozenset()) -> list[
    tuple[str, str]
]:  # fmt: skip
    """Return what the metadata of dataclass fields says under a key, by JSON Pointer.

    Args:
        tp: Any type; what is no dataclass has none.
        key: Of the metadata, as `x-data-class`.
        at: The pointer to the type.
        seen: Types above it, so that a type within itself ends.
    """
    if not isinstance(tp, type) or not is_dataclass(tp) or tp in seen:
        return []
    hints = typing.get_type_hints(tp)
    found: list[tuple[str, str]] = []
    for each in fields(tp):
        place = f"{at}/{each.name}"
        if key in each.metadata:
            found.append((place, str(each.metadata[key])))
        found += field_marks(hints[each.name], key, place, seen | {tp})
    return found
