"""What only a link over a broker can do: late acknowledgement, sessions, wills, presence."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from conductor_adapters.errors import AddressShared, BrokerLost, FramesLost, LinkTakenOver
from conductor_adapters.mqtt import MqttAdapter, adapter
from conductor_adapters.mqtt_address import parse_sidecar_address
from conductor_adapters.mqtt_link import WINDOW, MqttLink
from conductor_adapters.mqtt_listener import MqttListener, listen
from conductor_adapters.mqtt_refusal import why_lost
from conductor_adapters.testing.expect import closed, gather, quiet
from conductor_adapters.transport import (
    ConnectFailed,
    LateAcknowledgement,
    LinkClosed,
    LinkOptions,
    Transport,
)
from conductor_sdk.secret import Secret
from mosquitto import Broker

ROOTS = itertools.count()
NOBODY = Secret("")
PATIENCE_S = 10.0


@pytest.fixture
async def listener(broker: Broker) -> AsyncIterator[MqttListener]:
    async with await listen(broker.address(f"link{next(ROOTS)}")) as listening:
        yield listening


async def connected(
    listener: MqttListener, options: LinkOptions | None = None, workspace: str = "acme"
) -> tuple[MqttLink, MqttLink]:
    """Open a link; returns the sidecar's end and the conductor's."""
    address = listener.link_address(workspace)
    connecting = asyncio.create_task(adapter.connect(address, NOBODY, options or LinkOptions()))
    async with asyncio.timeout(PATIENCE_S):
        accepted = await listener.accept()
        link = await connecting
    assert isinstance(link, MqttLink)
    return link, accepted.link


async def accept_all(listener: MqttListener) -> None:
    while True:
        await listener.accept()


class Watcher:
    """Somebody else at the broker, with a client id of choice."""

    def __init__(self, broker: Broker, client_id: str) -> None:
        self.heard: asyncio.Queue[MQTTMessage] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_message = lambda _client, _data, message: self._loop.call_soon_threadsafe(
            self.heard.put_nowait, message
        )
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60
        self._client.connect("127.0.0.1", broker.port, clean_start=False, properties=properties)
        self._client.loop_start()

    async def next(self) -> MQTTMessage:
        async with asyncio.timeout(PATIENCE_S):
            return await self.heard.get()

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@asynccontextmanager
async def watching(broker: Broker, client_id: str) -> AsyncIterator[Watcher]:
    watcher = Watcher(broker, client_id)
    try:
        yield watcher
    finally:
        watcher.end()


async def test_the_broker_keeps_what_is_not_stored(broker: Broker, listener: MqttListener) -> None:
    link, conductor = await connected(listener)
    assert isinstance(link, LateAcknowledgement)
    stored = link.defer()
    await conductor.send([b"%d" % number for number in range(5)])
    assert [b"0", b"1", b"2", b"3", b"4"] == await gather(link, 5)
    stored(2)
    await quiet(lambda: 0)
    await link.close(1006)
    where = parse_sidecar_address(listener.link_address("acme"), allow_plaintext=False)
    async with watching(broker, where.client_id) as sidecar:
        again = [await sidecar.next() for _ in range(3)]
    assert [(b"2", True), (b"3", True), (b"4", True)] == [(m.payload, m.dup) for m in again]


async def test_without_deferring_a_frame_is_acknowledged_as_it_is_received(
    broker: Broker, listener: MqttListener
) -> None:
    link, conductor = await connected(listener)
    await conductor.send([b"read", b"unread"])
    assert [b"read"] == await link.receive(1)
    await quiet(lambda: 0)
    await link.close(1006)
    where = parse_sidecar_address(listener.link_address("acme"), allow_plaintext=False)
    async with watching(broker, where.client_id) as sidecar:
        assert b"unread" == (await sidecar.next()).payload


async def test_what_is_not_stored_takes_room_in_the_window(listener: MqttListener) -> None:
    link, conductor = await connected(listener, LinkOptions(receive_window=4))
    stored = link.defer()
    sending = asyncio.create_task(conductor.send([b"%d" % number for number in range(6)]))
    assert [b"0", b"1", b"2", b"3"] == await gather(link, 4)
    await asyncio.wait({sending}, timeout=0.05)
    assert not sending.done()
    stored(4)
    assert [b"4", b"5"] == await gather(link, 2)
    await sending
    await link.close()


async def test_a_full_window_lets_the_goodbye_pass(listener: MqttListener) -> None:
    link, conductor = await connected(listener)
    link.defer()
    await_room = asyncio.create_task(conductor.send([b"x"] * WINDOW))
    assert WINDOW == len(await gather(link, WINDOW))
    await asyncio.wait({await_room}, timeout=0.01)
    await conductor.close(4001, "moved")
    error = await closed(link)
    assert (4001, True) == (error.close_code, error.clean)
    await asyncio.wait({await_room})
    assert isinstance(await_room.exception(), LinkClosed)
    await link.close()


async def test_frames_of_an_earlier_link_are_dropped_by_the_next(listener: MqttListener) -> None:
    first, conductor = await connected(listener)
    first.defer()
    await conductor.send([b"old", b"older"])
    await gather(first, 2)
    await first.close(1006)
    second, conductor = await connected(listener)
    await conductor.send([b"new"])
    assert [b"new"] == await gather(second, 1)
    await second.close()


async def test_the_conductor_learns_at_once_that_a_sidecar_died(listener: MqttListener) -> None:
    link, conductor = await connected(listener)
    await link.close(1006)
    error = await closed(conductor)
    assert (1006, False) == (error.close_code, error.clean)


async def test_a_sidecar_that_opens_again_ends_its_former_link(listener: MqttListener) -> None:
    _, former = await connected(listener)
    link, conductor = await connected(listener)
    assert BrokerLost is type(await closed(former))
    await conductor.send([b"still here"])
    assert [b"still here"] == await gather(link, 1)
    await link.close()


async def test_of_two_processes_at_one_address_the_older_is_told_so(
    listener: MqttListener,
) -> None:
    older, newer = MqttAdapter(), MqttAdapter()
    accepting = asyncio.create_task(accept_all(listener))
    address = listener.link_address("acme")
    first = await older.connect(address, NOBODY, LinkOptions())
    second = await newer.connect(address, NOBODY, LinkOptions())
    assert BrokerLost is type(await closed(first))
    with pytest.raises(AddressShared) as caught:
        await older.connect(address, NOBODY, LinkOptions())
    assert ("ADDRESS_SHARED", 300.0) == (caught.value.code, caught.value.retry_after_s)
    assert BrokerLost is type(await closed(second))
    third = await newer.connect(address, NOBODY, LinkOptions())
    for link in (first, second, third):
        await link.close()
    accepting.cancel()


def test_a_broker_that_tells_of_a_takeover_is_believed() -> None:
    reason = ReasonCode(PacketTypes.DISCONNECT, identifier=0x8E)
    kind, _ = why_lost("", reason)
    assert (LinkTakenOver, "LINK_TAKEN_OVER") == (kind, kind.code)


async def test_a_conductor_that_leaves_ends_the_links(listener: MqttListener) -> None:
    link, _ = await connected(listener)
    await listener.close()
    error = await closed(link)
    assert (BrokerLost, 1006) == (type(error), error.close_code)
    await link.close()


async def test_another_life_of_the_conductor_ends_the_links_of_the_former(
    broker: Broker, listener: MqttListener
) -> None:
    link, _ = await connected(listener)
    root = listener.address.removeprefix(broker.authority_address + "/")
    async with await listen(broker.address(root)):
        assert BrokerLost is type(await closed(link))
        await link.close()


async def test_two_workspaces_of_one_conductor_do_not_hear_each_other(
    listener: MqttListener,
) -> None:
    acme, to_acme = await connected(listener, workspace="acme/prod")
    other, to_other = await connected(listener, workspace="other")
    await to_acme.send([b"for acme"])
    await to_other.send([b"for other"])
    assert [[b"for acme"], [b"for other"]] == [await gather(acme, 1), await gather(other, 1)]
    await acme.close()
    await other.close()


async def test_a_hole_in_the_numbers_ends_the_link_with_a_code(listener: MqttListener) -> None:
    link, _ = await connected(listener)
    link.take(1, b"first", 0)
    link.take(1, b"again", 0)
    link.take(3, b"third", 0)
    assert [b"first"] == await gather(link, 1)
    error = await closed(link)
    assert (FramesLost, "FRAMES_LOST", 1006) == (type(error), error.code, error.close_code)
    assert "numbers 2 to 2" in str(error)
    await link.close()


async def test_a_subject_of_any_characters_is_one_topic_level(listener: MqttListener) -> None:
    workspace = "acme/prod +#%: zürich"
    connecting = asyncio.create_task(
        adapter.connect(listener.link_address(workspace, "host 1"), NOBODY, LinkOptions())
    )
    accepted = await listener.accept()
    link: Transport = await connecting
    assert (workspace, "host 1") == (accepted.workspace, accepted.sidecar)
    await link.close()


async def test_a_client_certificate_opens_a_link(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Broker(tmp_path_factory.mktemp("broker"), tls=True, client_certificates=True) as broker:
        conductor = LinkOptions(
            ca_file=broker.ca_file, cert_file=str(broker.client_certificate("conductor"))
        )
        sidecar = LinkOptions(
            ca_file=broker.ca_file, cert_file=str(broker.client_certificate("acme"))
        )
        async with await listen(broker.address(), options=conductor) as listener:
            link, near = await connected(listener, sidecar)
            await near.send([b"x" * 300_000] * 20)
            assert 20 == len(await gather(link, 20))
            await link.close()
            with pytest.raises(ConnectFailed):
                await adapter.connect(
                    listener.link_address("acme"), NOBODY, LinkOptions(ca_file=broker.ca_file)
                )
