"""The world of the delivery contract with a broker between the two ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from conductor_adapters.mqtt_link import MqttLink
from conductor_adapters.mqtt_listener import listen
from conductor_adapters.transport import ConductorBusy, CredentialRefused, LinkOptions
from conductor_server.errors import RefusingConnections
from delivery_world import SUBJECT, World
from mosquitto import Broker


class MqttWorld(World):
    """One broker, one conductor behind it, one workspace."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "mqtt")  # type: ignore[arg-type]  # one more than it knows
        self.broker = Broker(directory / "broker")
        self.broker.__enter__()

    async def end(self) -> None:
        """Stop everything, the broker last."""
        try:
            await super().end()
        finally:
            self.broker.stop()

    @asynccontextmanager
    async def _memory(self) -> AsyncIterator[str]:
        conductor = self.conductor
        listener = await listen(
            self.broker.address(), admit=self._admit, options=LinkOptions(close_timeout_s=0.5)
        )
        self._revoked = {
            record.workspace
            for record in await conductor.tokens.records()
            if record.revoked_ms is not None and record.token_id == self.credential_id
        }

        async def accept() -> None:
            async with asyncio.TaskGroup() as group:
                while True:
                    link = await listener.accept()
                    group.create_task(self._attach(link.link))

        async def watch() -> None:
            async for record in conductor.watch():
                if record.what == "token_revoked":
                    self._revoked.add(record.workspace)

        tasks = [asyncio.create_task(accept()), asyncio.create_task(watch())]
        try:
            yield listener.link_address(SUBJECT)
        finally:
            await listener.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _admit(self, workspace: str) -> None:
        try:
            self.conductor.admit()
        except RefusingConnections as error:
            raise ConductorBusy(retry_after_s=error.retry_after_s) from None
        if workspace in self._revoked:
            raise CredentialRefused("revoked")

    async def _attach(self, link: MqttLink) -> None:
        await self.conductor.attach(link, SUBJECT)
