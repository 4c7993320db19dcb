"""A broker that restarts, refuses, denies or limits: each has a code and a way out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conductor_adapters.errors import (
    BrokerLimit,
    BrokerLost,
    FramesLost,
    NoConductor,
    PacketTooLarge,
    PublishDenied,
    TopicDenied,
)
from conductor_adapters.mqtt import adapter
from conductor_adapters.mqtt_link import MqttLink
from conductor_adapters.mqtt_listener import MqttListener, listen
from conductor_adapters.testing.expect import closed, gather, quiet
from conductor_adapters.transport import (
    ConnectFailed,
    CredentialRefused,
    LinkClosed,
    LinkOptions,
    TransportError,
)
from conductor_sdk.errors import Exit
from conductor_sdk.secret import Secret
from mosquitto import Broker

PASSWORD = Secret("the sidecar's credential")
CONDUCTORS = Secret("the conductor's own")
USERS = {"acme": PASSWORD.reveal(), "conductor": CONDUCTORS.reveal()}
ACL = """
user conductor
topic read conductor/+/+/up
topic write conductor/+/+/down
topic readwrite conductor/presence
pattern write conductor/%u/+/up
pattern read conductor/%u/+/down
pattern read conductor/presence
"""
QUICK = LinkOptions(open_timeout_s=1.0, close_timeout_s=0.5)
PATIENCE_S = 15.0


@asynccontextmanager
async def running(broker: Broker, options: LinkOptions = QUICK) -> AsyncIterator[MqttListener]:
    with broker:
        credential = CONDUCTORS if broker.users else None
        async with await listen(broker.address(), credential=credential, options=options) as up:
            yield up


async def connected(
    listener: MqttListener, options: LinkOptions = QUICK, workspace: str = "acme"
) -> tuple[MqttLink, MqttLink]:
    connecting = asyncio.create_task(
        adapter.connect(listener.link_address(workspace), PASSWORD, options)
    )
    accepting = asyncio.create_task(listener.accept())
    await asyncio.wait({connecting, accepting}, return_when=asyncio.FIRST_COMPLETED)
    if connecting.done():
        accepting.cancel()
        connecting.result()
    accepted = await accepting
    link = await connecting
    assert isinstance(link, MqttLink)
    return link, accepted.link


async def again(listener: MqttListener) -> tuple[MqttLink, MqttLink]:
    """Try until a link opens, as the sidecar does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await connected(listener)
            except TransportError:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_both_ends_find_each_other_again_after_the_broker_restarts(
    tmp_path: Path, *, kill: bool
) -> None:
    broker = Broker(tmp_path / "broker")
    async with running(broker) as listener:
        link, conductor = await connected(listener)
        broker.stop(kill=kill)
        error = await closed(link)
        assert (BrokerLost, "BROKER_LOST", False) == (type(error), error.code, error.clean)
        assert not (await closed(conductor)).clean  # a broker that stops may publish the will
        await link.close()
        await conductor.close()
        broker.start()
        link, conductor = await again(listener)
        await conductor.send([b"still here"])
        assert [b"still here"] == await gather(link, 1)
        await link.close()


