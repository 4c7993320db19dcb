"""What the embedded conductor keeps, and the link it speaks over.

Promise: hub and server name no store and no adapter. Refusal: no implementation here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from conductor_sdk.records import Outgoing


class HistoryEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a workspace's history, down or up."""

    sequence: int
    event_id: str
    kind: str
    body: bytes
    at_ms: int


class Anchor(msgspec.Struct, frozen=True):
    """A workspace's journal head as it was seen at a time."""

    workspace: str
    size: int
    hash: str
    at_ms: int


class TokenRecord(msgspec.Struct, frozen=True):
    """An issued token; the token itself is kept only as a SHA-256 digest."""

    token_id: str
    digest: str
    purpose: Literal["enrollment", "credential"]
    workspace: str
    issued_ms: int
    expires_ms: int | None
    revoked_ms: int | None = None
    used_ms: int | None = None


class History(Protocol):
    """The conductor's durable memory. Every write is durable when it returns."""

    @property
    def epoch(self) -> str:
        """Random id of this history, made with the database; a lost database means a new one."""
        ...

    async def append(
        self, workspace: str, events: Sequence[Outgoing], *, again: bool = False
    ) -> list[int]:
        """Append downward events; an id already there keeps and returns its first sequence.

        With `again` every event becomes a new entry, also one whose id is there: a resend, as a
        conductor makes it that does not know whether its first try arrived.
        """
        ...

    async def read(
        self, workspace: str, after: int, limit: int, max_bytes: int
    ) -> list[HistoryEvent]:
        """Read downward events after a sequence, in order; at least one if there is one."""
        ...

    async def bounds(self, workspace: str) -> tuple[int, int]:
        """Return (first kept sequence, last sequence); (1, 0) when there is nothing."""
        ...

    async def forget(self, workspace: str, through: int) -> int:
        """Drop downward events up to a sequence: how a gap is made. Returns how many."""
        ...

    async def record_push(self, workspace: str, events: Sequence[Outgoing]) -> list[bool]:
        """Store pushed events in order; False for an id already there."""
        ...

    async def pushed(self, workspace: str | None, after: int, limit: int) -> list[HistoryEvent]:
        """Read pushed events after a sequence, in the order in which they were stored."""
        ...

    async def workspaces(self) -> list[str]:
        """Every workspace that has events, tokens or anchors, sorted."""
        ...

    async def put_anchor(self, anchor: Anchor) -> None:
        """Keep a journal head."""
        ...

    async def anchors(self, workspace: str) -> list[Anchor]:
        """Return a workspace's anchors, oldest first."""
        ...

    async def put_token(self, token: TokenRecord) -> None:
        """Insert or replace a token by its id."""
        ...

    async def token_by_digest(self, digest: str) -> TokenRecord | None:
        """Find a token by the SHA-256 hex digest of its text."""
        ...

    async def tokens(self) -> list[TokenRecord]:
        """Return all tokens, oldest first."""
        ...

    async def close(self) -> None:
        """Release the database."""
        ...


class Link(Protocol):
    """One open connection: whole frames in order, as an adapter's transport gives them.

    `receive` raises a `ConductorError` with code LINK_CLOSED at the end.
    """

    async def receive(self, limit: int) -> list[bytes]:
        """Wait for at least one frame; return what has arrived, at most `limit`."""
        ...

    async def send(self, frames: Sequence[bytes]) -> None:
        """Write the frames in order."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; idempotent, never raises."""
        ...
