"""The contexts that the harness gives: to handlers, to the background task and to tools.

Promise: the same attributes as in the daemon. Refusal: nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor_sdk.clock import Clock
from conductor_sdk.context import (
    JournalPort,
    Log,
    PushReceipt,
    StoragePort,
    SyncPort,
    ToolPort,
)
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.manifest_tools import NetworkScope, PathScope
from conductor_sdk.replay import PackReplayLog
from conductor_sdk.tool import ScopedFiles, ToolCall


@dataclass(slots=True)
class HarnessContext:
    """The `PackContext` that the harness gives."""

    slug: str
    subject: str
    workspace: Path
    config: Mapping[str, Any]
    sync_port: SyncPort
    replay_log: PackReplayLog
    journal: JournalPort
    storage: StoragePort
    tools: ToolPort
    clock: Clock
    log: Log
    deadline: float | None = None
    traceparent: str | None = None

    async def push(
        self, kind: str, payload: Mapping[str, Any], *, key: str | None = None
    ) -> PushReceipt:
        """Build an event of this pack and push it; `key` makes its id deterministic."""
        event = build_kernel_event_v2(
            {"kind": kind, "from": self.subject, "payload": payload},
            idempotency_key=key,
            clock=self.clock,
        )
        return (await self.sync_port.push_kernel_events([event]))[0]


@dataclass(slots=True, kw_only=True)
class HarnessToolContext(HarnessContext):
    """The `ToolContext` that the harness gives."""

    call: ToolCall
    scopes: Sequence[PathScope | NetworkScope]
    files: ScopedFiles
    pack: Any
