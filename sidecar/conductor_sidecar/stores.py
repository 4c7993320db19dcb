"""The open stores of one workspace, as ports.

Promise: whoever is given these can do everything that the daemon's stores can. Refusal: nothing is
opened or closed here, and no store is named; `app` does both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor_sdk.clock import Clock
from conductor_sidecar.approvals import ApprovalDesk
from conductor_sidecar.desk import StoreDesk
from conductor_sidecar.health.vitals import StoreVitals
from conductor_sidecar.ports import (
    Approvals,
    Calls,
    DeadLetters,
    Journal,
    Outbox,
    ReplayLog,
    ToolResults,
    Vault,
)


@dataclass(frozen=True, slots=True)
class Stores:
    """The open stores of one workspace."""

    log: ReplayLog
    dead_letters: DeadLetters
    outbox: Outbox
    journal: Journal
    approvals: Approvals
    results: ToolResults
    calls: Calls
    clock: Clock
    vault: Vault | None = None
    """Looks into the database and copies it; stores in memory have none."""
    vitals: tuple[StoreVitals, ...] = ()
    """How each database does; stores in memory always do well."""
    desk: StoreDesk = field(init=False)
    """The operator's hands on these stores."""

    def __post_init__(self) -> None:
        approvals = ApprovalDesk(self.approvals, self.journal, self.clock)
        desk = StoreDesk(
            self.log, self.dead_letters, self.outbox, self.journal, approvals, self.clock
        )
        object.__setattr__(self, "desk", desk)  # frozen for everybody else
