"""Flows inside flows.

Promise: a node of kind `subflow` runs the flow that it names with the services of the run around
it, and gives what that flow gives; a failure inside is the node's, of the same kind; inner effects
are keyed by the place of the outer item, so that an attempt that is repeated repeats their keys.
Refusal: a halt inside is no halt of the outer run, and fails the node.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from conductor_flows.execute.context import NodeContext
from conductor_flows.execute.errors import (
    DeadlineExceeded,
    Failure,
    MissingOutput,
    NodeError,
    NodeFailed,
    PortRefused,
)
from conductor_flows.execute.outcomes import Halted, Outcome, Streamed
from conductor_flows.execute.program import Handler, Program

RunInner: TypeAlias = Callable[[Any, Mapping[str, str], Mapping[str, Any]], Awaitable[Outcome]]
"""Runs a payload (JSON) with labels and extensions."""


def with_subflows(program: Program, prepare: Callable[[Program], Handler]) -> Program:
    """Return a program in which every subflow has a function behind it."""
    if not program.subflows:
        return program
    inner = {name: prepare(each) for name, each in program.subflows.items()}
    return replace(program, handlers={**program.handlers, **inner})


def subflow_handler(run: RunInner, trigger: Handler, capture: Handler) -> Handler:
    """Return the function behind a subflow.

    Args:
        run: Runs the flow inside.
        trigger: The function at its way in.
        capture: The function at its way out.
    """

    async def call(value: Any, context: NodeContext) -> Any:
        try:
            outcome = await run(trigger.takes.encode(value), _labels(context),
                                context.run.extensions)  # fmt: skip
            if isinstance(outcome, Halted):
                raise NodeError(Failure.PERMANENT, f"the flow inside halted at {outcome.alias}")
            if isinstance(outcome, Streamed):
                return outcome.items
            return capture.gives.decode(outcome.value)
        except NodeFailed as failed:
            raise NodeError(failed.failure, failed.detail) from failed
        except DeadlineExceeded as late:
            raise NodeError(Failure.TIMEOUT, late.message) from late
        except PortRefused as refused:
            raise NodeError(Failure.SCHEMA_MISMATCH, refused.detail) from refused
        except MissingOutput:
            return None  # nothing came out, so nothing goes on

    return Handler(call, trigger.takes, capture.gives, takes_context=True, streams=capture.streams)


def _labels(context: NodeContext) -> dict[str, str]:
    """Return the labels of the inner run: the outer ones but for what is the inner run's own."""
    kept = {key: value for key, value in context.run.labels.items() if not key.startswith("lf.")}
    run_id = f"{context.run.run_id}.{context.alias}.{context.idempotency_key[:16]}"
    return {**kept, "lf.run_id": run_id, "lf.parent_run_id": context.run.run_id}
