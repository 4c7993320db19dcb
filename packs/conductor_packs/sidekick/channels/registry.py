"""Which providers there are: transports by name, for one scope.

Promise: what is registered inside a scope is seen inside it and nowhere else, tasks started there
included. Refusal: there is no global registry; registering outside of a scope is an error.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from conductor_packs.sidekick.channels.port import Transport, Transports, provider_key


class TransportRegistry:
    """Transports by provider; a `Transports`. A later registration replaces an earlier one."""

    def __init__(self) -> None:
        self._transports: dict[str, Transport] = {}

    def register(self, provider: str, transport: Transport) -> None:
        """Make a provider known.

        Raises:
            ValueError: The name is blank.
        """
        key = provider_key(provider)
        if not key:
            raise ValueError("a provider needs a name")
        self._transports[key] = transport

    def find(self, provider: str) -> Transport | None:
        """Return the transport of a provider, or None."""
        return self._transports.get(provider_key(provider))

    def names(self) -> list[str]:
        """Return the providers' names, sorted."""
        return sorted(self._transports)

    def clear(self) -> None:
        """Forget all transports."""
        self._transports.clear()


_current: ContextVar[TransportRegistry | None] = ContextVar("sidekick_transports", default=None)


@contextmanager
def transport_scope(registry: TransportRegistry | None = None) -> Generator[TransportRegistry]:
    """Make a registry the current one; the one before is current again afterwards."""
    mine = TransportRegistry() if registry is None else registry
    token = _current.set(mine)
    try:
        yield mine
    finally:
        _current.reset(token)


def current_transports() -> TransportRegistry | None:
    """Return the registry of the innermost scope; None outside of all."""
    return _current.get()


def register_transport(provider: str, transport: Transport) -> None:
    """Register in the current scope.

    Raises:
        LookupError: There is no scope.
        ValueError: The name is blank.
    """
    registry = _current.get()
    if registry is None:
        raise LookupError("a transport is registered inside of transport_scope()")
    registry.register(provider, transport)


def scoped_or(configured: Transports) -> Transports:
    """Return the current scope's registry, or the configured transports outside of all."""
    scoped = _current.get()
    return configured if scoped is None else scoped
