"""Bindings as they are typed: `--bind resource::kv=sqlite:./kv.db`.

Promise: whatever is accepted here can be built. Refusal: nothing is opened.

    resource::kv=memory            kv=filesystem:DIR      kv=sqlite:FILE
    resource::http::read=httpx2    clock=pinned:2026-01-01T00:00:00Z    rng=seeded:42
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from conductor_flows.capabilities.bindings.providers import PROVIDERS, argument_of
from conductor_flows.capabilities.errors import BindingRefused

ALIASES: Final = {
    "kv": "resource::kv", "blob": "resource::blob", "queue": "resource::queue",
    "db": "resource::db", "dedupe": "resource::dedupe", "cache": "resource::cache",
    "http": "resource::http", "http_read": "resource::http::read",
    "http_write": "resource::http::write", "clock": "resource::clock", "rng": "resource::rng",
    "checkpoint_store": "durability::checkpoint_store",
}  # fmt: skip
"""Short names of hints."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One hint, and all below it, bound to one provider."""

    hint: str
    """As `resource::kv`; without a part at the end it stands for every part."""
    provider_kind: str
    """As `kv.memory`."""
    connect: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the provider needs to know, as `{"path": "kv.db"}`; no secrets."""
    instance: str = ""
    """Bindings of the same instance share a provider; empty: of the same kind and `connect`."""


def family_of(hint: str) -> str:
    """Return what sort of provider a hint takes, as `kv` for `resource::kv::read`.

    Raises:
        BindingRefused: There is no such sort.
    """
    parts = hint.split("::")
    known = {kind.partition(".")[0] for kind in PROVIDERS}
    if len(parts) < 2 or parts[0] not in {"resource", "durability"} or parts[1] not in known:  # noqa: PLR2004  # a room and a family
        raise BindingRefused(f"{hint!r} is no capability; known are: {', '.join(sorted(ALIASES))}")
    return parts[1]


def parse(text: str) -> Binding:
    """Read `hint=provider` or `hint=provider:argument`; the hint may be a short name.

    Raises:
        BindingRefused: Not of that form, or an unknown hint or provider.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not value.strip():
        raise BindingRefused(f"{text!r} is not of the form hint=provider")
    hint = ALIASES.get(key.strip(), key.strip())
    family = family_of(hint)
    name, colon, argument = value.strip().partition(":")
    kind = f"{family}.{name}"
    if kind not in PROVIDERS:
        found = sorted(each for each in PROVIDERS if each.startswith(f"{family}."))
        names = ", ".join(each.partition(".")[2] for each in found)
        raise BindingRefused(f"{hint} has no provider {name!r}; it has: {names}")
    wanted = argument_of(kind)
    if wanted is None and colon:
        raise BindingRefused(f"{kind} takes no argument")
    if wanted is not None and not argument:
        raise BindingRefused(f"{kind} needs one: {key.strip()}={name}:<{wanted}>")
    return Binding(hint, kind, {} if wanted is None else {wanted: argument})


def parse_all(texts: Iterable[str]) -> tuple[Binding, ...]:
    """Read several; each hint may be bound once.

    Raises:
        BindingRefused: As `parse`, or a hint comes twice.
    """
    found: dict[str, Binding] = {}
    for text in texts:
        binding = parse(text)
        if binding.hint in found:
            raise BindingRefused(f"{binding.hint} is bound twice")
        found[binding.hint] = binding
    return tuple(found.values())
