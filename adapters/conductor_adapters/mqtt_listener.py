"""Links over an MQTT 5 broker: the conductor's end.

Promise: one connection serves every workspace under a root; its presence is retained, so that
sidecars notice when this life of the conductor has ended; after a lost connection it comes back by
itself. Refusal: no session is known here, and who may speak on which topic is the broker's to say.

Frames are acknowledged as they arrive, a window of them for each link at most: what a conductor
loses with its process, the sidecar pushes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import urllib.parse
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from conductor_adapters.endpoint import client_tls
from conductor_adapters.errors import BrokerLost, PublishDenied
from conductor_adapters.link_end import CLOSED_HERE
from conductor_adapters.mqtt_address import level, parse_root_address, presence_topic
from conductor_adapters.mqtt_link import LinkFacts, MqttLink, own_window
from conductor_adapters.mqtt_refusal import explain, refused_connection, refused_subscription
from conductor_adapters.mqtt_wire import (
    Accept,
    Control,
    Gone,
    Open,
    Refuse,
    correlated,
    correlation,
    decode,
    encode,
)
from conductor_adapters.transport import (
    ConductorBusy,
    CredentialRefused,
    LinkOptions,
    TransportError,
)
from conductor_sdk.secret import Secret

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

    from conductor_adapters.mqtt_connection import MqttConnection

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 5.0
RECEIVE_MAXIMUM = 4096
KNOCKS = 1024
"""Links that may wait to be accepted; more are asked to come back later."""


class AcceptedLink:
    """The conductor's end of a link, and who is at the other one."""

    def __init__(self, link: MqttLink, workspace: str, sidecar: str) -> None:
        self.link = link
        self.workspace = workspace
        """The subject; the broker's access list vouches for it."""
        self.sidecar = sidecar


