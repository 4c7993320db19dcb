"""The durability services of a host, together.

Promise: everything that runs keep is in one place that the host chose. Refusal: no default: what
is kept nowhere is said to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from conductor_flows.capabilities.bindings.spec import Binding
from conductor_flows.capabilities.file_rows import FileRows
from conductor_flows.capabilities.rows import MemoryRows, RowStore
from conductor_flows.durable.blobs import RowCheckpointBlobs
from conductor_flows.durable.keeper import RunKeeper
from conductor_flows.durable.ports import Places
from conductor_flows.durable.schedules import RowScheduler
from conductor_flows.durable.signals import RowSignals
from conductor_flows.durable.stores import RowCheckpointStore
from conductor_flows.execute.binding import Bound
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.durability import needed
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.ir.model import FlowIR
from conductor_sdk.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Durability(Places):
    """A `Durable`; put it into `Services.durability`."""

    rows: RowStore | None = None
    """What it all stands on, where it is one thing; closed by `close`."""

    def keeper(self, flow: FlowIR, ends: Ends, bound: Bound, run: RunInfo) -> RunKeeper:
        """See `Durable.keeper`."""
        return RunKeeper(self, flow, ends, bound, run)

    def lacks(self, flow: FlowIR) -> list[str]:
        """See `Durable.lacks`."""
        there = {
            "checkpoint_store": self.store, "resume_scheduler": self.scheduler,
            "resume_signal_source": self.signals, "checkpoint_blob_store": self.blobs,
        }  # fmt: skip
        return [name for name in needed(flow) if there[name] is None]

    async def close(self) -> None:
        """Close files and threads, where there are any. Idempotent."""
        if self.rows is not None:
            await self.rows.close()


def on_rows(rows: RowStore, *, clock: Clock | None = None) -> Durability:
    """Return all services on one set of shelves."""
    clock = clock or SystemClock()
    store = RowCheckpointStore(rows, clock=clock)
    return Durability(
        store, RowScheduler(rows, clock=clock), RowSignals(rows, clock=clock),
        RowCheckpointBlobs(rows), clock, store, rows,
    )  # fmt: skip


def from_bindings(bindings: Iterable[Binding], *, clock: Clock | None = None) -> Durability | None:
    """Return what `--bind checkpoint_store=…` or a lock names; None: nothing."""
    for binding in bindings:
        connect = binding.connect
        match binding.provider_kind:
            case "checkpoint_store.memory":
                return in_memory(clock=clock)
            case "checkpoint_store.filesystem":
                return in_folder(Path(str(connect.get("root"))), clock=clock)
            case "checkpoint_store.sqlite":
                return in_sqlite(Path(str(connect.get("path"))), clock=clock)
            case _:
                continue
    return None


def in_memory(*, clock: Clock | None = None) -> Durability:
    """Return services that last as long as the process."""
    return on_rows(MemoryRows(), clock=clock)


def in_folder(root: Path, *, clock: Clock | None = None) -> Durability:
    """Return services in files a person can read, as in `.flow/checkpoints`."""
    return on_rows(FileRows(root, suffix=".json"), clock=clock)


def in_sqlite(path: Path, *, clock: Clock | None = None) -> Durability:
    """Return services in one SQLite file, for several processes."""
    from conductor_flows.capabilities.sqlite_rows import SqliteRows

    return on_rows(SqliteRows(path), clock=clock)
