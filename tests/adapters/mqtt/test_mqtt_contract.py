"""The MQTT adapter against the contract suites and a real Mosquitto."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conductor_adapters.mqtt import adapter
from conductor_adapters.mqtt_link import MqttLink
from conductor_adapters.mqtt_listener import MqttListener, listen
from conductor_adapters.testing.connect_contract import RETRY_AFTER_S, ConnectContract, Reception
from conductor_adapters.testing.contract import TransportContract
from conductor_adapters.testing.expect import Peer
from conductor_adapters.transport import Adapter, ConductorBusy, LinkOptions, Transport
from conductor_sdk.secret import Secret
from mosquitto import Broker
from silent_server import silent_server

ROOTS = itertools.count()


class LinkPeer:
    """The conductor's end as the suites drive it."""

    def __init__(self, link: MqttLink) -> None:
        self._link = link

    async def receive(self, limit: int) -> list[bytes]:
        return await self._link.receive(limit)

    async def send(self, frames: list[bytes]) -> None:
        await self._link.send(frames)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._link.close(code, reason)

    async def abort(self) -> None:
        await self._link.close(1006)


@asynccontextmanager
async def linked(
    broker: Broker, options: LinkOptions, *, conductor: LinkOptions | None = None
) -> AsyncIterator[tuple[Transport, Peer]]:
    address = broker.address(f"contract{next(ROOTS)}")
    async with await listen(address, options=conductor or LinkOptions()) as listener:
        connecting = asyncio.create_task(
            adapter.connect(listener.link_address("acme"), Secret(""), options)
        )
        accepted = await listener.accept()
        link = await connecting
        try:
            yield link, LinkPeer(accepted.link)
        finally:
            await link.close(1006)
            await accepted.link.close(1006)


class TestMqttTransport(TransportContract):
    @pytest.fixture(autouse=True)
    def _broker(self, broker: Broker) -> None:
        self.broker = broker

    @asynccontextmanager
    async def link(self, options: LinkOptions) -> AsyncIterator[tuple[Transport, Peer]]:
        async with linked(self.broker, options) as ends:
            yield ends


class TestMqttTransportFromTheConductor(TransportContract):
    """The same promises, with the conductor's end as the link under test."""

    @pytest.fixture(autouse=True)
    def _broker(self, broker: Broker) -> None:
        self.broker = broker

    @asynccontextmanager
    async def link(self, options: LinkOptions) -> AsyncIterator[tuple[Transport, Peer]]:
        async with linked(self.broker, LinkOptions(), conductor=options) as (sidecar, conductor):
            assert isinstance(sidecar, MqttLink)
            assert isinstance(conductor, LinkPeer)
            yield conductor._link, LinkPeer(sidecar)


class TestMqttConnect(ConnectContract):
    @pytest.fixture(autouse=True)
    def _broker(self, broker: Broker, tmp_path: Path) -> None:
        self.broker, self.directory = broker, tmp_path

    @property
    def adapter(self) -> Adapter:
        return adapter

    @asynccontextmanager
    async def server(self, reception: Reception) -> AsyncIterator[str]:
        if reception is Reception.IS_SILENT:
            async with silent_server() as port:
                yield f"mqtt://127.0.0.1:{port}/conductor/acme/main"
            return
        users = {"acme": "another password"} if reception is Reception.REFUSES else {}
        with Broker(self.directory / "own", users=users) as own:
            if reception is Reception.IS_GONE:
                own.stop()
            if reception in {Reception.IS_GONE, Reception.REFUSES}:
                yield f"{own.address()}/acme/main"
                return
            busy = reception is Reception.IS_BUSY
            async with await listen(own.address(), admit=_busy if busy else None) as listener:
                accepting = asyncio.create_task(_accept_all(listener))
                yield listener.link_address("acme")
                accepting.cancel()


def _busy(workspace: str) -> None:
    raise ConductorBusy(workspace, retry_after_s=RETRY_AFTER_S)


async def _accept_all(listener: MqttListener) -> None:
    while True:
        await listener.accept()
