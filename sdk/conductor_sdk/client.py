"""Push and call tools through a running sidecar, from any program beside it.

Promise: `connect(workspace).sync_port` behaves as the `sync_port` of a pack, and `.tools` as its
`ctx.tools`: the same receipts, answers and exceptions. An event's id is fixed before it leaves
this process, so pushing the same built event again after a lost answer cannot queue it twice.
Refusal: nothing is kept here; with no sidecar the call fails and says how to start one.

HTTP/1.1 over the workspace's control socket, one connection for each request, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import msgspec

from conductor_sdk.client_tools import RemoteTools, connect_http
from conductor_sdk.client_wire import SidecarAnswered, SocketConnection, ask, decoded
from conductor_sdk.clock import Clock, SystemClock
from conductor_sdk.context import PushReceipt
from conductor_sdk.errors import EventMalformed, SubjectMismatch
from conductor_sdk.event import KernelEvent, encode_event, event_from_fields
from conductor_sdk.event_builder import build_kernel_event_v2
from conductor_sdk.workspace import Workspace, resolve_workspace

__all__ = [
    "RemoteTools", "Sidecar", "SidecarAnswered", "SocketSyncPort", "ask", "connect",
    "connect_http",
]  # fmt: skip

_Push: TypeAlias = Callable[
    [Sequence[KernelEvent | Mapping[str, Any]]], Awaitable[list[PushReceipt]]
]


class _Pushed(msgspec.Struct):
    receipts: list[PushReceipt]


class Sidecar:
    """A running sidecar, as another process sees it. `connect` makes one.

    Safe to share between tasks. Use as an async context manager to learn at once whether the
    sidecar is there, or without one: each call connects by itself and `close` only forgets.
    """

    def __init__(self, workspace: Workspace, *, timeout_s: float, clock: Clock) -> None:
        self._workspace = workspace
        self._timeout_s = timeout_s
        self._clock = clock
        self._subject: str | None = None
        self._sync_port = SocketSyncPort(self._push)
        self._tools = RemoteTools(lambda wait_s: SocketConnection(workspace, wait_s))

    @property
    def workspace(self) -> Path:
        """The workspace's root."""
        return self._workspace.root

    @property
    def sync_port(self) -> SocketSyncPort:
        """Where events are pushed; a `SyncPort`."""
        return self._sync_port

    @property
    def tools(self) -> RemoteTools:
        """The tools of the loaded packs, called as this user."""
        return self._tools

    @property
    def subject(self) -> str:
        """The enrolled subject: the `from` of everything pushed.

        Known after `async with` or the first push; before that, this asks the sidecar and blocks
        for as long.

        Raises:
            SidecarUnreachable: No sidecar answers.
            SidecarAnswered: It is not enrolled.
        """
        if self._subject is None:
            return self._learn(self._get_status())
        return self._subject

    async def status(self) -> Mapping[str, Any]:
        """Return what `conductor status --json` prints.

        Raises:
            SidecarUnreachable: No sidecar answers.
        """
        return await asyncio.to_thread(self._get_status)

    def close(self) -> None:
        """Forget what was learned. Idempotent; no connection is kept between calls."""
        self._subject = None

    async def __aenter__(self) -> Self:
        self._learn(await self.status())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _push(self, events: Sequence[KernelEvent | Mapping[str, Any]]) -> list[PushReceipt]:
        if self._subject is None and not all(isinstance(event, KernelEvent) for event in events):
            self._learn(await self.status())
        built = [self._build(event) for event in events]
        body = b'{"events":[' + b",".join(map(encode_event, built)) + b"]}"
        try:
            answer = await asyncio.to_thread(self._request, "POST", "/v1/push", body)
        except SubjectMismatch:
            self._subject = None  # it may have been enrolled anew; the next call asks again
            raise
        return decoded(answer, _Pushed).receipts

    def _build(self, event: KernelEvent | Mapping[str, Any]) -> KernelEvent:
        if isinstance(event, KernelEvent):
            return event
        if event.get("schema_version") == 1:
            return event_from_fields(event)
        fields = {"from": self._subject, **event}
        key = fields.pop("idempotency_key", None)
        if key is not None and not isinstance(key, str):
            raise EventMalformed("idempotency_key is not a string")
        return build_kernel_event_v2(fields, idempotency_key=key, clock=self._clock)

    def _learn(self, status: Mapping[str, Any]) -> str:
        subject = status.get("subject")
        if not isinstance(subject, str):
            hint = "run: conductor enroll URL --token-file FILE"
            raise SidecarAnswered("it is not enrolled", hint=hint)
        self._subject = subject
        return subject

    def _get_status(self) -> dict[str, Any]:
        return decoded(self._request("GET", "/v1/status", None), dict[str, Any])

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        return ask(self._workspace, method, path, body, timeout_s=self._timeout_s)


class SocketSyncPort:
    """`SyncPort` through the control socket."""

    def __init__(self, push: _Push) -> None:
        self._push = push

    async def push_kernel_events(
        self, events: Sequence[KernelEvent | Mapping[str, Any]]
    ) -> list[PushReceipt]:
        """Push events upstream; one receipt per event, in order.

        As `SyncPort.push_kernel_events`. A mapping may leave out `from`, which is the enrolled
        subject, and may carry an `idempotency_key`; a KernelEvent goes as it is.

        Raises:
            EventRefused: As in a pack, before anything is stored.
            QueueFull: As in a pack.
            SidecarUnreachable: No sidecar answers. After it had begun to answer, the events may
                be queued: push the same KernelEvents, or the same keys, again.
        """
        return await self._push(events) if events else []


def connect(
    workspace: Path | str | None = None, *, timeout_s: float = 30.0, clock: Clock | None = None
) -> Sidecar:
    """Return the sidecar of a workspace; nothing is sent yet.

    Args:
        workspace: Its directory; the current one by default.
        timeout_s: The longest wait for one step of an answer.
        clock: Gives the timestamps of events that bring none.

    Raises:
        WorkspaceMissing: It is not a directory.
    """
    resolved = resolve_workspace(workspace)
    return Sidecar(resolved, timeout_s=timeout_s, clock=clock or SystemClock())
