"""Errors of the adapters beyond those that every transport raises.

Promise: the errors of the port itself stand in `transport`; here is only what a single adapter
adds. Refusal: no error text carries a credential or a query string.
"""

from __future__ import annotations

from conductor_adapters.transport import (
    ConductorBusy,
    ConnectFailed,
    LinkClosed,
    TransportError,
)
from conductor_sdk.errors import Exit


class AddressTaken(TransportError):
    """Another listener already has this address."""

    code = "ADDRESS_TAKEN"
    default_hint = "close the first listener or choose another name"
    retryable = False
    exit_code = Exit.BUSY


class BrokerLimit(ConnectFailed):
    """The broker takes no packet as large as a frame may be."""

    code = "BROKER_LIMIT"
    default_hint = "raise the broker's maximum packet size; see docs/how-to/mqtt.md"


class TopicDenied(ConnectFailed):
    """The broker does not let this user speak, or listen, on a topic."""

    code = "TOPIC_DENIED"
    default_hint = "correct the broker's access list; see docs/how-to/mqtt.md"


class NoConductor(ConnectFailed):
    """The broker is there, but no conductor answers behind it."""

    code = "NO_CONDUCTOR"
    default_hint = "start the conductor, or compare its topic root with the address"


class AddressShared(ConductorBusy):
    """Another process has taken this address at the broker."""

    code = "ADDRESS_SHARED"
    default_hint = "stop the other sidecar, or give each an address of its own"


class BrokerLost(LinkClosed):
    """The connection to the broker is lost."""

    code = "BROKER_LOST"


class LinkTakenOver(LinkClosed):
    """Another process uses the same client id at the broker."""

    code = "LINK_TAKEN_OVER"
    default_hint = "stop the other sidecar, or give each an address of its own"


class PublishDenied(LinkClosed):
    """The broker refused a frame."""

    code = "PUBLISH_DENIED"
    default_hint = "correct the broker's access list and quotas; see docs/how-to/mqtt.md"


class PacketTooLarge(LinkClosed):
    """The frame is larger than the broker takes."""

    code = "PACKET_TOO_LARGE"
    default_hint = "raise the broker's maximum packet size; see docs/how-to/mqtt.md"


class FramesLost(LinkClosed):
    """The broker dropped frames."""

    code = "FRAMES_LOST"
    default_hint = "raise the broker's queue limits; see docs/how-to/mqtt.md"
