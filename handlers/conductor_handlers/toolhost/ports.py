"""What the tool host needs of the rest: small protocols, implemented elsewhere.

Promise: the host names no store, no journal and no surface. Refusal: no implementation here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from conductor_sdk.approval import Approval, ApprovalRequest
from conductor_sdk.context import PushReceipt
from conductor_sdk.event import KernelEvent
from conductor_sdk.records import Claimed

__all__ = [
    "ApprovalStore", "CallHistory", "Claimed", "Evidence", "OpenCall", "ResultStore", "ToolEvents",
    "ToolTimes",
]  # fmt: skip


class ApprovalStore(Protocol):
    """Approvals, durable."""

    async def request(self, request: ApprovalRequest) -> Approval:
        """Store a request, or return the open one for the same tool, actor and input hash.

        Durable on return.
        """
        ...

    async def use(self, tool: str, actor: str, input_hash: str, now_ms: int) -> Approval | None:
        """Use up a granted approval for exactly this action; None: there is none.

        At most one caller of several gets it. A denied one that has not expired is returned as it
        is, so that the host can say so; it is not used up. Durable on return.
        """
        ...


class ResultStore(Protocol):
    """Answers by idempotency key, so that a call that is repeated has one effect."""

    async def claim(self, actor: str, tool: str, key: str, input_hash: str, now_ms: int) -> Claimed:
        """Claim a key before the tool runs; durable on return.

        A claim that a crash left behind is `running` until `abandon_running`.
        """
        ...

    async def finish(self, actor: str, tool: str, key: str, output: bytes, now_ms: int) -> None:
        """Keep the answer of a claimed key; durable on return."""
        ...

    async def release(self, actor: str, tool: str, key: str) -> None:
        """Give a claim back: the tool was not run."""
        ...

    async def abandon_running(self) -> int:
        """At start: turn what was running when the process died into answers `CALL_INTERRUPTED`.

        Returns how many. The effect may have happened, so it is not run again by itself.
        """
        ...

    async def prune(self, before_ms: int) -> int:
        """Forget answers older than `before_ms`, in small steps; returns how many went."""
        ...


class Evidence(Protocol):
    """Where the host says what it did: the journal."""

    async def append(self, event_type: str, actor: str, payload: Mapping[str, Any]) -> int:
        """Append one entry, durable when this returns; returns its sequence."""
        ...


class ToolEvents(Protocol):
    """Where the daemon's own `agent-runtime:tool_called` goes up."""

    async def publish(self, events: Sequence[KernelEvent]) -> list[PushReceipt]:
        """Queue events; durable on return."""
        ...


class ToolTimes(Protocol):
    """Told of every call, for metrics."""

    def called(self, tool: str, outcome: str, seconds: float) -> None:
        """Count one call; `outcome` is success, failure or denied."""
        ...


class OpenCall(msgspec.Struct, frozen=True):
    """A `TOOL_CALL_STARTED` entry without an end."""

    call_id: str
    tool: str
    pack: str
    actor: str
    surface: str
    input_hash: str | None = None


class CallHistory(Protocol):
    """What the journal says of earlier calls; asked once, at start."""

    async def open_calls(self) -> list[OpenCall]:
        """Return the calls that have not ended, oldest first.

        Those with a `TOOL_CALL_STARTED`, and neither a `TOOL_CALL_FINISHED` nor a
        `TOOL_CALL_INTERRUPTED` of the same `call_id`.
        """
        ...
