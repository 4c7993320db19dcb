"""What the tool of one flow takes: the payload itself, and beside it choices for the run.

Promise: where the port of the trigger is an object with named fields, these are the fields of the
tool; any other payload is the field `payload`. The choices are in `_run`. Refusal: nothing is
decoded here; the port does that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, cast

import msgspec

from conductor_packs.flows.library import Loaded
from conductor_packs.flows.toolset import CHOICES
from conductor_sdk.tool_schema import Problem, Schema

TAKINGS_KEPT: Final = 128
"""Tools whose inputs are drawn once, not for each call."""
CHOSEN: Final = "_run"
PAYLOAD: Final = "payload"
_DEFS: Final = "$defs"
_TO_DEFS: Final = f"#/{_DEFS}/"
_ODD: Final = re.compile(r"[^A-Za-z0-9_-]+")
_HOW: Final[Mapping[str, Any]] = {
    "type": "object", "properties": CHOICES, "additionalProperties": False,
    "description": "How to run it, as flows:run takes it.",
}  # fmt: skip


def labelled(loaded: Loaded) -> dict[str, str | None]:
    """Return the entrypoints by what the names of their tools end in; "": the only one."""
    ways = loaded.ways_in()
    if len(ways) == 1:
        return {"": None}
    return {_ODD.sub("_", way or "").strip("_"): way for way in ways}


@dataclass(frozen=True)
class Taking:
    """How a tool's input and a request to run a flow belong together."""

    flow: str
    entrypoint: str | None
    flat: bool
    """The fields of the payload are those of the input."""
    schema: dict[str, Any]
    """JSON Schema of the input."""

    @classmethod
    @lru_cache(maxsize=TAKINGS_KEPT)
    def of(cls, loaded: Loaded, entrypoint: str | None) -> Taking:
        """Draw the input of a flow's tool from the port of its trigger.

        Args:
            loaded: The flow as it is now.
            entrypoint: As `Loaded.ends` takes it.

        Raises:
            EntrypointUnknown: There is none of that name, or there are several.
            FlowError: Its plan cannot be made.
        """
        bound = loaded.bound(loaded.ends(entrypoint))
        port = bound.handlers[bound.plan.trigger].takes.schema()
        fields = _fields(port)
        schema = _wrapped(port) if fields is None else _beside(fields)
        return cls(loaded.name, entrypoint, fields is not None, schema)

    def problems(self, given: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with an input, as the tool host would say it; empty: nothing."""
        return self._compiled.problems(given)

    @cached_property
    def _compiled(self) -> Schema:
        try:
            return Schema(self.schema, strict=True)
        except ValueError:
            # A pattern, say, that is not known there. The port has the last word anyhow.
            return Schema(self._names(), strict=True)

    def _names(self) -> dict[str, Any]:
        """Return the schema without what values are like."""
        return {
            "type": "object", "required": self.schema.get("required", []),
            "properties": {name: {} for name in self.schema["properties"]} | {CHOSEN: _HOW},
            "additionalProperties": self.schema["additionalProperties"] is not False,
        }  # fmt: skip

    def request(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what flows:run takes for an input of the tool."""
        fields = {key: value for key, value in given.items() if key != CHOSEN}
        named = {} if self.entrypoint is None else {"entrypoint": self.entrypoint}
        return {
            "flow": self.flow, **named, PAYLOAD: fields if self.flat else fields.get(PAYLOAD),
            **given.get(CHOSEN, {}),
        }  # fmt: skip


def _fields(port: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema of an object with named fields, in place; None: it is something else."""
    found, seen = dict(port), 0
    while isinstance(found.get("$ref"), str) and seen <= len(port.get(_DEFS, {})):
        reference: str = found["$ref"]
        name = reference.removeprefix(_TO_DEFS).replace("~1", "/").replace("~0", "~")
        inner: object = port.get(_DEFS, {}).get(name)
        if not reference.startswith(_TO_DEFS) or not isinstance(inner, Mapping):
            return None
        found, seen = dict(cast("Mapping[str, Any]", inner)), seen + 1
    if found.get("type") != "object" or "properties" not in found:
        return None
    if CHOSEN in found["properties"]:
        return None
    refers = _TO_DEFS.encode() in msgspec.json.encode(found)
    return {**found, **({_DEFS: port[_DEFS]} if refers else {})}


def _beside(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "additionalProperties": False, **fields,
        "properties": {**fields["properties"], CHOSEN: _HOW},
    }  # fmt: skip


def _wrapped(port: Mapping[str, Any]) -> dict[str, Any]:
    payload = {key: value for key, value in port.items() if key != _DEFS}
    return {
        "type": "object", "properties": {PAYLOAD: payload, CHOSEN: _HOW},
        "required": [PAYLOAD] if payload else [], "additionalProperties": False,
        **({_DEFS: port[_DEFS]} if _DEFS in port else {}),
    }  # fmt: skip
