"""What goes into the tool host and what it lists: callers, requests, listings.

Promise: a caller's actor, scopes and tools come from its credential and the configuration, never
from a request's body. Refusal: nothing is checked here; the host does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conductor_handlers.toolhost.any_scope import AnyScope
from conductor_sdk.tool_info import ToolInfo as Listing

if TYPE_CHECKING:
    from conductor_sdk.context import PackContext
    from conductor_sdk.tool import Surface

__all__ = ["AnyScope", "Caller", "Listing", "PackRoom", "Request"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. Make one per credential and keep it: what it may do is prepared once."""

    actor: str
    """The authenticated subject; `pack:<slug>` for a pack."""
    surface: Surface
    scopes: tuple[AnyScope, ...] | None = None
    """What the credential may touch; None: no narrower than the workspace."""
    tools: tuple[str, ...] | None = None
    """Glob patterns of the tools that it may call; None: all, (): none."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call, as a surface hands it over."""

    tool: str
    input: object
    """Decoded JSON; anything else than an object is refused."""
    caller: Caller
    key: str | None = None
    """The idempotency key; the same key, tool, actor and input have one effect."""
    run_id: str | None = None
    task_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class PackRoom:
    """What the tools of one pack run in."""

    context: PackContext
    own: Any
    """The pack's own context, as `Pack.context` made it."""
