"""A conductor and a sidecar on this machine, joined by a real WebSocket: for the demo.

Promise: everything that happens here happens through the public parts, in a temporary workspace
that is gone afterwards. Refusal: no shortcut past the network, the stores or the packs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from conductor_sdk.client import Sidecar, connect
from conductor_sdk.clock import SystemClock
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_server.hub import EmbeddedConductor
from conductor_server.server import Address
from conductor_server.server import serve as serve_conductor
from conductor_server.settings import HubSettings
from conductor_sidecar import app
from conductor_sidecar.enrollment import request_grant
from conductor_sidecar.errors import ExpectationFailed
from conductor_sidecar.serve import serve as serve_sidecar
from conductor_sidecar.settings import ReconnectSettings, Settings

SUBJECT = "demo"
WAIT_S = 10.0
BEAT_S = 1.0
POLL_S = 0.02


class Playground:
    """One conductor that can come and go, one sidecar that stays."""

    def __init__(
        self, conductor: EmbeddedConductor, workspace: Workspace, settings: Settings
    ) -> None:
        self.conductor = conductor
        self.workspace = workspace
        self.sidecar: Sidecar = connect(workspace.root)
        self._settings = settings
        self._serving = contextlib.AsyncExitStack()
        self._port = 0
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open_conductor(self) -> Address:
        """Let the conductor listen, on the same port every time."""
        address = await self._serving.enter_async_context(
            serve_conductor(self.conductor, port=self._port)
        )
        self._port = address.port
        return address

    async def close_conductor(self) -> None:
        """Let the conductor go away: no listener, no link."""
        await self.conductor.close()
        await self._serving.aclose()

    async def enroll(self, address: Address) -> str:
        """Enroll the workspace over HTTP; returns the subject."""
        issued = await self.conductor.tokens.issue(SUBJECT)
        grant = await asyncio.to_thread(request_grant, address.url, issued.text)
        await app.enroll_workspace(self.workspace, grant)
        return grant.subject

    async def start_sidecar(self) -> None:
        """Start the daemon; returns when it handles events."""
        ready = asyncio.Event()
        serving = serve_sidecar(self.workspace, self._settings, self._stop, ready=ready)
        self._task = asyncio.create_task(serving, name="demo.sidecar")
        waiting = asyncio.create_task(ready.wait(), name="demo.ready")
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    async def status(self) -> dict[str, Any]:
        """Return what `conductor status --json` prints."""
        return dict(await self.sidecar.status())

    async def until(
        self, what: str, reached: Callable[[], Awaitable[bool]], timeout_s: float = WAIT_S
    ) -> None:
        """Wait for a condition.

        Raises:
            ExpectationFailed: It did not come about in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    if await reached():
                        return
                    await asyncio.sleep(POLL_S)
        raise ExpectationFailed(f"{what}, not within {timeout_s:g} s")

    async def close(self) -> None:
        """Stop the daemon cleanly, then the conductor."""
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self.close_conductor()


@contextlib.asynccontextmanager
async def playground(
    directory: Path, pack_settings: dict[str, dict[str, Any]] | None = None
) -> AsyncGenerator[Playground]:
    """Make a playground in an empty directory; everything is stopped at the end."""
    root = directory / SUBJECT
    root.mkdir()
    history = await app.open_history(directory / "conductor.db")
    settings = Settings(
        reconnect=ReconnectSettings(first_spread_s=1.0, cap_s=5.0), pack=pack_settings or {}
    )
    conductor = EmbeddedConductor(history, SystemClock(), HubSettings(beat_s=BEAT_S))
    ground = Playground(conductor, resolve_workspace(root), settings)
    try:
        yield ground
    finally:
        await ground.close()
        await history.close()
