"""What the tool host is configured with.

Promise: plain values, checked by whoever read the configuration. Refusal: no file is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from conductor_handlers.toolhost.records import AnyScope
from conductor_sdk.manifest_tools import PathScope

if TYPE_CHECKING:
    from conductor_handlers.toolhost.policy import Decision, Rule

WHOLE_WORKSPACE: tuple[AnyScope, ...] = (
    PathScope(type="path", pattern="**", access="read"),
    PathScope(type="path", pattern="**", access="write"),
)
"""Every file of the workspace but `.lumenflow`, and no network."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The sections `tools` and `approvals`."""

    scopes: tuple[AnyScope, ...] = WHOLE_WORKSPACE
    """What any tool may touch in this workspace."""
    rules: tuple[Rule, ...] = ()
    """The workspace's policy."""
    default_decision: Decision = "allow"
    deadline_s: float = 30.0
    """For tools that name none."""
    max_concurrency: int = 64
    """Tools that run at the same time; further calls wait, within their deadline."""
    approval_ttl_s: float = 3600.0
    """How long a request waits for a decision, and a grant for its use."""
