"""Reading the configuration of a control surface, field by field.

Promise: whatever JSON stands there, each field is either what its rule asks for or one diagnostic.
Refusal: which fields a kind has is for `routing` and `reserved` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from conductor_flows.ir.json_values import as_array, as_object
from conductor_flows.ir.model import SurfaceIR
from conductor_flows.validate.diagnostic import Diagnostic
from conductor_flows.validate.scope import Scope

VERSION: Final = 1
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Codes:
    """What to say of a family of surfaces."""

    unusable: str
    unknown: str
    """An alias that no node has."""
    edgeless: str
    """Two nodes without the edge that they need."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that is being read; `found` gathers what is wrong with it."""

    scope: Scope
    place: int
    surface: SurfaceIR
    codes: Codes
    values: Mapping[str, Any]
    found: list[Diagnostic] = field(default_factory=list[Diagnostic])
    named: set[str] = field(default_factory=set[str])
    """Every alias that was read, known or not."""

    def refuse(self, detail: str, *keys: str, code: str | None = None) -> None:
        """Note what is wrong with the field that `keys` lead to, as far as it is there."""
        at, inner = f"/control_surfaces/{self.place}", self.surface.config
        if inner is not None:
            at += "/config"
        for key in keys:
            values = as_object(inner) or {}
            if key not in values:
                break
            at, inner = f"{at}/{key.replace('~', '~0').replace('/', '~1')}", values[key]
        said = f"{self.surface.id}: {detail}"
        self.found.append(self.scope.say(code or self.codes.unusable, at, said))

    def refuse_targets(self, detail: str, *, code: str | None = None) -> None:
        """Note what is wrong with the targets of the surface."""
        said, at = f"{self.surface.id}: {detail}", f"/control_surfaces/{self.place}/targets"
        self.found.append(self.scope.say(code or self.codes.unusable, at, said))

    def targets(self) -> None:
        """Check that every target is a node."""
        for alias in self.surface.targets:
            if alias not in self.named and alias not in self.scope.number:
                self.refuse_targets(f"there is no node `{alias}`", code=self.codes.unknown)
            self.named.add(alias)

    def text(self, *keys: str) -> str | None:
        """Read a text that is not empty."""
        value = self.value(*keys)
        if isinstance(value, str) and value:
            return value
        self.refuse(f"`{'.'.join(keys)}` is no text", *keys)
        return None

    def alias(self, *keys: str) -> str | None:
        """Read the alias of a node; None where no node has it."""
        return self.known(self.text(*keys), *keys)

    def known(self, alias: str | None, *keys: str) -> str | None:
        """Check that a node has an alias; each unknown one is noted once."""
        if alias is None:
            return None
        fresh = alias not in self.named
        self.named.add(alias)
        if alias in self.scope.number:
            return alias
        if fresh:
            self.refuse(f"there is no node `{alias}`", *keys, code=self.codes.unknown)
        return None

    def aliases(self, least: int, *keys: str) -> list[str]:
        """Read a list of aliases; unknown ones are noted and left out."""
        items = as_array(self.value(*keys))
        texts = [each for each in items or () if isinstance(each, str)]
        if items is None or len(texts) < len(items) or len(set(texts)) < least:
            self.refuse(f"`{'.'.join(keys)}` needs at least {least} aliases", *keys)
            return []
        return [each for each in texts if self.known(each, *keys) is not None]

    def pointer(self, *keys: str) -> None:
        """Read a JSON Pointer."""
        value = self.value(*keys)
        if not isinstance(value, str) or _POINTER.fullmatch(value) is None:
            self.refuse(f"`{'.'.join(keys)}` is no JSON Pointer", *keys)

    def number(self, key: str, *, least: int = 1, whole: bool = True) -> None:
        """Read a number of at least `least`; one that may be broken only needs to be above 0."""
        value = self.values.get(key)
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            self.refuse(f"`{key}` is no {'whole ' if whole else ''}number", key)
        elif value < least and (whole or value <= 0):
            self.refuse(f"`{key}` is {value}", key)

    def choice(self, key: str, words: Iterable[str]) -> None:
        """Read one of some words."""
        listed = sorted(words)
        if self.values.get(key) not in listed:
            self.refuse(f"`{key}` is none of {', '.join(listed)}", key)

    def edge(self, source: str | None, to: str | None, *keys: str) -> None:
        """Check that two nodes are connected; silent where one was not found."""
        if source is not None and to is not None and (source, to) not in self.scope.pairs:
            self.refuse(f"there is no edge {source} -> {to}", *keys, code=self.codes.edgeless)

    def has(self, key: str) -> bool:
        """Whether an optional field is set."""
        return self.values.get(key) is not None

    def value(self, *keys: str) -> Any:
        """Return the value that `keys` lead to; None where there is none."""
        inner: Any = self.values
        for key in keys:
            inner = (as_object(inner) or {}).get(key)
        return inner


def settings_of(scope: Scope, place: int, codes: Codes) -> Settings:
    """Begin to read; without an object of version 1 there is a diagnostic and nothing to read."""
    surface = scope.flow.control_surfaces[place]
    values = as_object(surface.config)
    read = Settings(scope, place, surface, codes, values or {})
    if values is None:
        read.refuse("the configuration is no object")
    elif isinstance(values.get("v"), bool) or values.get("v") != VERSION:
        read.refuse(f"`v` is not {VERSION}", "v")
    return read
