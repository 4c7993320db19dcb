"""How an embedded conductor behaves on a good day.

Promise: every number that bounds a link or a page stands here, with its unit in its name.
Refusal: no file and no environment is read; whoever composes the conductor fills this in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from conductor_protocol.messages import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """The settings of one conductor."""

    limits: Limits = field(default_factory=Limits)
    """What a sidecar may send, and how large a frame or batch goes down."""
    beat_s: float = 10.0
    """Seconds between beats."""
    hello_s: float = 10.0
    """Seconds in which a new link must say hello."""
    close_s: float = 2.0
    """Seconds that closing a link may take before it is cut."""
    drain_s: float = 2.0
    """Seconds between announcing a drain and closing the link."""
    page_events: int = 1024
    """Events read from the history at once."""
    page_bytes: int = 524_288
    receive_frames: int = 256
    """Frames taken from a link at once."""
    watch_records: int = 4096
    """Records that a slow watcher may leave unread before the oldest are lost."""
    token_ttl_s: float = 86_400.0
    """Seconds in which an enrollment token must be used."""
    credential_ttl_s: float | None = None
    """Seconds that a credential lives; None: until it is revoked."""
    default_decision: Literal["allow", "deny"] = "allow"
    """What the control-plane call `policies` answers."""
