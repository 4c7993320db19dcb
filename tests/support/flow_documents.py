"""Small Flow IR documents for tests of rules: a sound one, and changes to it by JSON Pointer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.read import from_json
from conductor_flows.validate.run import validate

TAKE, WORK, LEFT, RIGHT, REPLY = (f"/nodes/{place}" for place in range(5))
ITEM = {"kind": "named", "name": "Item"}
GONE = object()
"""In place of a value: the key is removed."""


def node(alias: str, kind: str = "inline", **more: Any) -> dict[str, Any]:
    return {
        "id": f"f::{alias}", "alias": alias, "identifier": f"m::{alias}", "name": alias,
        "kind": kind, "summary": "Does its part", "in_schema": ITEM, "out_schema": ITEM,
        "effects": "pure", "determinism": "strict",
    } | more  # fmt: skip


def edge(source: str, to: str, **more: Any) -> dict[str, Any]:
    return {"from": source, "to": to, "delivery": "at_least_once", "ordering": "ordered",
            "buffer": {"max_items": 8}} | more  # fmt: skip


def sound() -> dict[str, Any]:
    """A document about which there is nothing to say: take -> work -> left, right -> reply."""
    return {
        "id": "f", "name": "sound", "version": "1.0.0", "profile": "web", "summary": "A sound flow",
        "nodes": [
            node("take", "trigger", effects="read_only"), node("work"), node("left"), node("right"),
            node("reply", "activity", effects="effectful", determinism="best_effort",
                 idempotency={"key": "id", "scope": "node", "ttlMs": 300_000},
                 effectHints=["resource::kv::write"], determinismHints=["resource::kv"]),
        ],
        "edges": [edge("take", "work"), edge("work", "left"), edge("work", "right"),
                  edge("left", "reply"), edge("right", "reply")],
        "metadata": {"entrypoints": [{"trigger_alias": "take", "capture_alias": "reply",
                                      "route_path": "/run", "method": "POST"}]},
    }  # fmt: skip


def changed(changes: Mapping[str, Any]) -> FlowIR:
    """The sound flow, changed: a pointer ending in `-` appends, missing objects are made."""
    document = copy.deepcopy(sound())
    for pointer, value in changes.items():
        *path, last = pointer.removeprefix("/").split("/")
        inner: Any = document
        for step in path:
            inner = inner[int(step)] if isinstance(inner, list) else inner.setdefault(step, {})
            # What is appended to may be missing as well.
        if last == "-":
            inner.append(copy.deepcopy(value))
        elif value is GONE:
            del inner[int(last) if isinstance(inner, list) else last]
        else:
            inner[int(last) if isinstance(inner, list) else last] = copy.deepcopy(value)
    return from_json(document)


def said(changes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is said of the changed flow: codes with their places."""
    return [(each.code, each.location) for each in validate(changed(changes))]


def codes(changes: Mapping[str, Any]) -> list[str]:
    return [code for code, _ in said(changes)]


def surface(kind: str, targets: list[str], config: Any, place: int = 0) -> dict[str, Any]:
    return {"id": f"{kind}:{targets[0] if targets else ''}:{place}", "kind": kind,
            "targets": targets, "config": config}  # fmt: skip


def at(location: str, document: Any) -> Any:
    """What a JSON Pointer leads to; raises KeyError or IndexError where that is nothing."""
    for step in location.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document
