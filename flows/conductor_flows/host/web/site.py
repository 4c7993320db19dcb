"""What all routes of one application share.

Promise: one place for the operator's choices and for who is inside. Refusal: it serves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from conductor_flows.host.web.live import LiveRuns
from conductor_flows.host.web.presence import Guests


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the operator chooses for a web host."""

    trust_auth_user: bool = False
    """Whether `X-Auth-User` is believed. Only behind a proxy that asks for credentials, writes this
    header itself and removes what the client sent: without one, anybody could be anybody."""
    reveal: bool = False
    """Whether clients are told the text of any error that a node's function raised; else only its
    kind, but for a `NodeError`, whose text is written for people. The log has it all."""
    body_s: float = 10.0
    """How long a body may take to come."""
    drain_s: float = 10.0
    """How long running requests have when the host stops."""
    keep_alive_s: float = 15.0
    """After how long without an event a stream sends a comment."""
    stall_s: float = 60.0
    """How long a client of a stream may take nothing before it counts as gone."""
    retry_ms: int = 3000
    """After how long the client of a stream should come back."""


@dataclass(frozen=True, slots=True)
class Site:
    """Shared by the routes of an application."""

    choices: Choices = field(default_factory=Choices)
    guests: Guests = field(default_factory=Guests)
    live: list[LiveRuns] = field(default_factory=list[LiveRuns])
    """Of each route."""
    failed: Callable[[str, BaseException], None] = lambda _flow, _error: None
    """Told of errors that are nobody's fault but ours: 500."""

    async def close(self) -> None:
        """End the runs that outlive their connections."""
        for runs in self.live:
            await runs.close()
