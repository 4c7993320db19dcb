"""From JSON Schemas to the source of msgspec structs.

Promise: the same schemas give the same text, equal objects are one struct, and a kind of schema
that is not known here is an error, not a guess. Refusal: nothing is imported, written or run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

Schema = Mapping[str, Any]
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_UPPER = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(slots=True)
class Structs:
    """Structs by name, each once; in the order in which they are needed."""

    known: Sequence[tuple[Schema, str]] = ()
    """Schemas that have a name of their own."""
    texts: dict[str, str] = field(default_factory=dict[str, str])
    _seen: list[tuple[Schema, str]] = field(default_factory=list[tuple[Schema, str]])

    def add(self, name: str, schema: Schema, doc: str) -> str:
        """Add the struct of an object; returns its name, or that of an equal one.

        Raises:
            ValueError: Another struct has this name, or a part cannot be expressed.
        """
        for other, taken in self._seen:
            if other == schema:
                return taken
        if any(taken == name for _, taken in self._seen):
            raise ValueError(f"two structs would be called {name}")
        self._seen.append((schema, name))
        base = re.sub(r"(Request|Response)$", "", name)
        required = frozenset(cast("Sequence[str]", schema.get("required", ())))
        lines = [
            self._field(base, prop, cast("Schema", part), required=prop in required)
            for prop, part in cast("Mapping[str, Any]", schema.get("properties", {})).items()
        ]
        head = f"class {name}(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):"
        body = "".join(f"    {line}\n" for line in lines)
        self.texts[name] = f'{head}\n    """{doc}"""\n' + (f"\n{body}" if body else "")
        return name

    def _field(self, base: str, prop: str, schema: Schema, *, required: bool) -> str:
        name = _UPPER.sub("_", prop).lower()
        kind = self.type_of(f"{base}{_camel(name)}", schema)
        wire = "" if name == prop else f'name="{prop}"'
        if required:
            return f"{name}: {kind}" + (f" = msgspec.field({wire})" if wire else "")
        default = f"msgspec.field(default=UNSET, {wire})" if wire else "UNSET"
        bare, null = kind.removesuffix(" | None"), " | None" if kind.endswith(" | None") else ""
        return f"{name}: {bare} | UnsetType{null} = {default}"

    def type_of(self, name: str, schema: Schema) -> str:
        """Return the annotation of a schema; objects become structs of this name.

        Raises:
            ValueError: It cannot be expressed.
        """
        match schema:
            case {"enum": [*values]}:
                return f"Literal[{', '.join(_literal(value) for value in values)}]"
            case {"oneOf": [*choices]}:
                return " | ".join(self.type_of(name, choice) for choice in choices)
            case {"type": ["null", *_] | [*_, "null"]}:
                real = [kind for kind in schema["type"] if kind != "null"]
                return f"{self.type_of(name, {**schema, 'type': real[0]})} | None"
            case {"type": "array", "items": items}:
                return f"list[{self.type_of(_singular(name), items)}]"
            case {"type": "object", "properties": dict()}:
                return self._object(name, schema)
            case {"type": "object"}:
                return "dict[str, Any]"
            case {"type": str(kind)} if kind in _PLAIN:
                return _PLAIN[kind]
            case _:
                raise ValueError(f"{name}: no type for {dict(schema)!r}")

    def _object(self, name: str, schema: Schema) -> str:
        for known, own in self.known:
            if known == schema:
                return self.add(own, schema, f"What {own.removesuffix('Record').lower()}s hold.")
        return self.add(name, schema, f"A part of `{name}`.")


def _literal(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"no literal for {value!r}")  # noqa: TRY004  of the schema, not of a type
    return f'"{value}"'


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _singular(name: str) -> str:
    return name.removesuffix("s")
