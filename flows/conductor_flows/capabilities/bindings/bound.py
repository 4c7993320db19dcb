"""Providers by the hint that they satisfy.

Promise: the longest bound hint that a wanted one begins with wins, on `::` boundaries; what shares
an instance shares its state. Refusal: checkpoint stores are no capability, and are not here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Any

from conductor_flows.capabilities.bindings.providers import PROVIDERS, Making
from conductor_flows.capabilities.bindings.spec import Binding
from conductor_flows.execute.errors import CapabilitiesMissing
from conductor_flows.ir.model import FlowIR
from conductor_sdk.clock import Clock, SystemClock


class Capabilities(Mapping[str, Any]):
    """A mapping from any hint that is satisfied to its provider; iterates over the bound ones."""

    def __init__(self, providers: Mapping[str, Any], to_close: Iterable[Any] = ()) -> None:
        self._providers = dict(providers)
        self._to_close = list(to_close)

    def _find(self, hint: object) -> str | None:
        if not isinstance(hint, str):
            return None
        parts = hint.split("::")
        for length in range(len(parts), 0, -1):
            prefix = "::".join(parts[:length])
            if prefix in self._providers:
                return prefix
        return None

    def __getitem__(self, hint: str) -> Any:
        found = self._find(hint)
        if found is None:
            raise KeyError(hint)
        return self._providers[found]

    def __contains__(self, hint: object) -> bool:
        return self._find(hint) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)

    async def close(self) -> None:
        """Close files and connections. Idempotent."""
        while self._to_close:
            await self._to_close.pop().close()


def build(bindings: Iterable[Binding], *, clock: Clock | None = None) -> Capabilities:
    """Make the providers; nothing is opened before it is used.

    Args:
        bindings: What is bound; `durability::` hints are passed over.
        clock: Where times to live are counted.

    Raises:
        BindingRefused: A provider cannot be made from its `connect`.
    """
    made: dict[str, Any] = {}
    providers: dict[str, Any] = {}
    to_close: list[Any] = []
    clock = clock or SystemClock()
    for binding in bindings:
        provider = PROVIDERS[binding.provider_kind]
        if provider.make is None:
            continue
        connect = dict(binding.connect)
        if binding.hint == "resource::http::read":
            connect["reading"] = True
        identity = binding.instance or binding.provider_kind
        same = f"{identity} {json.dumps(connect, sort_keys=True)}"
        if same not in made:
            made[same] = provider.make(Making(connect, clock, to_close.append))
        providers[binding.hint] = made[same]
    return Capabilities(providers, to_close)


@contextlib.asynccontextmanager
async def built(
    bindings: Iterable[Binding], *, clock: Clock | None = None
) -> AsyncGenerator[Capabilities]:
    """Make the providers and close them at the end; as `build`."""
    capabilities = build(bindings, clock=clock)
    try:
        yield capabilities
    finally:
        await capabilities.close()


def missing(flow: FlowIR, capabilities: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the hints that nothing is bound to, sorted, each once.

    Hints of determinism do not count: they say what a node may notice, not what it needs.
    """
    return tuple(sorted({
        hint
        for node in flow.nodes
        for hint in node.effect_hints
        if hint.startswith("resource::") and hint not in capabilities
    }))  # fmt: skip


def preflight(flow: FlowIR, capabilities: Mapping[str, Any]) -> None:
    """Look whether everything that a flow asks for is bound.

    Raises:
        CapabilitiesMissing: CAP101, with the hints.
    """
    hints = missing(flow, capabilities)
    if hints:
        raise CapabilitiesMissing(", ".join(hints), data={"hints": list(hints)})
