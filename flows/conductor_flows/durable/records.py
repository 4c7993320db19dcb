"""What a checkpoint is made of.

Promise: a record says everything that a run needs to go on, in JSON that a person can read.
Refusal: no token and no secret: a token is kept apart from the record, as its hash.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from conductor_flows.execute.outcomes import WaitKind

VERSION: Final = 1
INLINE_MAX: Final = 512 * 1024
"""Bytes of state that stay in a record, where there is a blob store."""


class Status(StrEnum):
    """What has become of a checkpoint."""

    ACTIVE = "active"
    FAILED = "failed"
    """It goes on where somebody says so, from where it failed."""
    COMPLETED = "completed"
    EXPIRED = "expired"


class Completed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node that has given something."""

    node_alias: str
    output_port: str = "out"
    cursor: int | None = None
    """How often."""


class Progress(msgspec.Struct, frozen=True):
    """How far a run has come, for people; `State` is what it goes on from."""

    completed: list[Completed] = []
    pending: list[str] = []
    """Aliases of nodes with something before them or in them."""


class BlobRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of the state that stands elsewhere."""

    ref_id: str
    """`blob://checkpoint/<checkpoint id>/<field>`."""
    size_bytes: int
    content_hash: str | None = None
    """Hex SHA-256."""


class State(msgspec.Struct, frozen=True):
    """A frontier, as JSON: in place, or in a blob."""

    data: msgspec.Raw = msgspec.Raw(b"null")
    blobs: list[BlobRef] = []


class Tokens(msgspec.Struct, frozen=True):
    """Idempotency keys of effects, by alias."""

    consumed: dict[str, list[str]] = {}
    """Of invocations that have ended; the newest."""
    pending: dict[str, list[str]] = {}
    """Of invocations that were under way: the effect may have happened."""


class Answer(msgspec.Struct, frozen=True):
    """What a wait was ended by."""

    value: Any


class Wait(msgspec.Struct, frozen=True, omit_defaults=True):
    """A halt node that waits for something from outside."""

    id: str
    alias: str
    kind: WaitKind
    payload: Any = None
    """What is shown to whoever may end it."""
    resume_after_ms: int | None = None
    """When a timer fires, or a callback or approval is given up."""
    otherwise: Any = None
    """What the node gives then."""
    answer: Answer | None = None
    """Kept before the run goes on, so that a crash does not lose it."""
    schedule_id: str | None = None


class Failed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a run that has this checkpoint did not come to its end."""

    at_ms: int
    code: str
    said: str
    """For people; what a function raised, cut off where it is long."""
    node: str | None = None
    """Where it was one that failed: its alias."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One checkpoint; a run has one, which is replaced as it comes further."""

    checkpoint_id: str
    """`cp-<uuid4>`."""
    flow_id: str
    flow_version: str
    run_id: str
    """`run-<uuid4>`."""
    parent_run_id: str | None = None
    trigger: str
    capture: str
    frontier: Progress = Progress()
    state: State = State()
    idempotency: Tokens = Tokens()
    waits: list[Wait] = []
    """In the order of the frontier's halted invocations."""
    labels: dict[str, str] = {}
    extensions: dict[str, Any] = {}
    created_at_ms: int
    resume_after_ms: int | None = None
    """The earliest of the waits."""
    ttl_ms: int | None = None
    attempts: int = 0
    """Resumes since the run last came further."""
    completed_at_ms: int | None = None
    failed: Failed | None = None
    """Until the run is tried again."""
    version: int = VERSION

    def status(self, now_ms: int) -> Status:
        """Return what has become of it."""
        if self.completed_at_ms is not None:
            return Status.COMPLETED
        if self.ttl_ms is not None and self.created_at_ms + self.ttl_ms <= now_ms:
            return Status.EXPIRED
        return Status.ACTIVE if self.failed is None else Status.FAILED

    def due(self, now_ms: int) -> bool:
        """Whether it can go on by itself: nothing is waited for, or a time has come.

        A run that failed is not tried again unasked.
        """
        if self.failed is not None:
            return False
        return not self.waits or any(ended(wait, now_ms) for wait in self.waits)


def ended(wait: Wait, now_ms: int) -> bool:
    """Whether a wait has its answer, or its time has come."""
    after = wait.resume_after_ms
    return wait.answer is not None or (after is not None and after <= now_ms)
