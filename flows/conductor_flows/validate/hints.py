"""Capability hints: what each one needs at least, and which ones a resource implies.

Promise: hints match on `::` boundaries, so `resource::kvx` is no `resource::kv`; all hints of the
built-in capabilities are registered here, whatever else is imported. Refusal: no global registry
is ever changed; whoever knows more hints makes a registry of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from conductor_flows.ir.terms import Determinism, Effects

JSON_BOUNDARY: Final = "policy::json_boundary"
"""Says that a node passes JSON without a type on purpose."""
DEDUPE: Final = "resource::dedupe"
BLOB: Final = "resource::blob"
HTTP: Final = "resource::http"
_RESOURCE: Final = "resource::"


def under(hint: str, root: str) -> bool:
    """Whether a hint is a root or lies below it: `resource::kv::read` under `resource::kv`."""
    return hint == root or hint.startswith(root + "::")


@dataclass(frozen=True, slots=True)
class HintRegistry:
    """What hints need; a hint has what the longest registered hint above it has."""

    effects: Mapping[str, Effects]
    """The least permissive effects that a node with the hint may declare."""
    determinism: Mapping[str, Determinism]
    """The strictest determinism that a node with the hint may declare."""

    def effects_of(self, hint: str) -> Effects | None:
        """Return the minimum of an effect hint; None where none is registered."""
        return next((self.effects[root] for root in _roots(hint) if root in self.effects), None)

    def determinism_of(self, hint: str) -> Determinism | None:
        """Return the minimum of a determinism hint; None where none is registered."""
        found = (self.determinism[root] for root in _roots(hint) if root in self.determinism)
        return next(found, None)

    def knows(self, hint: str) -> bool:
        """Whether an effect hint needs no further word: registered, or no resource at all."""
        if not hint.startswith(_RESOURCE) or hint in self.determinism:
            return True
        return self.effects_of(hint) is not None

    def with_effect(self, hint: str, minimum: Effects) -> HintRegistry:
        """Return a registry that also has this effect hint, in place of one of that name."""
        return replace(self, effects=MappingProxyType({**self.effects, hint: minimum}))

    def with_determinism(self, hint: str, minimum: Determinism) -> HintRegistry:
        """Return a registry that also has this determinism hint, in place of one of that name."""
        return replace(self, determinism=MappingProxyType({**self.determinism, hint: minimum}))


def _roots(hint: str) -> Iterator[str]:
    """Yield a hint and everything above it, longest first."""
    while hint:
        yield hint
        hint = hint.rpartition("::")[0]


_READ, _WRITE = Effects.READ_ONLY, Effects.EFFECTFUL
HINTS: Final = HintRegistry(
    effects=MappingProxyType({
        "resource::http::read": _READ, "resource::http::write": _WRITE,
        "resource::db::read": _READ, "resource::db::write": _WRITE,
        "resource::kv::read": _READ, "resource::kv::write": _WRITE,
        "resource::blob::read": _READ, "resource::blob::write": _WRITE,
        "resource::queue::consume": _READ, "resource::queue::publish": _WRITE,
        "resource::dedupe::write": _WRITE, "resource::dedupe::store": _WRITE,
        "resource::cache::read": _READ, "resource::cache::write": _WRITE,
    }),
    determinism=MappingProxyType({
        f"{_RESOURCE}{family}": Determinism.BEST_EFFORT
        for family in ("http", "clock", "rng", "db", "kv", "blob", "queue", "dedupe", "cache")
    }),
)  # fmt: skip
"""The hints of the built-in capabilities."""


@dataclass(frozen=True, slots=True)
class Implied:
    """The hints that follow from the declaration of a resource."""

    effects: tuple[str, ...] = ()
    determinism: tuple[str, ...] = ()


def _forms(*verbs: str) -> frozenset[str]:
    """Return verbs with who does it: `read` and `reader`, `write` and `writer`."""
    return frozenset(f"{verb}{end}" for verb in verbs for end in ("", "s", "r", "er", "ing"))


@dataclass(frozen=True, slots=True)
class _Family:
    """One family of resources, by the words that tell it."""

    name: str
    words: frozenset[str]
    first: tuple[str, frozenset[str]] | None = None
    """An operation and the words that choose it."""
    second: tuple[str, frozenset[str]] | None = None
    otherwise: str | None = None
    alias_words: frozenset[str] = frozenset()
    """Words that count in the alias only."""


_FAMILIES: Final = (
    _Family("clock", frozenset({"clock"})),
    _Family("rng", frozenset({"rng", "random"})),
    _Family(
        "http", frozenset({"http", "https", "httpx"}),
        first=("write", _forms("write", "post", "put", "patch", "delete", "send", "emit",
                               "publish", "produce", "upsert", "insert", "update")),
        second=("read", _forms("read", "fetch", "get", "load", "receive", "consume", "listen")),
    ),
    _Family(
        "db", frozenset({"db", "database", "sql", "sqlite", "mysql", "postgres", "postgresql",
                         "pg"}),
        first=("read", _forms("read", "select", "fetch", "query")), otherwise="write",
    ),
    _Family("kv", frozenset({"kv", "keyvalue"}), alias_words=frozenset({"cache"}),
            first=("read", _forms("read", "get", "fetch", "lookup")), otherwise="write"),
    _Family("queue", frozenset({"queue"}),
            first=("consume", _forms("consume", "dequeue", "receive", "poll")),
            otherwise="publish"),
    _Family("dedupe", frozenset({"dedupe", "dedup", "idem", "idempotent", "idempotency"}),
            otherwise="write"),
    _Family("blob", frozenset({"blob", "object", "storage"}),
            first=("read", _forms("read", "fetch", "get", "download")), otherwise="write"),
)  # fmt: skip
_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def implied_by(alias: str, type_name: str) -> Implied:
    """Return the hints that a resource's alias and type name imply.

    The first family of which either has a word decides; whole words count, so `feedback` is no
    `db`. An unknown resource implies nothing; `fallback` is for those who know what it does.
    """
    of_alias, of_type = frozenset(_words(alias)), frozenset(_words(type_name))
    words = of_alias | of_type
    for family in _FAMILIES:
        if family.words & words or family.alias_words & of_alias:
            root = f"{_RESOURCE}{family.name}"
            operation = _operation(family, words)
            return Implied((f"{root}::{operation}",) if operation else (), (root,))
    return Implied()


def fallback(namespace: str, *, writes: bool) -> str:
    """Return the effect hint of a resource that implies none, by what its author says it does."""
    return f"{_RESOURCE}{namespace}::{'write' if writes else 'read'}"


def _operation(family: _Family, words: frozenset[str]) -> str | None:
    for choice in (family.first, family.second):
        if choice is not None and choice[1] & words:
            return choice[0]
    return family.otherwise


def _words(name: str) -> Iterable[str]:
    found = [word.lower() for word in _WORD.findall(name)]
    # `KeyValue` is one word in two.
    return [*found, *(first + second for first, second in pairwise(found))]
