"""Who comes to a conductor over a broker, and which link a message belongs to.

Promise: one link at a time for each address, the newest; who is not accepted is told why. Refusal:
it holds no connection: whatever it publishes goes through the one that brought the message.
"""

from __future__ import annotations

import asyncio
import contextlib
import urllib.parse
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from conductor_adapters.errors import BrokerLost, PublishDenied
from conductor_adapters.mqtt_link import LinkFacts, MqttLink, own_window
from conductor_adapters.mqtt_processes import Processes
from conductor_adapters.mqtt_wire import (
    Accept,
    Control,
    Gone,
    Open,
    Refuse,
    correlation,
    decode,
    encode,
)
from conductor_adapters.transport import ConductorBusy, CredentialRefused, LinkOptions

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from conductor_adapters.mqtt_client import Message
    from conductor_adapters.mqtt_connection import MqttConnection

SHARED_PAUSE_S = 300.0
KNOCKS = 1024
"""Links that may wait to be accepted; more are asked to come back later."""


class AcceptedLink(NamedTuple):
    """The conductor's end of a link, and who is at the other one."""

    link: MqttLink
    workspace: str
    """The subject; the broker's access list vouches for it."""
    sidecar: str


class _Knock(NamedTuple):
    base: str
    link: MqttLink
    connection: MqttConnection


class Reception:
    """The links of one conductor under one root."""

    def __init__(
        self, root: str, options: LinkOptions, admit: Callable[[str], None] | None
    ) -> None:
        self._root = root
        self._options = options
        self._admit = admit
        self._links: dict[str, MqttLink] = {}
        self._processes = Processes()
        self._knocks: deque[_Knock] = deque()
        self.knocked = asyncio.Event()

    def accept(self, life: str) -> AcceptedLink | None:
        """Open the link of whoever has waited longest; None: nobody waits."""
        while self._knocks:
            base, link, connection = self._knocks.popleft()
            if not link.ended:
                accept = Accept(life, *own_window(self._options))
                _say(connection, base, link.facts.link, accept)
                return AcceptedLink(link, *_names(base, self._root))
        self.knocked.clear()
        return None

    def arrived(self, connection: MqttConnection, message: Message) -> None:
        """Hand a message to the link that it belongs to; what belongs to none is dropped."""
        connection.acknowledge(message.mid)
        base = message.topic.removesuffix("/up")
        known = self._links.get(base)
        if known is not None and known.facts.link != message.link:
            known = None
        if message.number and known is not None:
            known.take(message.number, message.payload, 0)
            return
        control = None if message.number or not message.link else decode(message.payload)
        if isinstance(control, Open):
            self._knock(connection, base, message.link, control)
        elif control is not None and known is not None:
            known.hear(control)

    def denied(self, topic: str, reason: ReasonCode) -> None:
        """End the link whose frame the broker refused."""
        link = self._links.get(topic.removesuffix("/down"))
        if link is not None and reason.is_failure:
            link.lose(PublishDenied, str(reason))

    def end(self, detail: str) -> None:
        """End every link: what they stand on is gone."""
        links, self._links = list(self._links.values()), {}
        for link in links:
            link.lose(BrokerLost, detail)

    def _knock(self, connection: MqttConnection, base: str, link_id: bytes, wanted: Open) -> None:
        former = self._links.get(base)
        alive = former is not None and not former.ended
        if self._processes.shared(base, wanted.process, alive=alive):
            refusal: Refuse | None = Refuse("shared", base, SHARED_PAUSE_S)
        else:
            if former is not None:
                del self._links[base]
                former.lose(BrokerLost, "the sidecar opened another link")
            refusal = self._refusal(_names(base, self._root)[0])
        if refusal is not None:
            _say(connection, base, link_id, refusal)
            return
        link = MqttLink(
            connection, LinkFacts(link_id, f"{base}/down"), self._options,
            release=lambda abort: self._release(connection, base, link_id, abort=abort),
        )  # fmt: skip
        link.limit(connection.answer.max_packet_bytes if connection.answer else None)
        link.opened(wanted)
        self._links[base] = link
        self._knocks.append(_Knock(base, link, connection))
        self.knocked.set()

    def _refusal(self, workspace: str) -> Refuse | None:
        if len(self._knocks) >= KNOCKS:
            return Refuse("busy", "too many sidecars at once")
        try:
            if self._admit is not None:
                self._admit(workspace)
        except ConductorBusy as error:
            return Refuse("busy", error.detail, error.retry_after_s)
        except CredentialRefused as error:
            return Refuse("not_admitted", error.detail)
        return None

    async def _release(
        self, connection: MqttConnection, base: str, link_id: bytes, *, abort: bool
    ) -> None:
        link = self._links.get(base)
        if link is not None and link.facts.link == link_id:
            del self._links[base]
        if abort:
            _say(connection, base, link_id, Gone())
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.close_timeout_s):
                await connection.flushed()


def _say(connection: MqttConnection, base: str, link_id: bytes, control: Control) -> None:
    connection.publish(
        f"{base}/down", encode(control), correlation=correlation(link_id), control=True
    )


def _names(base: str, root: str) -> tuple[str, str]:
    workspace, _, sidecar = base.removeprefix(f"{root}/").partition("/")
    return urllib.parse.unquote(workspace), urllib.parse.unquote(sidecar)
