"""Pushing by HTTP with whatever the credential is now.

Promise: a credential that was rotated or enrolled anew is used from the next push on. Refusal: it
asks for none, and a refusal is the caller's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from conductor_sdk.secret import Secret
from conductor_sidecar.delivery.fallback import PushAnswer, Pusher


class ClosingPusher(Pusher, Protocol):
    """A pusher that keeps connections."""

    async def close(self) -> None:
        """Release them."""
        ...


class PresentPusher:
    """Makes another pusher when the credential has changed."""

    def __init__(
        self, make: Callable[[Secret], ClosingPusher], credential: Callable[[], Secret]
    ) -> None:
        self._make = make
        self._credential = credential
        self._used = credential()
        self._pusher = make(self._used)

    async def push(self, workspace: str, events: Sequence[bytes]) -> Sequence[PushAnswer]:
        """Push a batch in order; one answer each."""
        now = self._credential()
        if now != self._used:
            former = self._pusher
            self._used, self._pusher = now, self._make(now)
            await former.close()
        return await self._pusher.push(workspace, events)
