"""The conductor of a workspace that has none: the far end of the `memory` adapter.

Promise: what the sidecar pushes stands in the kernel's inbox file, on the disk, before it is
confirmed. Refusal: one workspace, one process, no network and no credential.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conductor_sdk.clock import Clock
from conductor_sdk.event import KernelEvent
from conductor_server.errors import InboxUnwritable
from conductor_server.hub import EmbeddedConductor, Sent
from conductor_server.ports import History, Link
from conductor_server.settings import HubSettings
from conductor_server.signals import SignalFile


class Loopback:
    """An embedded conductor for one workspace, with the inbox file as its further sink."""

    def __init__(
        self,
        history: History,
        clock: Clock,
        workspace: Path,
        subject: str,
        settings: HubSettings | None = None,
    ) -> None:
        """Build the far end.

        Args:
            history: What it keeps; not closed here.
            clock: The time.
            workspace: The root that holds `.lumenflow`.
            subject: The workspace's name: the `from` of everything that is pushed.
            settings: Limits, beats and pages.
        """
        self._subject = subject
        self._signals = SignalFile(workspace, clock)
        self._writing = asyncio.Lock()
        self.conductor = EmbeddedConductor(history, clock, settings, sink=self._keep)

    async def attach(self, link: Link) -> None:
        """Serve the sidecar's link until it ends."""
        await self.conductor.attach(link, self._subject)

    async def send(
        self, kind: str, payload: Mapping[str, Any], *, idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> Sent:  # fmt: skip
        """Send an event down as the conductor; durable in the history when this returns.

        Raises:
            EventMalformed: The kind or the payload has the wrong shape.
        """
        return await self.conductor.send(
            self._subject, kind, payload, idempotency_key, traceparent=traceparent
        )

    async def close(self) -> None:
        """End the link, if there is one."""
        await self.conductor.close()

    async def _keep(self, workspace: str, events: Sequence[KernelEvent]) -> None:
        del workspace  # There is one.
        async with self._writing:
            try:
                await asyncio.to_thread(self._signals.append, events)
            except OSError as error:
                raise InboxUnwritable(str(error)) from error