class MqttListener:
    """A conductor's place on a broker; made by `listen`."""

    def __init__(
        self, address: str, user: str, credential: Secret, options: LinkOptions,
        admit: Callable[[str], None] | None,
    ) -> None:  # fmt: skip
        self._endpoint, self._root = parse_root_address(
            address, allow_plaintext=options.allow_plaintext
        )
        self.address = f"{self._endpoint}/{self._root}"
        self._user = user
        self._credential = credential
        self._options = options
        self._admit = admit
        self._presence = presence_topic(self._root)
        self._connection: MqttConnection | None = None
        self._links: dict[str, MqttLink] = {}
        self._knocks: deque[tuple[str, MqttLink]] = deque()
        self._knocked = asyncio.Event()
        self._disconnected = asyncio.Event()
        self._life = ""
        self._closed = False
        self._keeper: asyncio.Task[None] | None = None
        self.refused: TransportError | None = None
        """Why the last attempt to come back failed, while there is no connection."""

    def link_address(self, workspace: str, sidecar: str = "main") -> str:
        """Return the address that a sidecar's enrollment needs."""
        return f"{self.address}/{level(workspace)}/{level(sidecar)}"

    async def open(self) -> None:
        """Connect for the first time, then keep the connection.

        Raises:
            TransportError: The broker was not reached, or refuses.
        """
        await self._connect()
        self._keeper = asyncio.create_task(self._keep(), name="mqtt.listener")

    async def accept(self) -> AcceptedLink:
        """Wait for the next sidecar and open its link, in order of arrival.

        Raises:
            LinkClosed: When the listener is closed.
        """
        while True:
            while self._knocks:
                topic, link = self._knocks.popleft()
                if not link.ended and self._connection is not None:
                    accept = Accept(self._life, *own_window(self._options))
                    self._say(self._connection, topic, link.facts.link, accept)
                    workspace, sidecar = _names(topic, self._root)
                    return AcceptedLink(link, workspace, sidecar)
            if self._closed:
                raise CLOSED_HERE.error()
            self._knocked.clear()
            await self._knocked.wait()

    async def close(self) -> None:
        """Leave the broker: links end, the presence is withdrawn. Idempotent, never raises."""
        if self._closed:
            return
        self._closed = True
        self._knocked.set()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.publish(self._presence, b"", retain=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.close_timeout_s):
                    await connection.flushed()
                    await connection.disconnect()
            connection.abort()
        self._end_links("the conductor has gone")

    async def _connect(self) -> None:
        from conductor_adapters.mqtt_client import Login, Will
        from conductor_adapters.mqtt_connection import MqttConnection

        options, secure = self._options, self._endpoint.secure
        tls = client_tls(options.ca_file, options.cert_file, options.key_file) if secure else None
        self._disconnected.clear()
        login = Login(
            endpoint=self._endpoint, client_id=f"{level(self._root)}:conductor", user=self._user,
            password=self._credential.reveal(), tls=tls, receive_maximum=RECEIVE_MAXIMUM,
            max_packet_bytes=2 * options.max_frame_bytes + 65_536,
            timeout_s=options.open_timeout_s, will=Will(self._presence, b"", retain=True),
        )  # fmt: skip
        connection = MqttConnection(
            login, on_message=self._arrived, on_verdict=self._verdict, on_lost=self._lost
        )
        try:
            async with asyncio.timeout(options.open_timeout_s):
                await self._begin(connection)
        except BaseException as error:
            connection.abort()
            failure = explain(error, self._endpoint, options.open_timeout_s)
            if failure is error:
                raise
            raise failure from None

    async def _begin(self, connection: MqttConnection) -> None:
        answer = await connection.connect()
        frame_bytes = self._options.max_frame_bytes
        if error := refused_connection(answer, self._endpoint, frame_bytes):
            raise error
        topics = (f"{self._root}/+/+/up",)
        self._connection, self._life = connection, os.urandom(8).hex()
        if error := refused_subscription(topics, await connection.subscribe(*topics)):
            raise error
        # Last: who sees it may open a link at once.
        connection.publish(self._presence, self._life.encode(), retain=True)

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            await self._disconnected.wait()
            await asyncio.sleep(pause_s)
            try:
                await self._connect()
            except TransportError as error:
                self.refused = error
                self._disconnected.set()
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
            else:
                self.refused = None
                pause_s = FIRST_PAUSE_S

    # What the connection calls.

    def _arrived(self, message: MQTTMessage) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.acknowledge(message.mid)
        topic = message.topic.removesuffix("/up")
        link_id, number = correlated(getattr(message.properties, "CorrelationData", b""))
        known = self._links.get(topic)
        if known is not None and known.facts.link == link_id and number:
            known.take(number, message.payload, 0)
            return
        control = None if number or not link_id else decode(message.payload)
        if isinstance(control, Open):
            self._knock(connection, topic, link_id, control)
        elif control is not None and known is not None and known.facts.link == link_id:
            known.hear(control)

    def _knock(self, connection: MqttConnection, topic: str, link_id: bytes, wanted: Open) -> None:
        workspace, _ = _names(topic, self._root)
        former = self._links.pop(topic, None)
        if former is not None:
            former.lose(BrokerLost, "the sidecar opened another link")
        refusal = self._refusal(workspace)
        if refusal is not None:
            self._say(connection, topic, link_id, refusal)
            return
        link = MqttLink(
            connection, LinkFacts(link_id, f"{topic}/down"), self._options,
            release=lambda abort: self._release(topic, link_id, abort=abort),
        )  # fmt: skip
        link.limit(connection.answer.max_packet_bytes if connection.answer else None)
        link.opened(wanted)
        self._links[topic] = link
        self._knocks.append((topic, link))
        self._knocked.set()

    def _refusal(self, workspace: str) -> Refuse | None:
        if len(self._knocks) >= KNOCKS:
            return Refuse(busy=True, reason="too many sidecars at once")
        try:
            if self._admit is not None:
                self._admit(workspace)
        except ConductorBusy as error:
            return Refuse(busy=True, reason=error.detail, retry_after_s=error.retry_after_s)
        except CredentialRefused as error:
            return Refuse(busy=False, reason=error.detail)
        return None

    async def _release(self, topic: str, link_id: bytes, *, abort: bool) -> None:
        link = self._links.get(topic)
        if link is not None and link.facts.link == link_id:
            del self._links[topic]
        connection = self._connection
        if connection is None:
            return
        if abort:
            self._say(connection, topic, link_id, Gone())
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.close_timeout_s):
                await connection.flushed()

    def _say(
        self, connection: MqttConnection, topic: str, link_id: bytes, control: Control
    ) -> None:
        connection.publish(
            f"{topic}/down", encode(control), correlation=correlation(link_id), control=True
        )

    def _verdict(self, topic: str, reason: ReasonCode) -> None:
        link = self._links.get(topic.removesuffix("/down"))
        if link is not None and reason.is_failure:
            link.lose(PublishDenied, str(reason))

    def _lost(self, detail: str, reason: ReasonCode | None) -> None:
        del reason
        self._connection = None
        self._end_links(detail)
        self._disconnected.set()

    def _end_links(self, detail: str) -> None:
        links, self._links = list(self._links.values()), {}
        for link in links:
            link.lose(BrokerLost, detail)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()


async def listen(
    address: str, *, user: str = "conductor", credential: Secret | None = None,
    options: LinkOptions | None = None, admit: Callable[[str], None] | None = None,
) -> MqttListener:  # fmt: skip
    """Take a conductor's place on a broker.

    Args:
        address: `mqtts://HOST[:PORT]/ROOT`; one conductor at a time for each root.
        user: The user name; sent with a credential only.
        credential: The password; None: none is sent.
        options: Limits, windows, trust, client certificate.
        admit: Called with each workspace that opens a link; raises to refuse it.

    Raises:
        TransportError: The broker was not reached, or refuses.
    """
    listener = MqttListener(
        address, user, credential or Secret(""), options or LinkOptions(), admit
    )
    await listener.open()
    return listener


def _names(topic: str, root: str) -> tuple[str, str]:
    workspace, _, sidecar = topic.removeprefix(f"{root}/").partition("/")
    return urllib.parse.unquote(workspace), urllib.parse.unquote(sidecar)
