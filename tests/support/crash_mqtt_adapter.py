"""The MQTT adapter with a crash point around every message, and around the broker's PUBACK."""

from __future__ import annotations

from collections.abc import Callable

import crash_adapter
from conductor_adapters import mqtt
from conductor_adapters.mqtt_link import MqttLink
from conductor_adapters.transport import LinkOptions, Transport
from conductor_sdk.secret import Secret
from crash_killer import MortalLink

BEFORE_PUBACK = "sidecar.puback.before_send"
AFTER_PUBACK = "sidecar.puback.after_send"


class MortalMqttLink(MortalLink):
    """A mortal link whose broker waits for the commit."""

    def __init__(self, inner: MqttLink, name: str, crash_point: Callable[[str], None]) -> None:
        super().__init__(inner, name, crash_point)
        self._late = inner

    def defer(self) -> Callable[[int], None]:
        acknowledge = self._late.defer()

        def mortal(frames: int) -> None:
            self._crash_point(BEFORE_PUBACK)
            acknowledge(frames)
            self._crash_point(AFTER_PUBACK)

        return mortal


class MortalMqttAdapter:
    """`mqtt`, whose links have crash points."""

    name = "mortal"
    schemes = ("mqtt",)

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        link = await mqtt.adapter.connect(address, credential, options)
        assert isinstance(link, MqttLink)
        return MortalMqttLink(link, "sidecar", crash_adapter.adapter.crash_point)


adapter = MortalMqttAdapter()
