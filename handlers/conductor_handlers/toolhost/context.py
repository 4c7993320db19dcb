"""What a tool is given: its pack's context, and the call with its files.

Promise: everything of the pack's own context, unchanged, and the scopes of this call. Refusal: a
context outlives its call without widening; the files are bound to the call's scopes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conductor_sdk.clock import Clock
from conductor_sdk.context import (
    JournalPort,
    Log,
    PackContext,
    PushReceipt,
    StoragePort,
    SyncPort,
    ToolPort,
)
from conductor_sdk.manifest_tools import NetworkScope, PathScope
from conductor_sdk.replay import PackReplayLog
from conductor_sdk.tool import ScopedFiles, ToolCall


class HostToolContext:
    """The `ToolContext` of one call."""

    __slots__ = ("_context", "call", "deadline", "files", "pack", "scopes")

    def __init__(
        self,
        context: PackContext,
        own: Any,
        call: ToolCall,
        scopes: Sequence[PathScope | NetworkScope],
        files: ScopedFiles,
        deadline: float,
    ) -> None:
        self._context = context
        self.pack = own
        """The pack's own context."""
        self.call = call
        self.scopes = scopes
        self.files = files
        self.deadline: float | None = deadline
        """The event loop's time at which the call is cancelled."""

    @property
    def slug(self) -> str:
        """The pack's slug."""
        return self._context.slug

    @property
    def subject(self) -> str:
        """The enrolled subject."""
        return self._context.subject

    @property
    def workspace(self) -> Path:
        """The workspace's root."""
        return self._context.workspace

    @property
    def config(self) -> Mapping[str, Any]:
        """The pack's section of the configuration."""
        return self._context.config

    @property
    def sync_port(self) -> SyncPort:
        """Where events are pushed."""
        return self._context.sync_port

    @property
    def replay_log(self) -> PackReplayLog:
        """The pack's replay keys."""
        return self._context.replay_log

    @property
    def journal(self) -> JournalPort:
        """The workspace's journal."""
        return self._context.journal

    @property
    def storage(self) -> StoragePort:
        """The pack's own database."""
        return self._context.storage

    @property
    def tools(self) -> ToolPort:
        """The tools of all loaded packs; never with wider scopes than this call's caller has."""
        return self._context.tools

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._context.clock

    @property
    def log(self) -> Log:
        """The pack's logger."""
        return self._context.log

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context to send along with the pack's own requests."""
        return self._context.traceparent

    async def push(
        self, kind: str, payload: Mapping[str, Any], *, key: str | None = None
    ) -> PushReceipt:
        """Build an event of this pack and push it."""
        return await self._context.push(kind, payload, key=key)
