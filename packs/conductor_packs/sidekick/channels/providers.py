"""The providers that the workspace's configuration names, ready to be looked up.

Promise: `terminal` is always there; a webhook whose secret cannot be read is there too, and
answers with the reason. Refusal: nothing is connected to here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from conductor_packs.sidekick.channels.errors import SecretMissing
from conductor_packs.sidekick.channels.port import (
    ReceiveReply,
    ReceiveRequest,
    SendReply,
    SendRequest,
    Transport,
)
from conductor_packs.sidekick.channels.registry import TransportRegistry
from conductor_packs.sidekick.channels.secrets import read_secret
from conductor_packs.sidekick.channels.settings import ChannelSettings, WebhookOut
from conductor_packs.sidekick.channels.terminal import PROVIDER, TerminalTransport
from conductor_sdk.clock import Clock


class UnavailableTransport:
    """A provider that is configured and cannot be used."""

    deduplicates = True

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def send(self, request: SendRequest) -> SendReply:
        """Say why not."""
        del request
        return SendReply(False, error=self._reason, failure_class="terminal")

    async def receive(self, request: ReceiveRequest) -> ReceiveReply:
        """Say why not."""
        del request
        return ReceiveReply(False, error=self._reason, failure_class="terminal")


def configured_transports(
    settings: ChannelSettings,
    workspace: Path,
    clock: Clock,
    environ: Mapping[str, str] | None = None,
) -> TransportRegistry:
    """Return the registry of a workspace.

    Args:
        settings: The pack's.
        workspace: Where relative secret files are.
        clock: For signatures.
        environ: In place of the process's environment.
    """
    registry = TransportRegistry()
    registry.register(PROVIDER, TerminalTransport())
    for name, webhook in settings.webhooks_out.items():
        registry.register(name, _webhook(webhook, workspace, clock, environ))
    return registry


def _webhook(
    settings: WebhookOut, workspace: Path, clock: Clock, environ: Mapping[str, str] | None
) -> Transport:
    from conductor_packs.sidekick.channels.webhook_out import WebhookTransport

    try:
        secret = read_secret(settings, workspace, environ)
    except SecretMissing as error:
        return UnavailableTransport(error.message)
    return WebhookTransport(
        settings.url, secret, clock=clock, timeout_s=settings.timeout_s,
        allow_private=settings.allow_private,
    )  # fmt: skip