async def test_a_broker_that_cannot_be_reached_has_a_code(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")
    with pytest.raises(ConnectFailed) as caught:
        await adapter.connect(f"{broker.address()}/acme/main", PASSWORD, QUICK)
    assert ("CONNECT_FAILED", Exit.UNAVAILABLE) == (caught.value.code, caught.value.exit_code)
    with pytest.raises(ConnectFailed):
        await listen(broker.address(), options=QUICK)


async def test_a_wrong_password_is_a_refused_credential(tmp_path: Path) -> None:
    async with running(Broker(tmp_path / "broker", users=USERS)) as listener:
        wrong = Secret("not this one")
        with pytest.raises(CredentialRefused) as caught:
            await adapter.connect(listener.link_address("acme"), wrong, QUICK)
        assert Exit.TOKEN_REFUSED == caught.value.exit_code
        assert wrong.reveal() not in f"{caught.value!r} {caught.value}"


async def test_the_right_password_opens_a_link_under_the_access_list(tmp_path: Path) -> None:
    async with running(Broker(tmp_path / "broker", users=USERS, acl=ACL)) as listener:
        link, conductor = await connected(listener)
        await link.send([b"up"])
        await conductor.send([b"down"])
        assert [[b"up"], [b"down"]] == [await gather(conductor, 1), await gather(link, 1)]
        await link.close(1006)
        assert 1006 == (await closed(conductor)).close_code


async def test_a_topic_that_the_access_list_denies_has_a_code(tmp_path: Path) -> None:
    users = {**USERS, "other": PASSWORD.reveal()}
    async with running(Broker(tmp_path / "broker", users=users, acl=ACL)) as listener:
        stranger = listener.link_address("acme").replace("/acme/", "/other/")
        opening = asyncio.create_task(listener.accept())
        link = await adapter.connect(stranger, PASSWORD, QUICK)
        assert "other" == (await opening).workspace
        await link.close()
    acl = ACL.replace("pattern write conductor/%u/+/up", "")
    async with running(Broker(tmp_path / "mute", users=USERS, acl=acl)) as listener:
        with pytest.raises(TopicDenied, match="conductor/acme/main/up") as caught:
            await connected(listener)
        assert ("TOPIC_DENIED", True) == (caught.value.code, "access list" in caught.value.hint)


async def test_a_workspace_cannot_speak_as_another(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", users={**USERS, "mallory": "m"}, acl=ACL)
    async with running(broker) as listener:
        victim, conductor = await connected(listener)
        await pretend(broker, "mallory", "m", "conductor/acme/main/up", victim.facts.link)
        await victim.send([b"mine"])
        assert [b"mine"] == await gather(conductor, 1)
        await victim.close()


async def pretend(broker: Broker, user: str, password: str, topic: str, link: bytes) -> None:
    """Publish a goodbye for another's link; the broker must refuse it."""
    from paho.mqtt.reasoncodes import ReasonCode

    from conductor_adapters.endpoint import Endpoint
    from conductor_adapters.mqtt_client import Login, Will
    from conductor_adapters.mqtt_connection import MqttConnection
    from conductor_adapters.mqtt_wire import Close, correlation, encode

    verdict: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
    connection = MqttConnection(
        Login(
            endpoint=Endpoint("mqtt", "127.0.0.1", broker.port, secure=False),
            client_id=user, user=user, password=Secret(password), tls=None, receive_maximum=10,
            max_packet_bytes=10_000, timeout_s=5.0, will=Will(topic, b""),
        ),
        on_message=lambda message: None,
        on_verdict=lambda topic, reason: verdict.set_result(reason),
        on_lost=lambda detail, reason: None,
    )  # fmt: skip
    await connection.connect()
    connection.publish(topic, encode(Close(1000)), correlation=correlation(link), control=True)
    assert (await verdict).is_failure
    await connection.disconnect()


async def test_a_frame_that_is_denied_in_flight_ends_the_link_with_a_code(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", users=USERS, acl=ACL)
    async with running(broker) as listener:
        link, _ = await connected(listener)
        (broker.directory / "acl").write_text(ACL.replace("pattern write conductor/%u/+/up", ""))
        broker.reload()
        async with asyncio.timeout(PATIENCE_S):
            while not link.ended:
                with contextlib.suppress(LinkClosed):
                    await link.send([b"again"])
                await asyncio.sleep(0.01)
        error = await closed(link)
        assert (PublishDenied, "PUBLISH_DENIED") == (type(error), error.code)
        await link.close()


async def test_a_broker_that_takes_no_whole_frame_is_refused_at_once(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", extra="max_packet_size 100000")
    with broker, pytest.raises(BrokerLimit, match="takes 100000 bytes") as caught:
        await adapter.connect(f"{broker.address()}/acme/main", PASSWORD, QUICK)
    assert "BROKER_LIMIT" == caught.value.code


async def test_a_frame_over_the_brokers_limit_is_not_sent_and_has_a_code(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", extra="max_packet_size 100000")
    small = LinkOptions(max_frame_bytes=50_000, open_timeout_s=1.0)
    async with running(broker, small) as listener:
        link, conductor = await connected(listener, small)
        link._max_frame_bytes = 10**6  # the peer would take it
        await link.send([b"fits", b"x" * 99_900])
        error = await closed(link)
        assert (PacketTooLarge, "PACKET_TOO_LARGE", 1009) == (
            type(error), error.code, error.close_code
        )  # fmt: skip
        assert [b"fits"] == await gather(conductor, 1)
        assert 1009 == (await closed(conductor)).close_code
        await link.close()


async def test_a_packet_over_our_own_limit_is_a_hole_with_a_code(tmp_path: Path) -> None:
    small = LinkOptions(max_frame_bytes=50_000, open_timeout_s=1.0)
    async with running(Broker(tmp_path / "broker"), QUICK) as listener:
        link, conductor = await connected(listener, small)
        conductor._max_frame_bytes = 10**6
        # The broker may not deliver the first: it is larger than CONNECT allowed.
        await conductor.send([b"x" * 400_000, b"after"])
        error = await closed(link)
        assert (FramesLost, "FRAMES_LOST") == (type(error), error.code)
        await link.close()


async def test_nobody_behind_the_broker_has_a_code(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker:
        with pytest.raises(NoConductor, match="nobody listens under conductor") as caught:
            await adapter.connect(f"{broker.address()}/acme/main", PASSWORD, QUICK)
        assert "NO_CONDUCTOR" == caught.value.code
        # One that was here once: its session takes messages, and nobody answers.
        async with await listen(broker.address(), options=QUICK):
            pass
        with pytest.raises(NoConductor, match="no answer on conductor/acme/main/down"):
            await adapter.connect(f"{broker.address()}/acme/main", PASSWORD, QUICK)


async def test_a_sidecar_that_waits_is_served_when_the_conductor_comes_back(
    tmp_path: Path,
) -> None:
    with Broker(tmp_path / "broker") as broker:
        async with await listen(broker.address(), options=QUICK):
            pass
        patient = LinkOptions(open_timeout_s=PATIENCE_S)
        connecting = asyncio.create_task(
            adapter.connect(f"{broker.address()}/acme/main", PASSWORD, patient)
        )
        await quiet(lambda: 0)
        async with await listen(broker.address(), options=QUICK) as listener:
            accepted = await listener.accept()
            link = await connecting
            await accepted.link.send([b"here"])
            assert [b"here"] == await gather(link, 1)
            await link.close()


async def test_the_receive_maximum_of_the_broker_is_kept(tmp_path: Path) -> None:
    async with running(Broker(tmp_path / "broker", extra="max_inflight_messages 2")) as listener:
        link, conductor = await connected(listener)
        frames = [b"%d" % number for number in range(200)]
        sending = asyncio.create_task(link.send(frames))
        assert frames == await gather(conductor, len(frames))
        await sending
        await link.close()


@pytest.mark.parametrize(
    "address",
    [
        "mqtt://127.0.0.1:1/conductor/acme", "mqtt://127.0.0.1:1/conductor/+/main",
        "mqtt://127.0.0.1:1/conductor/acme/main?x=1", "mqtt://u:p@127.0.0.1:1/conductor/acme/main",
        "mqtt://broker.example/conductor/acme/main", "mqtt://127.0.0.1:1/$SYS/a/b",
        "ws://127.0.0.1:1/conductor/acme/main",
    ],
)  # fmt: skip
async def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    with pytest.raises(ConnectFailed):
        await adapter.connect(address, PASSWORD, QUICK)


async def test_extra_headers_are_refused() -> None:
    with pytest.raises(ConnectFailed, match="no extra headers"):
        await adapter.connect(
            "mqtt://127.0.0.1:1/conductor/acme/main", PASSWORD, LinkOptions(headers={"a": "b"})
        )
