"""What a run needs of whoever keeps its checkpoints.

Promise: a run asks for a store only where it would write: in strong mode, or at a node that halts.
Refusal: nothing is written here (`conductor_flows.durable` does).
"""

from __future__ import annotations

from typing import Any, Protocol

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.errors import DurabilityMissing, FlowError
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.scheduling.core import Core
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.ir.model import FlowIR
from conductor_flows.ir.terms import DurabilityMode


class Running(Protocol):
    """What a keeper sees of a run."""

    core: Core
    halted: list[tuple[Invocation, Halt]]
    """Invocations that wait for something from outside."""

    @property
    def given(self) -> list[tuple[int, Any]]:
        """Results that have left the board, by payload, but reached nobody."""
        ...

    @property
    def now(self) -> float:
        """The board's time."""
        ...

    def abort(self, error: FlowError) -> None:
        """End the run with an error."""
        ...


class Keeper(Protocol):
    """Keeps the checkpoint of one run."""

    @property
    def busy(self) -> bool:
        """Whether something that has ended is not on disk yet: nothing new may begin."""
        ...

    async def begun(self, instance: Running) -> None:
        """The payload is in."""
        ...

    async def settled(self, instance: Running, invocation: Invocation) -> None:
        """An invocation has ended and its outputs are placed."""
        ...

    async def halted(self, instance: Running) -> tuple[str | None, str | None]:
        """Nothing runs, and something waits; returns the checkpoint's id, if any, and a token."""
        ...

    async def completed(self) -> None:
        """The answer has been given."""
        ...

    async def abandoned(self) -> None:
        """The run has ended without an answer; what is on disk stays. Also after the others."""
        ...


class Durable(Protocol):
    """What a host gives to runs that are to be resumed."""

    def keeper(self, flow: FlowIR, ends: Ends, bound: Bound, run: RunInfo) -> Keeper:
        """Return the keeper of a new run."""
        ...

    def lacks(self, flow: FlowIR) -> list[str]:
        """Return the names of services that the flow needs and that are not there."""
        ...


def is_kept(flow: FlowIR) -> bool:
    """Whether runs of a flow leave checkpoints."""
    mode = flow.policies.durability.mode
    if mode is DurabilityMode.PARTIAL:
        return any(node.durability.halts for node in flow.nodes)
    return mode is DurabilityMode.STRONG


def needed(flow: FlowIR) -> list[str]:
    """Return the names of the services that a flow needs, sorted."""
    if not is_kept(flow):
        return []
    found = {"checkpoint_store"}
    if flow.policies.durability.blob_threshold_bytes is not None:
        found.add("checkpoint_blob_store")
    for node in flow.nodes:
        kind = node.identifier.replace(".", "::")
        if kind.startswith("std::timer::wait"):
            found.add("resume_scheduler")
        if kind.startswith(("std::callback::wait", "std::hitl::approval")):
            found.add("resume_signal_source")
    return sorted(found)


def preflight(flow: FlowIR, durable: Durable | None) -> None:
    """Look whether everything is there that a run needs to be resumed.

    Raises:
        DurabilityMissing: DAG-CKPT-003, with the names of what is missing.
    """
    missing = needed(flow) if durable is None else durable.lacks(flow)
    if missing:
        raise DurabilityMissing(", ".join(missing), data={"missing": missing})
