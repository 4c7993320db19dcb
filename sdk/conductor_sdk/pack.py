"""What a pack is: a manifest, handlers by kind, and optionally a background task.

Promise: registration is data that is inspected before anything runs. Refusal: constructing a Pack
validates nothing and imports nothing; the registry does, and says why it refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor_sdk.context import PackContext
from conductor_sdk.handler import Handler, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.webhook import WebhookReceiver


def _itself(ctx: PackContext) -> Any:
    return ctx


@dataclass(frozen=True, slots=True)
class ToolLeftOut:
    """A tool that a workspace asks for and that cannot be offered."""

    name: str
    why: str
    """One line, for whoever lists the tools."""


@dataclass(frozen=True, slots=True)
class Pack:
    """The object behind a `conductor.packs` entry point."""

    manifest: PackManifest
    handlers: Mapping[str, Handler | Subscription] = field(default_factory=dict[str, Any])
    """One handler for each subscribed kind."""
    context: Callable[[PackContext], Any] = _itself
    """Wraps the daemon's context into the pack's own context type, once per pack."""
    background: Callable[[PackContext], Awaitable[None]] | None = None
    """A coroutine that runs while the daemon does; cancelled at drain, restarted if it fails."""
    toolset: Callable[[Mapping[str, Any]], Sequence[ToolManifest]] | None = None
    """The tools for a configuration, in place of the manifest's; None: the manifest's."""
    tools_in: Callable[[Mapping[str, Any], Path], Sequence[ToolManifest | ToolLeftOut]] | None = (
        None
    )
    """More tools: those that a configuration makes of what stands in a workspace, whose root it is
    given. Asked whenever tools are collected, on any thread; what it leaves out it says."""
    webhooks: Mapping[str, WebhookReceiver] = field(default_factory=dict[str, WebhookReceiver])
    """Receivers of `POST /hooks/<slug>/<name>`, by name; `*` takes the names without one."""
    provides: Sequence[str] = ()
    """Surfaces that other packs may require while this one is loaded: `sidekick-channel`."""
    samples: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict[str, Any])
    """Payloads by subscribed kind, for the conformance suite; the daemon does not read them."""
