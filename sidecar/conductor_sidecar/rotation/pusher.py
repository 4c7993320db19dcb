"""Pushing by HTTP with whatever credential, address and trust hold now.

Promise: a credential that was rotated or enrolled anew, and a setting that was reloaded, is used
from the next push on. Refusal: it asks for none, and a refusal is the caller's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from conductor_adapters.transport import ConnectFailed
from conductor_sdk.secret import Secret
from conductor_sidecar.delivery.fallback import PushAnswer, Pusher


@dataclass(frozen=True, slots=True)
class Way:
    """What a pusher is made with."""

    link: str
    """Address of the link; a WebSocket one has an HTTP one beside it."""
    credential: Secret
    ca_file: str | None
    allow_plaintext: bool


class ClosingPusher(Pusher, Protocol):
    """A pusher that keeps connections."""

    async def close(self) -> None:
        """Release them."""
        ...


class PresentPusher:
    """Makes another pusher when the way has changed or failed; the first at the first push."""

    def __init__(self, make: Callable[[Way], ClosingPusher], way: Callable[[], Way]) -> None:
        self._make = make
        self._way = way
        self._used: tuple[Way, ClosingPusher] | None = None

    async def push(self, workspace: str, events: Sequence[bytes]) -> Sequence[PushAnswer]:
        """Push a batch in order; one answer each.

        Raises:
            ConnectFailed: The way leads nowhere.
            TransportError: As the pusher that is used.
        """
        now = self._way()
        if self._used is None or self._used[0] != now:
            if not has_http(now.link):
                raise ConnectFailed(f"{now.link} has no HTTP address beside it")
            former, self._used = self._used, (now, self._make(now))
            if former is not None:
                await former[1].close()
        pusher = self._used[1]
        try:
            return await pusher.push(workspace, events)
        except ConnectFailed:
            # Certificates may have been exchanged in their file: the next push reads them anew.
            self._used = None
            await pusher.close()
            raise


def has_http(link: str) -> bool:
    """Tell whether an HTTP address follows from a link's address."""
    return link.startswith(("ws://", "wss://"))
