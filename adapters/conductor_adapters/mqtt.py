"""Links over an MQTT 5 broker, `mqtt://` and `mqtts://`: the sidecar's end.

Promise: the credential travels only in the CONNECT packet, over TLS or loopback; a link is one
connection to the broker in a session that outlives it; frames of an earlier link are acknowledged
and dropped, for the conductor sends again from the cursor. Refusal: no QoS 0, no clean start, no
reconnecting, no extra headers.
"""

from __future__ import annotations

import asyncio
import math
import os
from typing import TYPE_CHECKING

from conductor_adapters.endpoint import client_tls
from conductor_adapters.errors import BrokerLost, NoConductor, PublishDenied, TopicDenied
from conductor_adapters.mqtt_address import MqttAddress, parse_sidecar_address
from conductor_adapters.mqtt_link import CONTROL_ROOM, LinkFacts, MqttLink, own_window
from conductor_adapters.mqtt_refusal import (
    refused_connection,
    refused_link,
    refused_subscription,
    why_lost,
)
from conductor_adapters.mqtt_wire import (
    LINK_BYTES,
    Accept,
    Gone,
    Open,
    Refuse,
    correlation,
    decode,
    encode,
)
from conductor_adapters.opening import explain
from conductor_adapters.transport import (
    ConnectFailed,
    LinkOptions,
    Transport,
    TransportError,
)
from conductor_sdk.secret import Secret

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from conductor_adapters.mqtt_client import Login, Message

_NOBODY = 0x10
"""The broker took the message, and nobody has subscribed."""


class MqttAdapter:
    """The entry point `mqtt` of the group `conductor.adapters`."""

    name = "mqtt"
    schemes = ("mqtt", "mqtts")

    def __init__(self) -> None:
        self._process = ""

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        """Open a link.

        Args:
            address: `mqtts://HOST[:PORT]/ROOT/WORKSPACE/SIDECAR`; `mqtt://` for loopback, or where
                `options.allow_plaintext` says so.
            credential: The password; the user name is the workspace. An empty one is not sent.
            options: Limits, windows, time-outs, trust, client certificate.

        Raises:
            CredentialRefused: The broker does not know the user, or the conductor not the
                workspace.
            ConductorBusy: The broker or the conductor asks to come back later.
            ConnectFailed: Anything else, within `open_timeout_s`.
        """
        where = parse_sidecar_address(address, allow_plaintext=options.allow_plaintext)
        if options.headers:
            raise ConnectFailed("MQTT carries no extra headers")
        self._process = self._process or os.urandom(8).hex()
        opening = _Opening(where, credential, options, self._process)
        try:
            async with asyncio.timeout(options.open_timeout_s):
                return await opening.run()
        except BaseException as error:
            opening.abandon()
            failure = opening.explain(error)
            if failure is error:
                raise
            raise failure from None


