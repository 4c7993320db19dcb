"""Approvals: a person's or conductor's leave for exactly one action, used once.

Promise: an approval is bound to the tool, the caller and the hash of the input, so that leave for
one action is leave for no other. Refusal: nothing here grants; the store keeps what was decided.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ApprovalState = Literal["pending", "granted", "denied", "used", "expired"]


class ApprovalRequest(msgspec.Struct, frozen=True):
    """What leave is asked for."""

    request_id: str
    """Unique; the same pending action asks with the same id."""
    pack: str
    tool: str
    actor: str
    """The authenticated subject of the call."""
    approvals: tuple[str, ...]
    """The names that the manifest requires, for example `sidekick:task_cancel`."""
    input_hash: str
    """SHA-256, hex, of the input's canonical JSON."""
    summary: str
    """What the action is, for the person who decides; at most 500 characters."""
    requested_at_ms: int
    expires_at_ms: int


class Approval(msgspec.Struct, frozen=True):
    """A request and what became of it."""

    request: ApprovalRequest
    state: ApprovalState
    decided_by: str | None = None
    reason: str | None = None
    decided_at_ms: int | None = None
    used_at_ms: int | None = None
