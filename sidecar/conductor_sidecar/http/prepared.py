"""Requests that wait until the tools are known.

Promise: whoever asks first waits, and the event loop does not: a pack may load modules of its users
to say which tools it has. Refusal: what needs no tool, as health, waits for none.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from conductor_sidecar.http.access import Tools


class Prepared:
    """Stands before a guard, which asks for the names of tools without waiting."""

    def __init__(self, app: ASGIApp, host: Tools, passing: Collection[str]) -> None:
        """Stand before an application.

        Args:
            app: What is served.
            host: The tools.
            passing: Paths that need none.
        """
        self._app = app
        self._host = host
        self._passing = passing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["path"] not in self._passing:
            await self._host.ready()
        await self._app(scope, receive, send)
