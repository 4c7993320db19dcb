"""The door to TCP: one listener, and another one that takes its place.

Promise: another address is listened on before the old one is left, and where it cannot be had the
old one stays as it was; nothing is served at the new one before it is settled; a socket that was
handed over is kept. Refusal: what is served behind the door is made by whoever opens it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from conductor_sidecar.http.errors import ListenFailed
from conductor_sidecar.http.listener import Listening, TcpSurface, check_loopback, whereabouts
from conductor_sidecar.mcp.endpoint import McpEndpoint
from conductor_sidecar.settings import HttpSettings, Settings

GRACE_S = 5
"""Seconds that requests have to end which run when their address is left."""
SHORT_S = 1
"""The same where it is given up, or the daemon stops."""

Make = Callable[[Settings], tuple[TcpSurface, McpEndpoint]]


@dataclass(slots=True)
class _Opened:
    where: object
    listening: Listening
    endpoint: McpEndpoint
    stack: AsyncExitStack


class Door:
    """One for the daemon's life. A change is `prepare`, `renew`, `settle`; or `undo`."""

    def __init__(self, make: Make, handed: socket.socket | None) -> None:
        """Stay closed; see `prepare`.

        Args:
            make: Makes what is served by some settings.
            handed: A listening socket that takes the place of `http.listen`; closed at the end.
        """
        self._make = make
        self._handed = handed
        self._open: _Opened | None = None
        self._next: _Opened | None = None
        self._leaving = self._shut = False
        self._left: list[_Opened] = []
        self._retired: list[McpEndpoint] = []
        self._clearing = asyncio.Lock()

    @property
    def url(self) -> str | None:
        """Where a client begins; None: nothing listens."""
        return None if self._open is None else self._open.listening.url

    async def prepare(self, settings: Settings) -> None:
        """Listen where the settings say, beside the address that is open.

        Raises:
            ListenFailed: The address cannot be had; nothing has changed.
            ListenRefused: It is not of this machine, and that is not allowed; likewise.
            PrivateFileRefused: A file of credentials is open to others; likewise.
            CredentialsDamaged: A file of credentials does not hold what it should; likewise.
        """
        await self.undo()
        where = self._where(settings.http)
        if self._open is not None and where == self._open.where:
            host = self._open.listening.host.strip("[]")
            check_loopback(host, allow_remote=settings.http.allow_remote)
            return
        if where is not None:
            made = await self._beside(settings, where)
            if self._shut:  # while it was opened; nobody would close it
                await self._closed(made, SHORT_S)
                raise ListenFailed("the sidecar is stopping")
            self._next = made
        self._leaving = self._open is not None

    def renew(self, settings: Settings) -> None:
        """Serve other settings, packs and tools behind the door that is open from now on."""
        here = self._next or (None if self._leaving else self._open)
        if here is not None:
            surface, endpoint = self._make(settings)
            here.listening.renew(surface)
            self._retired.append(here.endpoint)
            here.endpoint = endpoint

    async def settle(self) -> None:
        """Leave the address that was open before; end the MCP sessions that nobody serves."""
        if self._leaving or self._next is not None:
            self._left += [] if self._open is None else [self._open]
            self._open, self._next, self._leaving = self._next, None, False
        if self._open is not None:
            self._open.listening.begin()
        await self._clear(SHORT_S if self._shut else GRACE_S)

    async def undo(self) -> None:
        """Leave the address that was prepared."""
        if self._next is not None:
            self._next.listening.decline()
            self._left.append(self._next)
        self._next, self._leaving = None, False
        await self._clear(SHORT_S)

    async def close(self) -> None:
        """Close for good."""
        self._shut = True
        try:
            await self.undo()
        finally:
            self._leaving = True
            await self.settle()

    def _where(self, http: HttpSettings) -> object:
        return self._handed if self._handed is not None else whereabouts(http.listen)

    async def _beside(self, settings: Settings, where: object) -> _Opened:
        try:
            return await self._opened(settings, where)
        except ListenFailed as error:
            mine = None if self._open is None else self._open.listening
            if mine is not None and str(settings.http.listen).endswith(f":{mine.port}"):
                hint = "the sidecar itself holds that port: restart it, or move to another port"
                raise ListenFailed(error.detail, hint=hint) from None
            raise

    async def _opened(self, settings: Settings, where: object) -> _Opened:
        surface, endpoint = self._make(settings)
        async with contextlib.AsyncExitStack() as stack:
            listening = await stack.enter_async_context(
                surface.listening(self._handed, held=True)
            )  # fmt: skip
            assert listening is not None  # noqa: S101  there is an address
            return _Opened(where, listening, endpoint, stack.pop_all())

    async def _clear(self, grace_s: int) -> None:
        """End what was left; what cannot be ended now is tried again by the next one."""
        async with self._clearing:
            while self._left:
                await self._closed(self._left[0], grace_s)
                del self._left[0]  # meanwhile others may have come, behind it
            while self._retired:
                await self._retired.pop().close()

    async def _closed(self, opened: _Opened, grace_s: int) -> None:
        opened.listening.patient(grace_s)
        try:
            await opened.endpoint.close()
        finally:
            await opened.stack.aclose()
