"""The memory adapter: the contract suites, and what only a loopback has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conductor_adapters import memory
from conductor_adapters.errors import AddressTaken
from conductor_adapters.memory import MemoryTransport, adapter, listen, pair
from conductor_adapters.testing.connect_contract import (
    RETRY_AFTER_S,
    ConnectContract,
    Reception,
)
from conductor_adapters.testing.contract import TransportContract
from conductor_adapters.testing.expect import Peer
from conductor_adapters.transport import (
    Adapter,
    ConductorBusy,
    ConnectFailed,
    CredentialRefused,
    LinkClosed,
    LinkOptions,
    Transport,
)
from conductor_sdk.secret import Secret


class MemoryPeer:
    def __init__(self, end: MemoryTransport) -> None:
        self._end = end
        self.receive, self.send, self.close = end.receive, end.send, end.close

    async def abort(self) -> None:
        await self._end.close(1006)


class TestMemoryTransport(TransportContract):
    @asynccontextmanager
    async def link(self, options: LinkOptions) -> AsyncIterator[tuple[Transport, Peer]]:
        near, far = pair(options)
        yield near, MemoryPeer(far)
        await near.close()
        await far.close()


class TestMemoryConnect(ConnectContract):
    @property
    def adapter(self) -> Adapter:
        return adapter

    @asynccontextmanager
    async def server(self, reception: Reception) -> AsyncIterator[str]:
        def admit(credential: Secret) -> None:
            if reception is Reception.REFUSES:
                raise CredentialRefused("unknown token")
            if reception is Reception.IS_BUSY:
                raise ConductorBusy("full", retry_after_s=RETRY_AFTER_S)

        if reception is Reception.IS_GONE:
            yield "memory://nobody"
            return
        async with listen("contract", admit=admit) as listener:
            accepting = asyncio.create_task(listener.accept())
            if reception is Reception.IS_SILENT:
                accepting.cancel()
            yield listener.address
            accepting.cancel()
            await asyncio.wait({accepting})
        assert {} == memory._listeners


async def test_a_listener_accepts_in_order_and_sees_the_credential() -> None:
    async with listen("inbox") as listener:
        clients = [
            asyncio.create_task(adapter.connect("memory://inbox", Secret(name), LinkOptions()))
            for name in ("first", "second")
        ]
        servers = [await listener.accept(), await listener.accept()]
        assert ["first", "second"] == [end.credential.reveal() for end in servers]
        await (await clients[1]).send([b"hello"])
        assert [b"hello"] == await servers[1].receive(10)
        for end in servers:
            await end.close()


async def test_a_closed_listener_frees_its_name_and_keeps_its_links() -> None:
    listener = listen("inbox")
    connecting = asyncio.create_task(adapter.connect("memory://inbox", Secret(""), LinkOptions()))
    server = await listener.accept()
    client = await connecting
    await listener.close()
    await listener.close()
    await server.send([b"still here"])
    assert [b"still here"] == await client.receive(1)
    assert {} == memory._listeners
    async with listen("inbox"):
        pass
    await client.close()


async def test_closing_a_listener_refuses_who_waits_and_ends_accept() -> None:
    listener = listen("inbox")
    accepting = asyncio.create_task(listener.accept())
    await asyncio.sleep(0)
    await listener.close()
    with pytest.raises(LinkClosed):
        await accepting
    listener = listen("inbox")
    connecting = asyncio.create_task(adapter.connect("memory://inbox", Secret(""), LinkOptions()))
    await asyncio.sleep(0)
    await listener.close()
    with pytest.raises(ConnectFailed):
        await connecting


async def test_a_name_has_one_listener() -> None:
    async with listen("inbox"):
        with pytest.raises(AddressTaken) as caught:
            listen("inbox")
    assert "ADDRESS_TAKEN" == caught.value.code


async def test_a_connection_that_gave_up_is_never_accepted() -> None:
    async with listen("inbox") as listener:
        impatient = LinkOptions(open_timeout_s=0.01)
        with pytest.raises(ConnectFailed):
            await adapter.connect("memory://inbox", Secret("late"), impatient)
        connecting = asyncio.create_task(
            adapter.connect("memory://inbox", Secret("on time"), LinkOptions())
        )
        assert "on time" == (await listener.accept()).credential.reveal()
        await (await connecting).close()


async def test_a_connection_cancelled_while_it_is_accepted_is_reset() -> None:
    async with listen("inbox") as listener:
        connecting = asyncio.create_task(
            adapter.connect("memory://inbox", Secret(""), LinkOptions())
        )
        server = await listener.accept()
        connecting.cancel()
        await asyncio.wait({connecting})
        with pytest.raises(LinkClosed) as caught:
            await asyncio.wait_for(server.receive(1), 5)
        assert 1006 == caught.value.close_code


async def test_each_end_has_its_own_limits() -> None:
    near, far = pair(LinkOptions(max_frame_bytes=10), LinkOptions(max_frame_bytes=100))
    await near.send([b"x" * 100])
    assert [b"x" * 100] == await far.receive(1)
    await far.send([b"y" * 11])
    with pytest.raises(LinkClosed) as caught:
        await near.receive(1)
    assert 1009 == caught.value.close_code
    with pytest.raises(LinkClosed) as caught:
        await far.send([b"z"])
    assert 1009 == caught.value.close_code


async def test_receive_refuses_a_limit_below_one() -> None:
    near, _far = pair()
    with pytest.raises(ValueError, match="limit"):
        await near.receive(0)
