"""`conductor dev --mqtt URL`: sidecars reach the embedded conductor through a broker too.

Promise: whoever enrolls while it runs is given an address at the broker; a workspace without a
valid credential is turned away. Refusal: it adds no user to the broker, and no password is taken
from the command line: `mqtt.password` and `mqtt-ca.pem` stand in the conductor's directory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conductor_adapters.mqtt_listener import MqttListener
    from conductor_adapters.mqtt_reception import AcceptedLink
    from conductor_server.dev_run import Beside
    from conductor_server.hub import EmbeddedConductor

PASSWORD = "mqtt.password"  # noqa: S105  a file's name
TRUST = "mqtt-ca.pem"
NOT_ADMITTED = 1008


def beside(url: str | None, directory: Path) -> Beside | None:
    """Return what serves the conductor over the broker; None: nothing was asked for."""
    if url is None:
        return None

    def open_at_broker(conductor: EmbeddedConductor) -> AbstractAsyncContextManager[str]:
        return _serve(conductor, url, directory)

    return open_at_broker


@contextlib.asynccontextmanager
async def _serve(conductor: EmbeddedConductor, url: str, directory: Path) -> AsyncGenerator[str]:
    from conductor_adapters.mqtt_listener import listen
    from conductor_adapters.transport import LinkOptions
    from conductor_sdk.secret import Secret
    from conductor_sidecar.app import read_private

    password, trust = directory / PASSWORD, directory / TRUST
    text = read_private(password).decode().strip() if password.exists() else ""
    options = LinkOptions(ca_file=str(trust) if trust.exists() else None)
    async with await listen(url, credential=Secret(text), options=options) as listener:
        conductor.link_for = listener.link_address
        accepting = asyncio.create_task(_accept(conductor, listener), name="dev.mqtt")
        try:
            yield f"listening on {listener.address}"
        finally:
            conductor.link_for = None
            accepting.cancel()
            await asyncio.wait({accepting})
            await conductor.close()


async def _accept(conductor: EmbeddedConductor, listener: MqttListener) -> None:
    async with asyncio.TaskGroup() as links:
        while True:
            accepted = await listener.accept()
            links.create_task(_attach(conductor, accepted), name="dev.mqtt.link")


async def _attach(conductor: EmbeddedConductor, accepted: AcceptedLink) -> None:
    from conductor_sdk.clock import epoch_ms
    from conductor_sdk.errors import ConductorError
    from conductor_server.tokens import state_of

    now_ms = epoch_ms(conductor.clock.now())
    try:
        conductor.admit()
        records = await conductor.tokens.records()
    except ConductorError as error:
        await accepted.link.close(NOT_ADMITTED, error.message)
        return
    if any(
        (record.workspace, record.purpose) == (accepted.workspace, "credential")
        and state_of(record, now_ms) == "valid"
        for record in records
    ):
        await conductor.attach(accepted.link, accepted.workspace)
    else:
        await accepted.link.close(NOT_ADMITTED, "this workspace has no valid credential")
