"""An application that can be exchanged while it is served.

Promise: a request is answered by the application in which it began. Refusal: nothing is known of
either of them.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Exchange:
    """Stands before an application, and before the one that takes its place."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        """Whatever begins from now on is its."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self.app(scope, receive, send)