class _Opening:
    """The sidecar's end of a connection, from the dial to the end of its link."""

    def __init__(
        self, where: MqttAddress, credential: Secret, options: LinkOptions, process: str
    ) -> None:
        from conductor_adapters.mqtt_connection import MqttConnection

        self.where = where
        self._connected = False
        self._options = options
        self._process = process
        self._link_id = os.urandom(LINK_BYTES)
        self._opened: asyncio.Future[Accept] = asyncio.get_running_loop().create_future()
        self._conductor = ""
        login = _login(where, credential, options, self._link_id)
        self._connection = MqttConnection(
            login, on_message=self._arrived, on_verdict=self._verdict, on_lost=self._lost
        )
        facts = LinkFacts(self._link_id, where.up)
        self._link = MqttLink(self._connection, facts, options, release=self._release)

    async def run(self) -> MqttLink:
        """Connect, subscribe, open."""
        where, options = self.where, self._options
        answer = await self._connection.connect()
        if error := refused_connection(answer, where.endpoint, options.max_frame_bytes):
            raise error
        self._connected = True
        self._link.limit(answer.max_packet_bytes)
        topics = (where.down, where.presence)
        if error := refused_subscription(topics, await self._connection.subscribe(*topics)):
            raise error
        # Not kept for a conductor that comes later: by then nobody waits for its answer.
        self._connection.publish(
            where.up, encode(Open(*own_window(options), self._process)), control=True,
            correlation=correlation(self._link_id),
            expiry_s=max(1, math.ceil(options.open_timeout_s)),
        )  # fmt: skip
        await self._opened
        return self._link

    def abandon(self) -> None:
        """Let go of an opening that failed."""
        if not self._opened.done():
            self._opened.cancel()
        elif not self._opened.cancelled():
            self._opened.exception()  # told by whoever raised
        self._connection.abort()

    def explain(self, error: BaseException) -> BaseException:
        """Translate whatever ended the opening into an error of the port."""
        if self._connected and isinstance(error, TimeoutError):
            timeout_s = self._options.open_timeout_s
            return NoConductor(f"no answer on {self.where.down} within {timeout_s:g} s")
        return explain(error, self.where.endpoint, self._options.open_timeout_s)

    async def _release(self, abort: bool) -> None:
        if not abort:
            try:
                async with asyncio.timeout(self._options.close_timeout_s):
                    await self._connection.flushed()
                    await self._connection.disconnect()
            except TimeoutError:
                pass
        self._connection.abort()

    # What the connection calls.

    def _arrived(self, message: Message) -> None:
        if message.topic == self.where.presence:
            self._connection.acknowledge(message.mid)
            self._presence(message.payload.decode("ascii", "replace"))
            return
        if message.link != self._link_id:
            # Of an earlier link: the conductor sends again from the cursor.
            self._connection.acknowledge(message.mid)
        elif message.number:
            self._link.take(message.number, message.payload, message.mid)
        else:
            self._connection.acknowledge(message.mid)
            self._hear(message.payload)

    def _hear(self, payload: bytes) -> None:
        control = decode(payload)
        if control is None:
            return
        if self._opened.done():
            self._link.hear(control)
            return
        match control:
            case Accept():
                self._conductor = control.conductor
                self._link.opened(control)
                self._opened.set_result(control)
            case Refuse():
                self._fail(refused_link(control))
            case Gone():
                self._fail(ConnectFailed("the conductor has vanished"))
            case _:
                pass

    def _presence(self, conductor: str) -> None:
        if self._conductor and conductor != self._conductor:
            self._link.lose(BrokerLost, "the conductor has gone")

    def _verdict(self, topic: str, reason: ReasonCode) -> None:
        code: int = reason.value
        if code == _NOBODY:
            self._fail(NoConductor(f"nobody listens under {self.where.root}"))
        else:
            self._fail(TopicDenied(f"publish to {topic}: {reason}"))
            self._link.lose(PublishDenied, f"{reason}")

    def _lost(self, detail: str, reason: ReasonCode | None) -> None:
        self._fail(ConnectFailed(f"{self.where.endpoint} closed the connection: {detail}"))
        self._link.lose(*why_lost(detail, reason))

    def _fail(self, error: TransportError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)


def _login(where: MqttAddress, credential: Secret, options: LinkOptions, link: bytes) -> Login:
    from conductor_adapters.mqtt_client import Login, Will

    secure = where.endpoint.secure
    return Login(
        endpoint=where.endpoint, client_id=where.client_id, user=where.workspace,
        password=credential,
        tls=client_tls(options.ca_file, options.cert_file, options.key_file) if secure else None,
        receive_maximum=own_window(options)[0] + CONTROL_ROOM,
        # A larger frame still reaches the link, which answers it with a code.
        max_packet_bytes=2 * options.max_frame_bytes + 65_536,
        timeout_s=options.open_timeout_s,
        will=Will(where.up, encode(Gone()), correlation(link)),
    )  # fmt: skip


adapter = MqttAdapter()
