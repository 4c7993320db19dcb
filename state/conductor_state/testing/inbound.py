"""What every suite on the inbound stores starts from: the factory to give, and small builders.

Promise: the suites see the stores only through their ports. Refusal: nothing here knows a
database; only the factory does.

Use with pytest and `asyncio_mode = auto`: derive a class whose name begins with `Test` and give it
`open`.
"""

# ruff: noqa: S101  a contract suite asserts

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from conductor_sdk.clock import Clock, ManualClock
from conductor_sdk.records import Arrival, Delivered

KIND = "acme-demo:job_completed"
OTHER = "conductor:recovery_requested"


class InboundStores(NamedTuple):
    """What a test is given: a replay log, the dead letters beside it, and the clock of both."""

    log: Any
    dead_letters: Any
    clock: ManualClock


def arrivals(*event_ids: str, kind: str = KIND) -> list[Arrival]:
    """Make events whose bodies hold their ids."""
    return [Arrival(event_id, kind, f'{{"id":"{event_id}"}}'.encode()) for event_id in event_ids]


def handled(positions: Sequence[int | None], action: str = "done") -> list[Delivered]:
    """Settle positions as handled."""
    return [Delivered(position, "handled", action) for position in positions if position]


class InboundContract(ABC):
    """Derive from a suite, not from this."""

    @abstractmethod
    def open(self, folder: Path, clock: Clock) -> AbstractAsyncContextManager[tuple[Any, Any]]:
        """Open (replay log, dead letters) on what `folder` holds, and close them at the end."""

    @asynccontextmanager
    async def stores(self, folder: Path) -> AsyncGenerator[InboundStores]:
        """Open stores with a manual clock; the conservation law must hold at the end."""
        clock = ManualClock()
        async with self.open(folder, clock) as (log, dead_letters):
            yield InboundStores(log, dead_letters, clock)
            assert all(counts.balanced for counts in (await log.counts()).values())
