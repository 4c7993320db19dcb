"""Python types as the ports of nodes: pydantic models, dataclasses, msgspec structs, builtins, Any.

Promise: what is decoded is of the type, and what does not fit is refused with a JSON Pointer to the
place; encoding goes by what a value is, at every depth, and leaves JSON as it is. Refusal: a type
without a JSON form is no port.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from conductor_flows.dsl.defaults import leaves_defaults, with_defaults
from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.port_types import field_marks, opaque, type_name, wants_pydantic
from conductor_flows.execute.errors import PortRefused
from conductor_flows.ir.json_values import as_array, as_object
from conductor_flows.ir.model import Named, Opaque, SchemaRef

if TYPE_CHECKING:
    from pydantic import TypeAdapter

DATA_CLASS = "x-data-class"
_SCALARS = frozenset({str, int, float, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})
_PATH = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
Decode = Callable[[Any], Any]


class TypedPort:
    """The port of one Python type; see `execute.program.Port`."""

    __slots__ = ("_decode", "_schema", "kind", "name")

    def __init__(self, name: str | None, kind: Any, decode: Decode, schema: dict[str, Any]) -> None:
        self.name = name
        self.kind = kind
        self._decode = decode
        self._schema = schema

    def decode(self, value: Any) -> Any:
        """Turn JSON into the port's type; raises `PortRefused`."""
        return self._decode(value)

    def encode(self, value: Any) -> Any:
        """Turn a value into JSON by what it is; raises `PortRefused`."""
        return to_json(value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema; {} for an opaque port."""
        return self._schema

    def reference(self) -> SchemaRef:
        """Return how a document names the port."""
        return Opaque() if self.name is None else Named(name=self.name)

    def data_classes(self) -> dict[str, str]:
        """Return the data class of each field that has one, by JSON Pointer; `*` is any element."""
        return dict(field_marks(self.kind, DATA_CLASS)) | dict(_marks(self._schema, self._schema))


def port_of(tp: Any) -> TypedPort:
    """Make the port of a type.

    Raises:
        FlowRefused: DAG001: the type has no JSON form.
    """
    if opaque(tp):
        return TypedPort(None, None, _as_it_is, {})
    if not wants_pydantic(tp):
        try:
            schema = msgspec.json.schema(tp)
        except (TypeError, NameError):
            pass  # pydantic knows more types
        else:
            return TypedPort(type_name(tp), tp, _by_msgspec(tp), schema)
    return _pydantic_port(tp)


def _as_it_is(value: Any) -> Any:
    return value


def _by_msgspec(tp: Any) -> Decode:
    completed = with_defaults if leaves_defaults(tp) else _as_it_is

    def decode(value: Any) -> Any:
        try:
            return completed(msgspec.convert(value, tp))
        except msgspec.ValidationError as error:
            said, _, path = str(error).partition(" - at `")
            raise PortRefused(said, pointer=_pointer(_steps(path.rstrip("`")))) from None

    return decode


def _steps(path: str) -> list[str]:
    """Read the path of msgspec, as `$.lines[0].name`."""
    return [name or index for name, index in _PATH.findall(path)]


def _pydantic_port(tp: Any) -> TypedPort:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(tp)
        schema = adapter.json_schema()
    except (PydanticUserError, TypeError, NameError) as error:
        said = str(error).split("\n", 1)[0]
        raise FlowRefused(f"{type_name(tp)} is no port: {said}", code="DAG001") from None
    return TypedPort(type_name(tp), tp, _by_pydantic(adapter), schema)


def _by_pydantic(adapter: TypeAdapter[Any]) -> Decode:
    from pydantic import ValidationError

    def decode(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            steps = _resolved(value, first["loc"], missing=first["type"] == "missing")
            raise PortRefused(first["msg"], pointer=_pointer(steps)) from None

    return decode


def _resolved(value: Any, loc: Iterable[str | int], *, missing: bool) -> list[str]:
    """Leave out what pydantic adds to a place: names of union members and of validators."""
    steps: list[str] = []
    left = list(loc)
    for number, step in enumerate(left):
        found, items = as_object(value), as_array(value)
        if found is not None and step in found:
            value = found[str(step)]
        elif items is not None and isinstance(step, int) and step < len(items):
            value = items[step]
        elif not (missing and number == len(left) - 1):
            continue
        steps.append(str(step))
    return steps


def _pointer(steps: Iterable[str]) -> str:
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)


def to_json(value: Any) -> Any:
    """Turn a value into JSON by what it is: models inside lists inside dicts too.

    Raises:
        PortRefused: There is something in it that has no JSON form.
    """
    if type(value) in _SCALARS:
        return value
    try:
        found = msgspec.to_builtins(value, str_keys=True, enc_hook=_by_its_serializer)
    except (TypeError, ValueError) as error:
        raise PortRefused(str(error)) from None
    return _with_lists(found)


def _with_lists(value: Any) -> Any:
    """Turn tuples into lists, in place: `to_builtins` leaves them, and copies all containers."""
    found, items = as_object(value), as_array(value)
    if found is not None:
        for key, each in found.items():
            if type(each) in _CONTAINERS:
                found[key] = _with_lists(each)
    elif items is not None:
        for place, each in enumerate(items):
            if type(each) in _CONTAINERS:
                items[place] = _with_lists(each)
    elif type(value) in _CONTAINERS:
        return [_with_lists(each) for each in value]
    return value


def _by_its_serializer(value: Any) -> Any:
    serializer = getattr(value, "__pydantic_serializer__", None)
    if serializer is None:
        raise TypeError(f"a value of the type {type(value).__name__} has no JSON form")
    return serializer.to_python(value, mode="json", by_alias=True)


def _marks(
    schema: Mapping[str, Any], root: Mapping[str, Any], at: str = "",
    seen: frozenset[str] = frozenset(),
) -> Iterable[tuple[str, str]]:  # fmt: skip
    """Find data classes in a JSON Schema, through references; a type within itself ends."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in seen:
            return
        target = (as_object(root.get("$defs")) or {}).get(reference.rpartition("/")[2], {})
        yield from _marks(target, root, at, seen | {reference})
    if DATA_CLASS in schema and at:
        yield at, str(schema[DATA_CLASS])
    for name, field in (as_object(schema.get("properties")) or {}).items():
        yield from _marks(field, root, at + _pointer([name]), seen)
    items = as_object(schema.get("items"))
    if items is not None:
        yield from _marks(items, root, f"{at}/*", seen)
    for word in ("anyOf", "oneOf", "allOf"):
        for each in as_array(schema.get(word)) or ():
            yield from _marks(each, root, at, seen)
