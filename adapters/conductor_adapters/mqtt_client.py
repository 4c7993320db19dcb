"""A paho client, set up: who it is, what its last will says, how it dials.

Promise: MQTT 5, a clean start never, manual acknowledgement always; the credential goes into the
CONNECT packet and nowhere else. Refusal: nothing here runs on an event loop.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from conductor_adapters.endpoint import Endpoint
from conductor_adapters.mqtt_wire import CONTROL_TYPE
from conductor_sdk.secret import Secret

KEEPALIVE_S = 30
SESSION_EXPIRY_S = 3600
"""How long a broker keeps a session, and what waits in it, after the connection has ended."""
_MAX_IN_FLIGHT = 65_535


class Will(NamedTuple):
    """What the broker publishes when the connection is lost."""

    topic: str
    payload: bytes
    correlation: bytes = b""
    retain: bool = False


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who connects, and with which limits."""

    endpoint: Endpoint
    client_id: str
    user: str
    password: Secret
    tls: ssl.SSLContext | None
    receive_maximum: int
    max_packet_bytes: int
    timeout_s: float
    will: Will


class Message(NamedTuple):
    """What arrived."""

    topic: str
    payload: bytes
    link: bytes
    """Empty: it belongs to no link."""
    number: int
    """Of a frame, from 1; 0: a control."""
    mid: int
    """For `acknowledge`."""


def new_properties(packet_type: int) -> Properties:
    """Build the properties of a packet."""
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho leaves it unannotated


def new_client(login: Login) -> Client:
    """Build a client that has not connected yet."""
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=login.client_id,
        protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True, reconnect_on_failure=False,
    )  # fmt: skip
    client.connect_timeout = login.timeout_s
    # The connection counts what is in flight itself: paho ignores the broker's receive maximum.
    client.max_inflight_messages_set(_MAX_IN_FLIGHT)
    if login.password:
        client.username_pw_set(login.user, login.password.reveal())
    if login.tls is not None:
        client.tls_set_context(login.tls)  # pyright: ignore[reportUnknownMemberType]  untyped in paho
    properties = new_properties(PacketTypes.WILLMESSAGE)
    if login.will.correlation:
        properties.ContentType = CONTROL_TYPE
        properties.CorrelationData = login.will.correlation
    client.will_set(login.will.topic, login.will.payload, 1, login.will.retain, properties)
    return client


def dial_now(client: Client, login: Login) -> None:
    """Connect and send CONNECT; blocks up to the time-out for each address.

    Raises:
        OSError: The network, or TLS.
        ValueError: The host cannot be one.
    """
    properties = new_properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = login.receive_maximum
    properties.MaximumPacketSize = login.max_packet_bytes
    client.connect(
        login.endpoint.host, login.endpoint.port, KEEPALIVE_S,
        clean_start=False, properties=properties,
    )  # fmt: skip


def drop(client: Client) -> None:
    """Close what `dial_now` opened when nobody waits for it any more."""
    connection = client.socket()
    if connection is not None:
        connection.close()
