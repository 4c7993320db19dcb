"""The receiver of `POST /hooks/sidekick/<name>`, as the daemon calls it.

Promise: all names go through one receiver; which there are stands in the configuration. Refusal:
no HTTP here.
"""

from __future__ import annotations

from collections.abc import Mapping

from conductor_packs.sidekick.context import SidekickContext
from conductor_sdk.context import PackContext
from conductor_sdk.webhook import WebhookAnswer


async def receive_webhook(
    name: str, headers: Mapping[str, str], body: bytes, ctx: SidekickContext | PackContext
) -> WebhookAnswer:
    """Verify a message and keep it in its channel; see `channels.receive`.

    Args:
        name: The webhook's.
        headers: Their names in lower case.
        body: As it was sent.
        ctx: The pack's own context, whose storage is used; with the daemon's a storage is opened
            for this one message.
    """
    from conductor_packs.sidekick.channels.receive import receive_into

    if isinstance(ctx, SidekickContext):
        return await receive_into(ctx.storage_port(), name, headers, body, ctx.base)
    storage = SidekickContext(ctx).storage_port()
    try:
        return await receive_into(storage, name, headers, body, ctx)
    finally:
        await storage.close()
