"""The audit trail of a storage port, by way of its reads and changes.

Promise: an event is appended as every change is made, and read as everything is read. Refusal:
nothing is stored here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from conductor_packs.sidekick.records import AuditEvent
from conductor_packs.sidekick.storage.port import Change, View

T = TypeVar("T")


class AuditedPort(ABC):
    """The part of a `StoragePort` that is the same for all of them."""

    @abstractmethod
    async def read(self, work: Callable[[View], T]) -> T:
        """Run `work` on one consistent state."""

    @abstractmethod
    async def change(self, work: Callable[[Change], T]) -> T:
        """Run `work` exclusively; stored when this returns."""

    async def append_audit(self, event: AuditEvent) -> None:
        """Append one audit event as it is."""
        await self.change(lambda change: change.append(event))

    async def audit_events(self, limit: int | None = None) -> list[AuditEvent]:
        """Return the audit trail, oldest first."""
        return await self.read(lambda view: view.audit_events(limit))
