"""What Sidekick keeps: eight kinds of record, and the store in which each kind lives.

Promise: records are immutable, and a key that this version does not know survives a rewrite of its
record. Refusal: nothing here reads a clock, makes an id or touches a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar, cast

import msgspec

Priority = Literal["P0", "P1", "P2", "P3"]
TaskStatus = Literal["pending", "done", "canceled"]
MemoryType = Literal["fact", "preference", "note", "snippet"]
DeliveryState = Literal["pending", "delivered", "failed"]
FailureClass = Literal["retryable", "terminal"]
RunState = Literal["running", "succeeded", "failed", "interrupted", "skipped"]
AuditOp = Literal["create", "read", "update", "delete", "execute", "export"]

EXTRA: Final = "$extra"
"""How the field `extra` is called where records are converted; no file holds this key."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What every record has. Times are UTC with milliseconds and a final `Z`."""

    id: str
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any], name=EXTRA)
    """Keys of the stored object that this version does not know; written back as they were."""


class Task(Record, frozen=True, kw_only=True):
    """Something to do."""

    title: str
    created_at: str
    updated_at: str
    priority: Priority = "P2"
    status: TaskStatus = "pending"
    tags: tuple[str, ...] = ()
    description: str | None = None
    due_at: str | None = None
    defer_until: str | None = None
    """Hidden from `ready` until then."""
    cron: str | None = None
    """A recurring due time; computed from when it is asked for, never executed by itself."""
    depends_on: tuple[str, ...] = ()
    """Ids of tasks that come first."""
    note: str | None = None
    completed_at: str | None = None
    canceled_at: str | None = None
    reason: str | None = None
    """Why it was canceled."""


class Memory(Record, frozen=True, kw_only=True):
    """Something worth knowing later."""

    type: MemoryType
    content: str
    created_at: str
    updated_at: str
    tags: tuple[str, ...] = ()


class Channel(Record, frozen=True, kw_only=True):
    """A named list of messages; the name is unique, case-sensitive."""

    name: str
    created_at: str
    updated_at: str
    type: str = "terminal"


class Message(Record, frozen=True, kw_only=True):
    """One message of a channel; each channel keeps its newest `MESSAGES_KEPT`."""

    channel_id: str
    sender: str
    content: str
    created_at: str
    metadata: dict[str, Any] | None = None
    external_id: str | None = None
    """What the provider calls a message that came in; also tells a repetition."""


class Delivery(Record, frozen=True, kw_only=True):
    """A message on its way out through a provider: the outbox, with what became of it."""

    provider: str
    channel: str
    content: str
    created_at: str
    updated_at: str
    state: DeliveryState = "pending"
    attempts: int = 0
    next_attempt_at: str | None = None
    """Not before; None on a pending delivery: at once."""
    workspace_id: str | None = None
    metadata: dict[str, Any] | None = None
    message_id: str | None = None
    """The local message that it carries, where there is one."""
    failure_class: FailureClass | None = None
    error: str | None = None
    external_message_id: str | None = None
    delivered_at: str | None = None


class RoutineStep(msgspec.Struct, frozen=True):
    """One call that a routine plans."""

    tool: str
    input: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any], name=EXTRA)


class Routine(Record, frozen=True, kw_only=True):
    """A named list of calls; run by its schedule only where the runner is switched on."""

    name: str
    steps: tuple[RoutineStep, ...]
    created_at: str
    updated_at: str
    cron: str | None = None
    enabled: bool = True
    description: str | None = None
    last_run_at: str | None = None
    """The due time that the runner served last; the next one is computed from it."""


class RunStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one step of a run."""

    index: int
    tool: str
    success: bool
    code: str | None = None
    call_id: str | None = None
    duration_ms: int | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any], name=EXTRA)


class RoutineRun(Record, frozen=True, kw_only=True):
    """One run of a routine: the run log."""

    routine_id: str
    due_at: str
    started_at: str
    state: RunState = "running"
    steps: tuple[RunStep, ...] = ()
    finished_at: str | None = None
    error: str | None = None


class AuditEvent(Record, frozen=True, kw_only=True):
    """Who did what to which records. Never holds the content of a memory or a message."""

    ts: str
    tool: str
    op: AuditOp
    actor: str | None = None
    ids: tuple[str, ...] | None = None
    details: dict[str, Any] | None = None


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Store(Generic[R]):
    """A kind of record: its name, its type and the prefix of its ids."""

    name: str
    record: type[R]
    prefix: str


TASKS: Final = Store("tasks", Task, "task")
MEMORIES: Final = Store("memories", Memory, "mem")
CHANNELS: Final = Store("channels", Channel, "chan")
MESSAGES: Final = Store("messages", Message, "msg")
ROUTINES: Final = Store("routines", Routine, "routine")
DELIVERIES: Final = Store("deliveries", Delivery, "dlv")
RUNS: Final = Store("runs", RoutineRun, "run")

STORES: Final[tuple[Store[Any], ...]] = (
    TASKS, MEMORIES, CHANNELS, MESSAGES, ROUTINES, DELIVERIES, RUNS,
)  # fmt: skip
"""All stores; the first five are those of an export."""

AUDIT_PREFIX: Final = "evt"
_LEFT_OUT_EMPTY: Final = frozenset({"depends_on"})
MESSAGES_KEPT: Final = 100


def as_json(record: Record) -> dict[str, Any]:
    """Return the record as an object of JSON values.

    Absent optional fields are left out; unknown keys of the stored object are in it again.
    """
    return {**record.extra, **_plain(record)}


def _plain(record: Record) -> dict[str, Any]:
    builtins: Mapping[str, Any] = msgspec.to_builtins(record)
    return {
        key: _json(value)
        for key, value in builtins.items()
        if value is not None and key != EXTRA and not (key in _LEFT_OUT_EMPTY and not value)
    }


def _json(value: Any) -> Any:
    """Make tuples lists, and put the unknown keys of steps where they stood."""
    if not isinstance(value, tuple):
        return value
    items = cast("tuple[str | dict[str, Any], ...]", value)
    return [item if isinstance(item, str) else {**item.pop(EXTRA, {}), **item} for item in items]
