"""YAML with the scalars of version 1.2, for files that people write.

Promise: `no`, `on`, `12:30` and `2026-01-01` stay strings, a repeated key is an error with its
line, and no input costs more than its size. Refusal: no aliases, no anchors, no tags, no second
document, no key that is not a string.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from conductor_sdk.pack_errors import YamlRefused

YAML_MAX_BYTES = 262_144
_MAX_DEPTH = 64
_CORE = "tag:yaml.org,2002:"
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml may be absent


class _Core12Loader(_LOADER):  # type: ignore[misc]  # the C loader where libyaml is there
    """A safe loader with the core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    yaml_constructors = dict(yaml.SafeLoader.yaml_constructors)  # noqa: RUF012  # the library's way

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a dict with string keys, each once."""
        seen: set[str] = set()
        for key, _value in node.value:
            where = f"line {key.start_mark.line + 1}"
            if key.tag != _CORE + "str":
                raise YamlRefused(f"{where}: a key is not a string", value=key.value)
            if key.value in seen:
                raise YamlRefused(f"{where}: {key.value!r} stands twice", value=key.value)
            seen.add(key.value)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


def _construct_map(loader: _Core12Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    return loader.construct_mapping(node, deep=True)


def _construct_int(_loader: _Core12Loader, node: yaml.ScalarNode) -> int:
    text = node.value
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text[2:] if base != 10 else text, base)  # noqa: PLR2004  # decimal


def _construct_float(_loader: _Core12Loader, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _construct_bool(_loader: _Core12Loader, node: yaml.ScalarNode) -> bool:
    return bool(node.value.lower() == "true")


_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_SCALARS = (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        "float",
        rf"(?:{_NUMBER}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        list("-+.0123456789"),
    ),
)
for _name, _pattern, _first in _SCALARS:
    _Core12Loader.add_implicit_resolver(_CORE + _name, re.compile(_pattern), _first)
_Core12Loader.add_constructor(_CORE + "map", _construct_map)
_Core12Loader.add_constructor(_CORE + "int", _construct_int)
_Core12Loader.add_constructor(_CORE + "float", _construct_float)
_Core12Loader.add_constructor(_CORE + "bool", _construct_bool)


def load_yaml(source: bytes, *, max_bytes: int = YAML_MAX_BYTES) -> Any:
    """Read one YAML document as JSON values.

    Args:
        source: UTF-8 bytes.
        max_bytes: The size above which nothing is parsed.

    Raises:
        YamlRefused: With the line, and nothing was constructed.
    """
    if len(source) > max_bytes:
        raise YamlRefused(f"more than {max_bytes} bytes", hint="split the file or shorten it")
    try:
        text = source.decode("utf-8-sig")
        _look(text)
        loader = _Core12Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise YamlRefused(f"byte {error.start} is not UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlRefused(_one_line(error)) from None


def _look(text: str) -> None:
    # The composer is recursive C and resolves aliases, so the stream is looked at first.
    depth = 0
    event: Any  # the classes of events have no common type for anchor and tag
    for event in yaml.parse(text, _LOADER):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise YamlRefused(f"line {line}: an anchor or alias")
        if getattr(event, "tag", None) is not None:
            raise YamlRefused(f"line {line}: a tag", value=event.tag)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise YamlRefused(f"line {line}: nested deeper than {_MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
