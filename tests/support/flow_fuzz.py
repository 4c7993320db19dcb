"""Flow IR documents for torture: drawn from a JSON Schema, then broken at random places.

Every document follows from its seed. Drawing is slow and done once for a few hundred documents;
breaking is done in place and undone, so that a hundred thousand take seconds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

ALIASES = ("take", "work", "left", "right", "reply")
WORDS = (*ALIASES, "", "x", "ghost", "/a/b", "PT5M", "P1M", "PT0S", "1.0.0", "2.0.0-rc1", "id",
         "Item", "regulated", "stream", "hitl", "retry", "fixed", "POST", "Clock")  # fmt: skip
HINTS = ("resource::kv::write", "resource::clock", "resource::teleport::send", "resource::blob",
         "resource::dedupe::store", "resource::http::read", "policy::json", "")  # fmt: skip
NAMED = {
    "alias": ALIASES, "from": ALIASES, "to": ALIASES, "source": ALIASES, "target": ALIASES,
    "node": ALIASES, "trigger_alias": ALIASES, "capture_alias": ALIASES, "targets": ALIASES,
    "effectHints": HINTS, "determinismHints": HINTS, "version": ("1.0.0", "1.2.3", "x"),
}  # fmt: skip
WEIRD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**64, 10**30, -(10**30), 0.5, 1e308, "", "x", "work",
    "\x00", "\u202e☃😀", "/", "~", "P", "PT1S", "None", "Fixed", "hitl", "resource::", "a" * 300,
    [], [None], [[]], ["work"], {}, {"": ""}, {"v": 1}, {"kind": "named"}, {"kind": "opaque"},
    {"id": "x", "version": "1.0.0"}, {"v": 1, "source": "work", "cases": {"a": []}},
)  # fmt: skip
CONFIG: dict[str, tuple[Any, ...]] = {
    "v": (1, 1, 1, 1, 2, True), "source": ALIASES, "selector_pointer": ("", "/a", "a"),
    "then": ALIASES, "else": ALIASES, "cases": ({"a": "left"}, {"~/": "right"}, {}, [], {"a": 1}),
    "default": (*ALIASES, None), "scope": ({"nodes": ["work"]}, {"nodes": "work"}, []),
    "strategy": ("retry", "fail", 1), "target": ALIASES, "qps": (1, 0, 0.5), "burst": (1, "1"),
    "edge": ({"from": "work", "to": "left"}, {"from": []}, None), "key": ("id", "", {}),
    "items_pointer": ("/items", "~2"), "body_entry": ALIASES, "body_exit": (*ALIASES, {}),
    "condition_pointer": ("/more", None), "max_iterations": (1, 0), "sources":
    (["left", "right"], ["left", []], {}), "event_time_pointer": ("/ts",), "size_ms": (5, -5),
    "duration_ms": (1, 0), "watermark": ("m", ""), "collect": ALIASES,
}  # fmt: skip


class Drawer:
    """Draws documents that are valid against a schema."""

    def __init__(self, schema: dict[str, Any], chance: random.Random) -> None:
        self._schema = schema
        self._chance = chance

    def document(self) -> dict[str, Any]:
        drawn: dict[str, Any] = self._draw(self._schema, "", 0)
        return drawn

    def _draw(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        chance = self._chance
        if "$ref" in schema:
            inner: Any = self._schema
            for step in schema["$ref"].removeprefix("#/").split("/"):
                inner = inner[step]
            return self._draw(inner, name, depth)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._draw(chance.choice(schema[key]), name, depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chance.choice(schema["enum"])
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = chance.choice(kind)
        return self._of_kind(kind, schema, name, depth)

    def _of_kind(self, kind: str | None, schema: dict[str, Any], name: str, depth: int) -> Any:
        chance = self._chance
        match kind:
            case "object":
                return self._object(schema, name, depth)
            case "array":
                least = schema.get("minItems", 0)
                often = chance.randint(least, max(least, 2 if depth > 2 else 5))
                items = [self._draw(schema.get("items", {}), name, depth + 1) for _ in range(often)]
                # All lists of the schemas whose items differ are lists of texts.
                return list(dict.fromkeys(items)) if schema.get("uniqueItems") else items
            case "string":
                if "pattern" in schema:
                    return self._matching(schema["pattern"], name)
                drawn = chance.choice(NAMED.get(name, WORDS))
                return drawn or "x" * schema.get("minLength", 0)
            case "integer":
                return chance.choice((schema.get("minimum", 0), 1, 2, 8, 300_000))
            case "number":
                return chance.choice((0, 0.5, 1))
            case "boolean":
                return chance.random() < 0.5
            case "null":
                return None
            case _:
                return chance.choice(WEIRD)

    def _object(self, schema: dict[str, Any], name: str, depth: int) -> dict[str, Any]:
        if name == "config":
            return self._config()
        needed = schema.get("required", ())
        return {
            key: self._draw(inner, key, depth + 1)
            for key, inner in schema.get("properties", {}).items()
            if key in needed or (self._chance.random() < 0.5
                                 and not (key == "subflow_ir" and depth > 5))
        }  # fmt: skip

    def _config(self) -> dict[str, Any]:
        return {key: self._chance.choice(values) for key, values in CONFIG.items()
                if self._chance.random() < 0.85}  # fmt: skip

    def _matching(self, pattern: str, name: str) -> str:
        if pattern.startswith("^P"):
            return self._chance.choice(("PT5M", "P1D", "PT0S", "PT0.5S"))
        if "\\." in pattern or "[0-9]" in pattern.split("-", maxsplit=1)[0]:
            return self._chance.choice(("1.0.0", "2.1.0"))
        return self._chance.choice(NAMED.get(name, ALIASES))


def documents(schema: dict[str, Any], seed: int, count: int) -> list[dict[str, Any]]:
    """Draw valid documents; the alias of each node is as often as possible its own."""
    drawer = Drawer(schema, random.Random(seed))
    drawn: list[dict[str, Any]] = []
    for number in range(count):
        document = drawer.document()
        for place, node in enumerate(document.get("nodes", ())):
            if number % 4 and place < len(ALIASES):
                node["alias" if "alias" in node else "id"] = ALIASES[place]
        for surface in document.get("control_surfaces", document.get("controlSurfaces", ())):
            if number % 8:
                surface["config"] = drawer._config()
        drawn.append(document)
    return drawn


def broken(bases: list[dict[str, Any]], seed: int, count: int) -> Iterator[bytes]:
    """Break documents: one to three places each, now and then the text itself."""
    chance = random.Random(seed)
    places = [list(_places(base)) for base in bases]
    encode = msgspec.json.Encoder().encode
    for _ in range(count):
        number = chance.randrange(len(bases))
        undo = [_break(*chance.choice(places[number]), chance)
                for _ in range(chance.choice((0, 1, 1, 2, 3)))]  # fmt: skip
        data = encode(bases[number])
        for container, key, value in reversed(undo):
            _restore(container, key, value)
        yield _torn(data, chance) if chance.random() < 0.02 else data


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a document: what holds it, and the key or the index."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


_ABSENT = object()


def _break(container: Any, key: Any, chance: random.Random) -> tuple[Any, Any, Any]:
    """Replace, wrap or take away one value; returns what brings it back."""
    if isinstance(container, list):
        before = container[key]
        container[key] = [before] if chance.random() < 0.1 else chance.choice(WEIRD)
        return container, key, before
    before = container.get(key, _ABSENT)
    dice = chance.random()
    if dice < 0.2 and before is not _ABSENT:
        del container[key]
    elif dice < 0.3 and before is not _ABSENT:
        container[key] = [before]
    else:
        container[key] = chance.choice(WEIRD)
    return container, key, before


def _restore(container: Any, key: Any, before: Any) -> None:
    if before is _ABSENT:
        container.pop(key, None)
    else:
        container[key] = before


def _torn(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + chance.choice((b"", b"\xff", b"}", b'"', b"[" * 5000)) + data[place + 1 :]
