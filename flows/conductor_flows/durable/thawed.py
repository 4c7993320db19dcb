"""A run, as it was when its checkpoint was written.

Promise: what waits still waits, what was answered goes on with its answer, and everything else
begins where it was. Refusal: nothing is read or written here, and no lease is asked for.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import msgspec

from conductor_flows.durable.errors import StateCorrupted
from conductor_flows.durable.records import Checkpoint, Wait
from conductor_flows.execute.binding import Bound
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.errors import Failure, NodeFailed, PortRefused, Unroutable
from conductor_flows.execute.instance import Instance
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.scheduling.frontier import Frontier
from conductor_flows.execute.scheduling.items import Invocation
from conductor_flows.execute.values import Values
from conductor_flows.ir.model import FlowIR


def thaw(
    instance: Instance, bound: Bound, checkpoint: Checkpoint, frontier: Frontier
) -> dict[int, Wait]:
    """Fill the instance and end the waits that have an answer; returns the others, by number.

    Raises:
        StateCorrupted: DAG-CKPT-008: it does not fit the flow.
    """
    values = Values(bound)
    waiting: dict[int, Wait] = {}
    try:
        halted = instance.restore(frontier, values)
        for invocation, wait in zip(halted, checkpoint.waits, strict=True):
            if wait.answer is not None:
                value = values.of_node(invocation.node, wait.answer.value)
                _end(instance, invocation, value)
                continue
            waiting[invocation.number] = wait
            instance.halted.append((invocation, Halt(wait.kind, wait.payload)))
    except PortRefused as error:
        raise StateCorrupted(f"{checkpoint.checkpoint_id}: {error.detail}") from error
    except (ValueError, LookupError) as error:
        raise StateCorrupted(f"{checkpoint.checkpoint_id}: {error}") from None
    return waiting


def _end(instance: Instance, invocation: Invocation, value: Any) -> None:
    try:
        instance.core.done(invocation, value, instance.now)
    except Unroutable as failed:
        kind = Failure.PERMANENT
        verdict = instance.core.failed(invocation, kind, failed.detail, instance.now)
        if isinstance(verdict, NodeFailed):
            instance.abort(verdict)


def info(flow: FlowIR, checkpoint: Checkpoint, now_ms: int) -> RunInfo:
    """Return what belongs to the run; labels say that it goes on, and how often it was tried."""
    labels = {
        **checkpoint.labels, "lf.checkpoint_id": checkpoint.checkpoint_id,
        "lf.resume_id": f"resume-{uuid.uuid4()}", "lf.resume_attempt": str(checkpoint.attempts),
    }  # fmt: skip
    extensions = {
        **checkpoint.extensions,
        "lf.resume": {
            "frontier": msgspec.to_builtins(checkpoint.frontier), "attempt": checkpoint.attempts,
            "resumed_at_ms": now_ms,
        },
    }  # fmt: skip
    return replace(
        RunInfo(checkpoint.run_id, flow.id, flow.name), labels=labels, extensions=extensions
    )
