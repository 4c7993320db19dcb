"""All ambient power of a pack, handed in: nothing global, nothing imported.

Promise: a pack that uses only its context runs the same in the daemon, in the harness and in a
test. Refusal: a context gives no access to another pack's storage, keys or configuration.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from conductor_sdk.clock import Clock
from conductor_sdk.event import KernelEvent
from conductor_sdk.replay import PackReplayLog
from conductor_sdk.tool_output import ToolOutput

T = TypeVar("T")

PushStatus = Literal["queued", "sent", "dropped"]


class PushReceipt(msgspec.Struct, frozen=True):
    """What became of one pushed event when the call returned."""

    event_id: str
    kind: str
    status: PushStatus
    """queued: durable in the outbox; sent: an ephemeral one was written to the link; dropped."""
    reason: str | None = None
    """Why it was dropped: `disconnected`, `window_full`, `overflow`, …; None otherwise."""


class SyncPort(Protocol):
    """Where a pack pushes its events."""

    async def push_kernel_events(
        self, events: Sequence[KernelEvent | Mapping[str, Any]]
    ) -> list[PushReceipt]:
        """Push events upstream; one receipt per event, in order.

        `queue` kinds are durable when this returns and delivered in order until the conductor
        confirms them; `ephemeral` kinds are tried once. All or nothing: a refused event refuses
        the call before anything is stored. An event pushed again with the same id is queued once.

        Raises:
            UnknownKind: The kind is not in the pack's manifest.
            SubjectMismatch: `from` is not the enrolled subject.
            EventMalformed: The event has the wrong shape or is over a limit.
            QueueFull: The outbox is at its cap and its policy is `reject`.
        """
        ...


class JournalReceipt(msgspec.Struct, frozen=True):
    """Where an entry stands in the journal."""

    sequence: int
    hash: str
    """Hex; the entry's link in the chain."""


class JournalTransaction(Protocol):
    """One commit of the journal's file: a pack's tables in it and the entries that explain them.

    Valid inside the `work` that it is given to, and on that thread only.
    """

    @property
    def connection(self) -> sqlite3.Connection:
        """For the pack's own tables, `<slug>s` and `<slug>_…`; never for the journal's."""
        ...

    def append(
        self, event_type: str, payload: Mapping[str, Any], *,
        actor: str | None = None, session_id: str | None = None, task_id: str | None = None,
    ) -> JournalReceipt:  # fmt: skip
        """Append one entry; the receipt holds once the commit is through.

        `actor` is on whose behalf the pack acts; the pack itself where none is given.
        """
        ...


class JournalPort(Protocol):
    """The workspace's hash-chained journal."""

    async def append(self, event_type: str, payload: Mapping[str, Any]) -> int:
        """Append one entry, durable when this returns; returns its sequence number.

        The actor of the entry is the pack; `payload` is JSON without floats.
        """
        ...

    async def transaction(self, work: Callable[[JournalTransaction], T]) -> T:
        """Run `work` in one commit with the entries that it appends, off the event loop.

        Durable when this returns; an exception of `work` rolls everything back and is raised.
        """
        ...

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one state of the journal's file, off the event loop; it may run again.

        `work` may read every table and change none; it fetches its rows itself, and what it
        raises is raised. Creates no file: where there is none, `work` finds an empty database.
        Another process that writes is not waited for, except for the moment of its commit.
        """
        ...


class StoragePort(Protocol):
    """The pack's own SQLite file, with replay keys beside the pack's tables."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction off the event loop; committed when this returns.

        An exception from `work` rolls everything back and is raised here.
        """
        ...

    async def run_once(self, key: str, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run `work` and record `key` in one commit; None when the key was already there.

        A crash at any point leaves both or neither, so the effect cannot repeat. With the event's
        `event_id` as key the dispatcher answers replayed without calling the handler.
        """
        ...


class ToolPort(Protocol):
    """The daemon's tools, for a pack: every call goes through the tool host, as the pack."""

    async def call(
        self, tool: str, input: Mapping[str, Any] | None = None, *,  # noqa: A002  the wire's word
        key: str | None = None,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool of any loaded pack; a refusal is an answer, not an exception.

        Args:
            tool: Its name.
            input: A JSON object.
            key: With it, the same call again gives the first call's answer and has no effect.
        """
        ...

    def names(self) -> Sequence[str]:
        """Return the names of the tools that a call would find, sorted."""
        ...


class Log(Protocol):
    """A structured logger bound to the pack, and to the event while one is handled."""

    def debug(self, event: str, **fields: object) -> object:
        """Log for developers."""
        ...

    def info(self, event: str, **fields: object) -> object:
        """Log what an operator may want to know."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Log what an operator should look at."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Log what an operator must act on."""
        ...


class PackContext(Protocol):
    """What a handler, a tool and a pack's background task are given."""

    @property
    def slug(self) -> str:
        """The pack's slug."""
        ...

    @property
    def subject(self) -> str:
        """The enrolled subject: the `from` of everything pushed."""
        ...

    @property
    def workspace(self) -> Path:
        """The workspace's root."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """The pack's own section of the configuration, under its `config_key`."""
        ...

    @property
    def sync_port(self) -> SyncPort:
        """Where events are pushed."""
        ...

    @property
    def replay_log(self) -> PackReplayLog:
        """The pack's replay keys."""
        ...

    @property
    def journal(self) -> JournalPort:
        """The workspace's journal."""
        ...

    @property
    def storage(self) -> StoragePort:
        """The pack's own database, created at first use."""
        ...

    @property
    def tools(self) -> ToolPort:
        """The tools of all loaded packs."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def log(self) -> Log:
        """The pack's logger."""
        ...

    @property
    def deadline(self) -> float | None:
        """The monotonic time at which the current attempt is cancelled; None outside one."""
        ...

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context for the pack's own requests; None outside an attempt.

        What is pushed and called through this context carries it by itself.
        """
        ...

    async def push(
        self, kind: str, payload: Mapping[str, Any], *, key: str | None = None
    ) -> PushReceipt:
        """Build an event of this pack and push it; `key` makes its id deterministic.

        Raises:
            EventRefused: As `SyncPort.push_kernel_events`.
        """
        ...
