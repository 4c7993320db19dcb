"""The WebSocket adapter with a crash point around every message."""

from __future__ import annotations

from collections.abc import Callable

from conductor_adapters import websocket
from conductor_adapters.transport import LinkOptions, Transport
from conductor_sdk.secret import Secret
from crash_killer import MortalLink


class MortalAdapter:
    """`websocket`, whose links have crash points."""

    name = "mortal"
    schemes = ("ws",)

    def __init__(self) -> None:
        self.crash_point: Callable[[str], None] = lambda _: None

    async def connect(self, address: str, credential: Secret, options: LinkOptions) -> Transport:
        link = await websocket.adapter.connect(address, credential, options)
        return MortalLink(link, "sidecar", self.crash_point)


adapter = MortalAdapter()
