"""What a host gives to runs that are to be resumed.

Promise: what returned is durable, where the implementation is; a lease has one holder. Refusal: no
run is begun here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from conductor_flows.durable.records import BlobRef, Checkpoint, Status
from conductor_sdk.clock import Clock, SystemClock

LEASE_MAX_S: Final = 3600.0
LEASES_READ: Final = 500
"""Leases that are read at a time."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a checkpoint."""

    checkpoint_id: str
    holder: str
    until_ms: int
    ttl_ms: int = round(LEASE_MAX_S * 1000)
    """For how long it is taken each time; whoever works renews it after half of that."""

    def holds(self, now_ms: int) -> bool:
        """Whether nobody else may take it.

        One that would hold for more than twice its time was taken before the clock went back:
        nobody is to wait for the old time to come again.
        """
        return 0 < self.until_ms - now_ms <= 2 * self.ttl_ms


@dataclass(frozen=True, slots=True)
class LeasePage:
    """Some of the leases that a store has given."""

    leases: tuple[Lease, ...]
    """By checkpoint id; also those that have run out and were never given up."""
    more_after: str
    """Where the next page begins; "": this was the last."""


class CheckpointStore(Protocol):
    """Records and leases."""

    keeps_ended: bool
    """Whether a run may be taken up again after `ack`: then the end of its last node is written
    too, though the end of the run comes next."""

    async def put(self, checkpoint: Checkpoint, lease: Lease | None = None) -> None:
        """Keep a record in the place of the one with its id.

        Raises:
            LeaseLost: The lease is no longer the current one; nothing was kept.
        """
        ...

    async def begin(self, checkpoint: Checkpoint, ttl_s: float) -> Lease:
        """Keep the first record of a run, and take the lease on it in the same step.

        Raises:
            LeaseConflict: DAG-CKPT-007: somebody has it; nothing was kept.
        """
        ...

    async def get(self, checkpoint_id: str) -> Checkpoint:
        """Return a record.

        Raises:
            CheckpointNotFound: DAG-CKPT-006.
            StateCorrupted: DAG-CKPT-008: it is there and cannot be read.
            VersionIncompatible: DAG-CKPT-009: a later build wrote it.
        """
        ...

    async def ack(
        self, checkpoint_id: str, *, retain_s: float | None = None, lease: Lease | None = None
    ) -> None:
        """Say that the run is over: delete the record, or keep it that long as completed.

        Raises:
            CheckpointNotFound: DAG-CKPT-006.
            LeaseLost: The lease is no longer the current one; nothing has changed.
        """
        ...

    async def lease(self, checkpoint_id: str, ttl_s: float) -> Lease:
        """Take the right to work on a checkpoint; one that no longer `holds` is replaced.

        Args:
            checkpoint_id: Which.
            ttl_s: For how long; clamped to 0.05 s to 1 h.

        Raises:
            CheckpointNotFound: DAG-CKPT-006.
            LeaseConflict: DAG-CKPT-007: somebody has it.
        """
        ...

    async def renew(self, lease: Lease, ttl_s: float) -> Lease:
        """Hold a lease for longer; also one that has run out, while nobody else has taken it.

        Raises:
            LeaseLost: It was replaced or given up.
        """
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Give a lease up. Nothing happens where it is no longer the current one."""
        ...

    async def list(
        self, *, flow: str | None = None, run: str | None = None, status: Status | None = None
    ) -> list[Checkpoint]:
        """Return records, sorted by flow, run and id. Those that cannot be read are left out."""
        ...


class LeaseBook(Protocol):
    """Tells the leases of a store, so that runs are found that were left in the middle."""

    async def leases(self, *, after: str = "", limit: int = LEASES_READ) -> LeasePage:
        """Return the next leases, whose checkpoint ids come after another id.

        Args:
            after: `more_after` of the page before.
            limit: Leases to look at; those that cannot be read are left out of the page.
        """
        ...


class ScheduleStatus(StrEnum):
    """What has become of a schedule."""

    PENDING = "pending"
    FIRED = "fired"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Nobody fired it within a week."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to resume a checkpoint."""

    id: str
    checkpoint_id: str
    at_ms: int


class ResumeScheduler(Protocol):
    """Remembers when to resume what."""

    async def schedule_at(self, checkpoint_id: str, at_ms: int) -> Schedule:
        """Remember a time; one that has passed is due at once."""
        ...

    async def schedule_after(self, checkpoint_id: str, delay_s: float) -> Schedule:
        """Remember a delay; DelayInvalid where it is below 0 or no number."""
        ...

    async def cancel(self, schedule_id: str) -> None:
        """Forget a time; ScheduleNotFound. Nothing happens to one that has fired."""
        ...

    async def status(self, schedule_id: str) -> ScheduleStatus:
        """Return what has become of it; ScheduleNotFound."""
        ...

    async def due(self, limit: int = 100) -> list[Schedule]:
        """Return pending schedules whose time has come, oldest first."""
        ...

    async def fired(self, schedule_id: str) -> None:
        """Say that it was done; ScheduleNotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token stands for."""

    checkpoint_id: str
    wait_id: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


class ResumeSignalSource(Protocol):
    """Tokens with which somebody outside may end a wait."""

    async def create_token(
        self, ticket: Ticket, *, ttl_s: float | None = None, single_use: bool = True
    ) -> str:
        """Return a new token; it cannot be found out from what is stored."""
        ...

    async def peek(self, token: str) -> Ticket:
        """Return what a token stands for, without using it. Raises as `resolve`."""
        ...

    async def resolve(self, token: str) -> Ticket:
        """Use a token.

        Raises:
            TokenUnknown: Never given, run out or revoked.
            TokenUsed: It was for one use.
        """
        ...

    async def revoke(self, token: str) -> None:
        """Make a token worthless; TokenUnknown."""
        ...


class CheckpointBlobStore(Protocol):
    """Parts of states that are too large for a record."""

    async def put_checkpoint_blob(self, checkpoint_id: str, field: str, data: bytes) -> BlobRef:
        """Keep bytes; put them before the record that names them."""
        ...

    async def get_checkpoint_blob(self, ref: BlobRef) -> bytes:
        """Return bytes.

        Raises:
            StateCorrupted: DAG-CKPT-008: they are gone, or others than were put.
        """
        ...

    async def delete_checkpoint_blobs(self, checkpoint_id: str, *, keep: str = "") -> int:
        """Delete all blobs of a checkpoint but the one with that `ref_id`; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Places:
    """The services that a host has."""

    store: CheckpointStore | None = None
    scheduler: ResumeScheduler | None = None
    signals: ResumeSignalSource | None = None
    blobs: CheckpointBlobStore | None = None
    clock: Clock = field(default_factory=SystemClock)
    leases: LeaseBook | None = None
    """Of the store, where it can tell them; without it no run is found that was left."""
