"""What a broker's answer means for a link.

Promise: every refusal becomes one of the errors of the port, with the broker's own word for it and
a way out. Refusal: no credential, user name or topic of another workspace is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from conductor_adapters.errors import (
    AddressShared,
    BrokerLimit,
    BrokerLost,
    LinkTakenOver,
    PacketTooLarge,
    TopicDenied,
)
from conductor_adapters.link_end import printable
from conductor_adapters.mqtt_wire import PACKET_OVERHEAD, Refuse
from conductor_adapters.transport import (
    ConductorBusy,
    ConnectFailed,
    CredentialRefused,
    LinkClosed,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paho.mqtt.reasoncodes import ReasonCode

    from conductor_adapters.endpoint import Endpoint
    from conductor_adapters.mqtt_connection import Answer

_CREDENTIAL = frozenset({0x86, 0x87, 0x8A, 0x8C})
"""Bad user name or password, not authorized, banned, bad authentication method."""
_BUSY = frozenset({0x88, 0x89, 0x97, 0x9F})
"""Server unavailable, server busy, quota exceeded, connection rate exceeded."""


def refused_connection(
    answer: Answer, endpoint: Endpoint, frame_bytes: int
) -> TransportError | None:
    """Judge a CONNACK; None: the connection can carry links.

    Args:
        answer: What the broker said.
        endpoint: Which broker.
        frame_bytes: The largest frame that has to pass.
    """
    said = f"{endpoint}: {answer.reason}"
    code: int = answer.reason.value
    if code in _CREDENTIAL:
        return CredentialRefused(said)
    if code in _BUSY:
        return ConductorBusy(said)
    if code:
        return ConnectFailed(said)
    limit, needed = answer.max_packet_bytes, frame_bytes + PACKET_OVERHEAD
    if limit is not None and limit < needed:
        return BrokerLimit(f"{endpoint} takes {limit} bytes, {needed} are needed")
    if answer.max_qos < 1:
        return ConnectFailed(f"{endpoint} offers QoS 0 only")
    return None


def refused_subscription(
    topics: Sequence[str], reasons: Sequence[ReasonCode]
) -> TransportError | None:
    """Judge a SUBACK; None: all topics are granted with QoS 1."""
    for topic, reason in zip(topics, reasons, strict=True):
        if reason.value != 1:
            return TopicDenied(f"subscribe to {topic}: {reason}")
    return None


def refused_link(refusal: Refuse) -> TransportError:
    """Say what a conductor's refusal means; its reason is shown printable and short."""
    reason = printable(refusal.reason)
    match refusal.cause:
        case "busy":
            return ConductorBusy(reason, retry_after_s=refusal.retry_after_s)
        case "shared":
            return AddressShared(reason, retry_after_s=refusal.retry_after_s)
        case "not_admitted":
            return CredentialRefused(reason)
        case _:
            assert_never(refusal.cause)


def why_lost(detail: str, reason: ReasonCode | None) -> tuple[type[LinkClosed], str]:
    """Say how a connection's end is told to its links."""
    match reason.value if reason is not None else 0:
        case 0x8E:
            return LinkTakenOver, ""
        case 0x95:
            return PacketTooLarge, "the broker closed the connection"
        case _:
            return BrokerLost, detail
