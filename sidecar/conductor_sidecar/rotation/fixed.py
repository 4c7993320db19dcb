"""The credential of an adapter that has none to rotate.

Promise: the link is opened with what there is. Refusal: nothing is fetched and nothing is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

from conductor_adapters.transport import Transport
from conductor_sidecar.credentials import Credentials, Identity
from conductor_sidecar.feed import Feed
from conductor_sidecar.rotation.errors import RotationUnavailable
from conductor_sidecar.rotation.finishing import Rotated


class Turning(Protocol):
    """What the daemon needs of a rotation; `Rotation` says what each does."""

    reconnect: Callable[[str], Awaitable[None]]

    def asked(self, version: int, url: str) -> None:
        """Take a conductor's word that a credential waits."""
        ...

    async def connect(self, dial: Callable[[Identity], Awaitable[Transport]]) -> Transport:
        """Open a link."""
        ...

    def opened(self) -> None:
        """Note that the conductor welcomed the link that was opened last."""
        ...

    async def renew(self) -> Rotated:
        """Get a new credential now."""
        ...

    async def run(self) -> None:
        """Turn the credential over as often as it is asked."""
        ...


class Fixed:
    """No rotation: for the memory adapter."""

    def __init__(self, credentials: Credentials, feed: Feed) -> None:
        self.reconnect: Callable[[str], Awaitable[None]] = stay
        self._credentials = credentials
        self._feed = feed

    def asked(self, version: int, url: str) -> None:
        """Count what cannot be done."""
        del url
        self._feed.refused(RotationUnavailable.code, f"version {version}")

    async def connect(self, dial: Callable[[Identity], Awaitable[Transport]]) -> Transport:
        """Open a link with the one identity."""
        return await dial(self._credentials.current())

    def opened(self) -> None:
        """Do nothing: no candidate was proven."""

    async def renew(self) -> NoReturn:
        """Refuse.

        Raises:
            RotationUnavailable: Always.
        """
        raise RotationUnavailable

    async def run(self) -> None:
        """Return: there is nothing to do."""


async def stay(reason: str) -> None:
    """Leave the link as it is."""
    del reason
