"""JSON of tools: encoded once, measured, checked against a schema that is compiled once.

Promise: an object that names its properties takes no others unless it says so; what is checked is
what is hashed and what runs; matching takes linear time in the text. Refusal: no schema is fetched
from anywhere, and nothing is coerced or filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

if TYPE_CHECKING:
    import jsonschema_rs

INPUT_MAX_BYTES = 4 * 1024 * 1024
OUTPUT_MAX_BYTES = 64 * 1024 * 1024
DEPTH_MAX = 64
"""Objects and lists inside of each other, the outermost counted."""
PROBLEMS_MAX = 20
MESSAGE_MAX = 300
"""Characters of one problem's message, which may quote the value."""
Problem: TypeAlias = dict[str, str]
"""`{pointer, message}`; the pointer is RFC 6901, empty for the whole."""
_BESIDE = frozenset({"allOf", "anyOf", "oneOf", "if", "$ref", "$dynamicRef", "dependentSchemas"})
_CLOSED = frozenset({"additionalProperties", "unevaluatedProperties"})
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder().decode


class NotJson(ValueError):
    """The value is not JSON, or more than is taken."""


def to_json(value: object, max_bytes: int = INPUT_MAX_BYTES) -> bytes:
    """Return the one compact text of a value: keys sorted, nothing between tokens.

    Raises:
        NotJson: It holds what JSON has not, or is too large or too deep.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise NotJson(f"not JSON: {what}") from None
    if len(text) > max_bytes:
        raise NotJson(f"{len(text)} bytes of JSON, the limit is {max_bytes}")
    if text.count(b"{") + text.count(b"[") > DEPTH_MAX:
        _check_depth(_decode(text))
    return text


def from_json(text: bytes) -> Any:
    """Return a fresh value of what `to_json` wrote."""
    return _decode(text)


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for outer in level
            for inner in (cast("dict[str, Any]", outer).values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise NotJson(f"nested deeper than {DEPTH_MAX} levels")


class Schema:
    """One compiled JSON Schema, draft 2020-12; formats are checked."""

    def __init__(self, schema: Mapping[str, Any], *, strict: bool = False) -> None:
        """Compile.

        Args:
            schema: With local references only.
            strict: Objects that name their properties take no others, unless
                `additionalProperties` or `unevaluatedProperties` says what; the outermost object
                takes none if it names none.

        Raises:
            ValueError: It is no schema, or refers elsewhere.
        """
        plain: Any = _decode(_encode(schema))
        if not isinstance(plain, dict):
            raise NotJson("a schema is an object")
        document = cast("dict[str, Any]", plain)
        if strict:
            if document.get("type") == "object" and not _BESIDE & document.keys():
                document.setdefault("properties", {})
            document = _closed(document)
        self._validator = _compiled(document)

    def fits(self, value: Any) -> bool:
        """Tell whether a value is valid."""
        return self._validator.is_valid(value)

    def problems(self, value: Any) -> list[Problem]:
        """Return what is wrong with a value, at most 20 problems; empty: nothing."""
        if self._validator.is_valid(value):
            return []
        found: list[Problem] = []
        for error in self._validator.iter_errors(value):
            message = error.message
            if len(message) > MESSAGE_MAX:
                message = message[: MESSAGE_MAX - 1] + "…"
            found.append({"pointer": pointer(error.instance_path), "message": message})
            if len(found) == PROBLEMS_MAX:
                break
        return found


def pointer(path: list[str | int]) -> str:
    """Return an RFC 6901 pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _compiled(document: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    import jsonschema_rs  # 20 ms, which no start should pay

    try:
        return jsonschema_rs.Draft202012Validator(
            document, validate_formats=True, offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )  # fmt: skip
    except ValueError as error:
        raise NotJson(str(error).split("\n", 1)[0]) from None


def _closed(schema: dict[str, Any], *, within: bool = False) -> dict[str, Any]:
    """Return the schema with its objects closed.

    Args:
        schema: A schema object.
        within: It adds to an object that a surrounding schema closes, and must not close it.
    """
    result: dict[str, Any] = {}
    owns = "properties" in schema
    for key, value in schema.items():
        match key, value:
            case (("properties" | "patternProperties" | "$defs" | "definitions"), dict()):
                named = cast("dict[str, Any]", value)
                result[key] = {name: _inner(sub) for name, sub in named.items()}
            case (
                ("items" | "additionalProperties" | "contains" | "unevaluatedProperties"),
                dict(),
            ):
                result[key] = _inner(value)
            case "prefixItems", list():
                result[key] = [_inner(sub) for sub in _list(value)]
            case (("anyOf" | "oneOf" | "allOf"), list()):
                inside = within or owns or key == "allOf"
                result[key] = [_inner(sub, within=inside) for sub in _list(value)]
            case _:
                result[key] = value
    if owns and not within and not _CLOSED & schema.keys():
        beside = bool(_BESIDE & schema.keys())
        result["unevaluatedProperties" if beside else "additionalProperties"] = False
    return result


def _list(value: Any) -> list[Any]:
    return value  # type: ignore[no-any-return]  # JSON values are honest Any


def _inner(schema: Any, *, within: bool = False) -> Any:
    if isinstance(schema, dict):
        return _closed(cast("dict[str, Any]", schema), within=within)
    return schema
