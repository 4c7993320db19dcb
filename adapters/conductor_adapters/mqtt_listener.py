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
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from conductor_adapters.endpoint import client_tls
from conductor_adapters.link_end import CLOSED_HERE
from conductor_adapters.mqtt_address import level, parse_root_address, presence_topic
from conductor_adapters.mqtt_reception import AcceptedLink, Reception
from conductor_adapters.mqtt_refusal import refused_connection, refused_subscription
from conductor_adapters.opening import explain
from conductor_adapters.transport import LinkOptions, TransportError
from conductor_sdk.secret import Secret

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from conductor_adapters.mqtt_client import Login, Message
    from conductor_adapters.mqtt_connection import MqttConnection

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 5.0
RECEIVE_MAXIMUM = 4096


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
        self._presence = presence_topic(self._root)
        self._reception = Reception(self._root, options, admit)
        self._connection: MqttConnection | None = None
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
            if self._closed:
                raise CLOSED_HERE.error()
            accepted = self._reception.accept(self._life)
            if accepted is not None:
                return accepted
            await self._reception.knocked.wait()

    async def close(self) -> None:
        """Leave the broker: links end, the presence is withdrawn. Idempotent, never raises."""
        if self._closed:
            return
        self._closed = True
        self._reception.knocked.set()
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
        self._reception.end("the conductor has gone")

    async def _connect(self) -> None:
        from conductor_adapters.mqtt_connection import MqttConnection

        timeout_s = self._options.open_timeout_s
        self._disconnected.clear()
        connection = MqttConnection(
            self._login(), on_message=self._arrived, on_verdict=self._verdict, on_lost=self._lost
        )
        try:
            async with asyncio.timeout(timeout_s):
                await self._begin(connection)
        except BaseException as error:
            connection.abort()
            failure = explain(error, self._endpoint, timeout_s)
            if failure is error:
                raise
            raise failure from None

    def _login(self) -> Login:
        from conductor_adapters.mqtt_client import Login, Will

        options, secure = self._options, self._endpoint.secure
        tls = client_tls(options.ca_file, options.cert_file, options.key_file) if secure else None
        return Login(
            endpoint=self._endpoint, client_id=f"{level(self._root)}:conductor", user=self._user,
            password=self._credential, tls=tls, receive_maximum=RECEIVE_MAXIMUM,
            max_packet_bytes=2 * options.max_frame_bytes + 65_536,
            timeout_s=options.open_timeout_s, will=Will(self._presence, b"", retain=True),
        )  # fmt: skip

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

    def _arrived(self, message: Message) -> None:
        if self._connection is not None:
            self._reception.arrived(self._connection, message)

    def _verdict(self, topic: str, reason: ReasonCode) -> None:
        self._reception.denied(topic, reason)

    def _lost(self, detail: str, reason: ReasonCode | None) -> None:
        del reason
        self._connection = None
        self._reception.end(detail)
        self._disconnected.set()

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
