"""One connection to a broker: paho's client driven by an asyncio loop.

Promise: MQTT 5, QoS 1, a session that outlives the connection; what arrives is acknowledged by
`acknowledge` and by nothing else; publishing keeps to the broker's receive maximum, and the end is
told once. Refusal: it never reconnects, and it knows no link and no frame.

paho connects, and shakes hands for TLS, in a thread of its own (`mqtt.connect`); from then on all
happens on the event loop, through paho's public calls for foreign loops.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from conductor_adapters.mqtt_client import (
    Login,
    Message,
    dial_now,
    drop,
    new_client,
    new_properties,
)
from conductor_adapters.mqtt_wire import CONTROL_TYPE, FRAME_TYPE, correlated

READS = 64
"""Packets that are read in one go before other tasks get their turn."""
_MISC_S = 1.0
_MAX_RECEIVE = 65_535


class Answer(msgspec.Struct, frozen=True):
    """The broker's CONNACK."""

    reason: ReasonCode
    session_present: bool
    receive_maximum: int
    max_packet_bytes: int | None
    max_qos: int


class MqttConnection:
    """A connection; made by `connect`. Its callbacks must not raise."""

    def __init__(self, login: Login, *, on_message: Callable[[Message], None],
                 on_verdict: Callable[[str, ReasonCode], None],
                 on_lost: Callable[[str, ReasonCode | None], None]) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._login = login
        self._on_message = on_message
        self._on_verdict = on_verdict
        self._on_lost = on_lost
        self._client = new_client(login)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message
        self._client.on_publish = self._published
        self._client.on_subscribe = self._subscribed
        self._packets = 0
        self._socket: Any = None
        self._misc: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[str, bytes, Properties, bool]] = deque()
        self._in_flight: dict[int, str] = {}
        self._window = 1
        self._idle = asyncio.Event()
        self._idle.set()
        self._answered: asyncio.Future[Answer] = self._loop.create_future()
        self._grants: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._ended = asyncio.Event()
        self.answer: Answer | None = None

    async def connect(self) -> Answer:
        """Connect and return the broker's answer, whatever it is.

        Raises:
            OSError: The network, or TLS.
            ConnectionError: It closed before it answered.
        """
        await self._dial()
        self._client.on_socket_close = self._socket_closed
        self._client.on_socket_register_write = self._want_write
        self._client.on_socket_unregister_write = self._no_write
        self._socket = self._client.socket()
        if self._socket is None:
            raise ConnectionError("the broker closed the connection")
        # Acknowledgements are small: held back for company they would stall a window.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(self._socket, self._readable)
        if self._client.want_write():
            self._want_write(self._client, None, self._socket)
        self._misc = self._loop.call_later(_MISC_S, self._keep)
        self._readable()
        answer = self.answer = await self._answered
        self._window = answer.receive_maximum
        return answer

    async def subscribe(self, *topics: str) -> list[ReasonCode]:
        """Subscribe with QoS 1; returns the broker's verdicts."""
        _, mid = self._client.subscribe([(topic, 1) for topic in topics])
        if self._ended.is_set() or mid is None:
            raise ConnectionError("the connection is lost")
        granted = self._grants[mid] = self._loop.create_future()
        reasons: list[ReasonCode] = await granted
        return reasons

    def publish(
        self, topic: str, payload: bytes, *, correlation: bytes = b"", control: bool = False,
        retain: bool = False, expiry_s: int | None = None,
    ) -> None:  # fmt: skip
        """Publish with QoS 1, after everything that was published before; does not wait."""
        if self._ended.is_set():
            return
        properties = new_properties(PacketTypes.PUBLISH)
        properties.ContentType = CONTROL_TYPE if control else FRAME_TYPE
        if correlation:
            properties.CorrelationData = correlation
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        self._waiting.append((topic, payload, properties, retain))
        self._idle.clear()
        self._pump()

    def acknowledge(self, mid: int) -> None:
        """Send the PUBACK of a message of this connection."""
        if not self._ended.is_set():
            self._client.ack(mid, 1)

    async def flushed(self) -> None:
        """Wait until the broker has taken everything, or the connection is lost."""
        await self._idle.wait()

    async def disconnect(self) -> None:
        """Leave with a goodbye: no will is published. Waits for the end; cancel it and abort."""
        if not self._ended.is_set():
            self._client.disconnect()
            await self._ended.wait()

    def abort(self) -> None:
        """Let the connection vanish: the broker publishes the will. Idempotent."""
        if self._socket is None or self._ended.is_set():
            return
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for _ in range(READS):
            if self._ended.is_set():
                return
            self._client.loop_read()
        self._end("aborted", None)

    # The connecting thread.

    async def _dial(self) -> None:
        dialled: asyncio.Future[None] = self._loop.create_future()

        def tell(error: BaseException | None) -> None:
            if dialled.cancelled():
                drop(self._client)
            elif error is None:
                dialled.set_result(None)
            else:
                dialled.set_exception(error)

        def work() -> None:
            failure: BaseException | None = None
            try:
                dial_now(self._client, self._login)
            except (OSError, ValueError) as error:
                failure = error
            try:
                self._loop.call_soon_threadsafe(tell, failure)
            except RuntimeError:  # the loop has been closed meanwhile
                drop(self._client)

        threading.Thread(target=work, name="mqtt.connect", daemon=True).start()
        await dialled

    # What paho calls.

    def _connected(self, client: Client, data: Any, flags: ConnectFlags, reason: ReasonCode,
                   properties: Properties | None) -> None:  # fmt: skip
        del client, data
        if not self._answered.done():
            self._answered.set_result(Answer(
                reason, flags.session_present,
                getattr(properties, "ReceiveMaximum", _MAX_RECEIVE),
                getattr(properties, "MaximumPacketSize", None),
                getattr(properties, "MaximumQoS", 2),
            ))  # fmt: skip

    def _disconnected(self, client: Client, data: Any, flags: DisconnectFlags, reason: ReasonCode,
                      properties: Properties | None) -> None:  # fmt: skip
        del client, data, properties
        told = reason if flags.is_disconnect_packet_from_server else None
        self._end(str(reason), told)

    def _message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        del client, data
        self._packets += 1
        link, number = correlated(getattr(message.properties, "CorrelationData", b""))
        payload = bytes(message.payload)
        self._on_message(Message(message.topic, payload, link, number, message.mid))

    def _published(self, client: Client, data: Any, mid: int, reason: ReasonCode,
                   properties: Properties) -> None:  # fmt: skip
        del client, data, properties
        self._packets += 1
        topic = self._in_flight.pop(mid, "")
        if reason.value:
            self._on_verdict(topic, reason)
        self._pump()

    def _subscribed(self, client: Client, data: Any, mid: int, reasons: list[ReasonCode],
                    properties: Properties) -> None:  # fmt: skip
        del client, data, properties
        self._packets += 1
        granted = self._grants.pop(mid, None)
        if granted is not None and not granted.done():
            granted.set_result(reasons)

    def _socket_closed(self, client: Client, data: Any, sock: Any) -> None:
        del client, data
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    def _want_write(self, client: Client, data: Any, sock: Any) -> None:
        del client, data
        self._loop.add_writer(sock, self._client.loop_write)

    def _no_write(self, client: Client, data: Any, sock: Any) -> None:
        del client, data
        self._loop.remove_writer(sock)

    # What the event loop calls.

    def _readable(self) -> None:
        for _ in range(READS):
            before = self._packets
            if self._client.loop_read() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if self._packets == before and not self._buffered():
                return
        if self._buffered():  # what TLS holds already does not make the socket readable
            self._loop.call_soon(self._readable)

    def _buffered(self) -> bool:
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _keep(self) -> None:
        self._client.loop_misc()
        if not self._ended.is_set():
            self._misc = self._loop.call_later(_MISC_S, self._keep)

    def _pump(self) -> None:
        while self._waiting and len(self._in_flight) < self._window and not self._ended.is_set():
            topic, payload, properties, retain = self._waiting.popleft()
            sent = self._client.publish(topic, payload, 1, retain, properties)
            self._in_flight[sent.mid] = topic
        if not self._waiting and not self._in_flight:
            self._idle.set()

    def _end(self, detail: str, reason: ReasonCode | None) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        if self._misc is not None:
            self._misc.cancel()
        self._waiting.clear()
        self._in_flight.clear()
        self._idle.set()
        lost = ConnectionError(detail)
        waiters: list[asyncio.Future[Any]] = [self._answered, *self._grants.values()]
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(lost)
                waiter.exception()  # whoever waits gets it; with nobody there it is no news
        self._on_lost(detail, reason)
