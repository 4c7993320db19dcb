"""From the fields of a query to a payload.

Promise: fields become what the port of the trigger says they are, where its schema is plain about
it: whole numbers, numbers, true and false, lists; a field that comes several times is a list.
Refusal: what cannot be read like that stays text, for the port to refuse with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from conductor_flows.ir.json_values import as_array, as_object

Reader = Callable[[str], Any]


def _whole(text: str) -> Any:
    digits = text.removeprefix("-")
    short = len(digits) <= 20  # noqa: PLR2004  # longer ones cost more the longer they are
    return int(text) if short and digits.isascii() and digits.isdigit() else text


def _number(text: str) -> Any:
    try:
        found = float(text)
    except ValueError:
        return text
    return found if abs(found) < float("inf") else text


def _boolean(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _text(text: str) -> Any:
    return text


_READERS: Final[Mapping[str, Reader]] = {
    "integer": _whole, "number": _number, "boolean": _boolean,
}  # fmt: skip


class QueryShape:
    """How the fields of a query are read, by the schema of a port; made once for a route."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._definitions = as_object(schema.get("$defs")) or {}
        found = as_object(self._followed(schema).get("properties")) or {}
        self._readers: dict[str, Reader] = {}
        self._lists: set[str] = set()
        for name, field in found.items():
            self._add(name, self._followed(as_object(field) or {}))

    def _followed(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a reference, and the one thing that something optional is besides null."""
        reference = schema.get("$ref")
        if isinstance(reference, str):
            schema = as_object(self._definitions.get(reference.rpartition("/")[2])) or {}
        others = [each for each in as_array(schema.get("anyOf")) or ()
                  if (as_object(each) or {}).get("type") != "null"]  # fmt: skip
        return as_object(others[0]) or {} if len(others) == 1 else schema

    def _add(self, name: str, field: Mapping[str, Any]) -> None:
        if field.get("type") == "array":
            self._lists.add(name)
            field = self._followed(as_object(field.get("items")) or {})
        self._readers[name] = _READERS.get(str(field.get("type")), _text)

    def payload(
        self, fields: Sequence[tuple[str, str]], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the payload of a request without a body: always an object.

        Args:
            fields: Of the query, in their order.
            parameters: Of the path; they come before fields of the same name.
        """
        found: dict[str, Any] = {}
        for name, text in fields:
            value = self._readers.get(name, _text)(text)
            if name in self._lists:
                found.setdefault(name, []).append(value)
            elif name not in found:
                found[name] = value
            else:
                known = found[name]
                found[name] = [*known, value] if isinstance(known, list) else [known, value]
        for name, value in parameters.items():
            read = self._readers.get(name, _text)
            found[name] = read(value) if isinstance(value, str) else value
        return found
