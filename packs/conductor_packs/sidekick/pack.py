"""The Sidekick pack as the registry finds it.

Promise: `pack` is data, read from the manifest beside it. Refusal: importing this module opens no
store, starts nothing and imports no tool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor_sdk import Pack, PackContext, PackManifest
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.webhook import ANY_NAME, WebhookAnswer

if TYPE_CHECKING:
    from conductor_packs.sidekick.context import SidekickContext

_MANIFEST = PackManifest.from_yaml(Path(__file__).with_name("manifest.yaml"))


def _context(base: PackContext) -> SidekickContext:
    from conductor_packs.sidekick.context import SidekickContext

    return SidekickContext(base)


def _toolset(config: Mapping[str, Any]) -> Sequence[ToolManifest]:
    """Return the tools of the configuration: the manifest's, unless it asks for others."""
    if config.get("toolset", "core") == "core":
        return _MANIFEST.tools
    from conductor_packs.sidekick.toolsets import tool_manifests, toolset_of

    return tool_manifests(toolset_of(config))


async def _background(ctx: PackContext) -> None:
    """Deliver what waits in the outbox, and run routines where the configuration says so."""
    from conductor_packs.sidekick.background import run_background

    await run_background(ctx)


async def _webhook(
    name: str, headers: Mapping[str, str], body: bytes, ctx: SidekickContext
) -> WebhookAnswer:
    """Take a message that comes in at `/hooks/sidekick/<name>`."""
    from conductor_packs.sidekick.hooks import receive_webhook

    return await receive_webhook(name, headers, body, ctx)


pack = Pack(
    manifest=_MANIFEST,
    context=_context,
    background=_background,
    toolset=_toolset,
    webhooks={ANY_NAME: _webhook},
    provides=("sidekick-channel",),
)
