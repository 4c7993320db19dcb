"""An application that can be exchanged while it is served.

Promise: a request is answered by the application in which it began; one that comes while requests
are held waits. Refusal: nothing is known of either application.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send


class Exchange:
    """Stands before an application, and before the one that takes its place."""

    def __init__(self, app: ASGIApp, *, held: bool = False) -> None:
        """Stand before an application; `held`: nothing begins before `begin`."""
        self.app = app
        """Whatever begins from now on is its."""
        self._begun = asyncio.Event()
        if not held:
            self._begun.set()

    def begin(self) -> None:
        """Let requests that were held begin."""
        self._begun.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if not self._begun.is_set():
            await self._begun.wait()
        await self.app(scope, receive, send)
