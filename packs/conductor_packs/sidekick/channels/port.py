"""How a message reaches a provider: the transport, and where one is looked up.

Promise: a transport is two coroutines over frozen records, and says itself whether a failure is
worth another try. Refusal: no transport, no retry and no queue here; a provider's name is compared
trimmed and in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

FailureClass = Literal["retryable", "terminal"]
"""retryable: the same request may succeed later; terminal: it never will."""


class SendRequest(msgspec.Struct, frozen=True):
    """One message on its way to a provider."""

    workspace_id: str
    """On whose behalf: the enrolled subject."""
    provider: str
    """As the registry spells it."""
    channel: str
    content: str
    metadata: Mapping[str, Any] | None = None
    """JSON, passed through as it was given."""
    message_id: str | None = None
    """The same for every try of one message; a provider may tell a repetition by it."""
    created_at: str | None = None
    """When the message was made, RFC 3339; the same for every try too."""


class SendReply(msgspec.Struct, frozen=True):
    """What became of it."""

    success: bool
    error: str | None = None
    """One line for people, without secrets."""
    external_message_id: str | None = None
    failure_class: FailureClass | None = None
    retry_after_seconds: float | None = None
    metadata: Mapping[str, Any] | None = None


class ReceiveRequest(msgspec.Struct, frozen=True):
    """What is asked of a provider."""

    workspace_id: str
    provider: str
    channel: str
    cursor: str | None = None
    """Where the last answer ended; the provider's own words."""
    limit: int | None = None
    metadata: Mapping[str, Any] | None = None


class ReceiveReply(msgspec.Struct, frozen=True):
    """What came in since the cursor."""

    success: bool
    error: str | None = None
    records: Sequence[Mapping[str, Any]] | None = None
    """JSON objects, oldest first, in the provider's own shape."""
    next_cursor: str | None = None
    failure_class: FailureClass | None = None
    retry_after_seconds: float | None = None
    metadata: Mapping[str, Any] | None = None


class Transport(Protocol):
    """One provider. A refusal is a reply; an exception counts as a failed call."""

    async def send(self, request: SendRequest) -> SendReply:
        """Hand one message over; at least accepted by the other side where it succeeds."""
        ...

    async def receive(self, request: ReceiveRequest) -> ReceiveReply:
        """Return what came in; takes nothing away."""
        ...


class Transports(Protocol):
    """Where `channel:send` and `channel:receive` look a provider up."""

    def find(self, provider: str) -> Transport | None:
        """Return the transport of a provider, or None; the name as `provider_key` has it."""
        ...


def provider_key(provider: str) -> str:
    """Return a provider's name as it is compared: trimmed, in lower case."""
    return provider.strip().lower()
