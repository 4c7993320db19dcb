"""One payload through a user's flow, or a burst of them.

Promise: all options are checked before a node runs. Refusal: nothing is printed here.
"""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import click

from conductor_flows.cli.provided import bindings_for, kept_for
from conductor_flows.cli.session import Done, Session, concluded, perform, run_to_the_end
from conductor_flows.cli.specs import program_of
from conductor_flows.execute.errors import PortRefused, UnknownAlias
from conductor_flows.execute.outcomes import Outcome, Value
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.runner import Invocation, default_ends
from conductor_flows.host.hosting import Host
from conductor_flows.ir.json_values import as_object
from conductor_flows.ir.model import FlowIR

BURST_INDEX: Final = "lf_burst_index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for."""

    spec: str
    payload: Any
    stream: bool = False
    as_json: bool = False
    burst: int = 1
    binds: tuple[str, ...] = ()
    lock: Path | None = None
    store: str | None = None
    path: Path | None = None
    ends: tuple[str, str] | None = None
    deadline_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    metrics: Path | None = None


def run_local(order: Order) -> None:
    """Run it and print what it gives.

    Raises:
        ConductorError: The flow cannot be loaded or run, or the run failed.
        click.UsageError: Two options exclude each other.
        KeyboardInterrupt: The run was cancelled.
    """
    program = program_of(order.spec)
    flow = program.flow
    bindings = bindings_for(flow, order.spec, order.binds, order.lock)
    kept = kept_for(flow, bindings, order.store, order.path)
    ends = _ends(flow, order)
    if order.burst > 1 and any(node.durability.halts for node in flow.nodes):
        raise click.UsageError("--burst is for flows that do not wait")
    session = Session(
        program=program, spec=order.spec, bindings=bindings, kept=kept, stream=order.stream,
        as_json=order.as_json, metrics=order.metrics,
    )  # fmt: skip

    deadline_s = _deadline_s(flow, order, ends)

    async def act(host: Host) -> Done:
        try:
            made = Invocation(order.payload, ends, deadline_s, order.labels)
            if order.burst > 1:
                return await _burst(host, made, order.burst)
            outcome = await host.invoke(made)
        except PortRefused as error:
            if order.payload is None:
                schema = f"flows entrypoints check {shlex.quote(order.spec)} --json"
                error.hint = f"give it one: --payload JSON; see what it takes: {schema}"
            raise
        return await concluded(outcome, as_json=order.as_json)

    run_to_the_end(perform(session, ends, act))


def _ends(flow: FlowIR, order: Order) -> Ends:
    if order.ends is not None:
        return Ends(*order.ends)
    if len(flow.metadata.entrypoints) > 1:
        first = flow.metadata.entrypoints[0]
        raise click.UsageError(
            f"{flow.name} has several entrypoints; choose one, for example: "
            f"--trigger {first.trigger_alias} --capture {first.capture_alias}"
        )
    try:
        return default_ends(flow)
    except UnknownAlias as error:
        error.hint = no_way_in(flow) or "choose: --trigger ALIAS --capture ALIAS"
        raise


def no_way_in(flow: FlowIR) -> str:
    """Return what to do about a flow that nothing goes into; "" for another."""
    if any(node.kind == "trigger" for node in flow.nodes):
        return ""
    return "begin it with a trigger: an async function under @trigger(summary=…)"


def _deadline_s(flow: FlowIR, order: Order, ends: Ends) -> float | None:
    """Return what was typed, or what the entrypoint says that is gone in by."""
    if order.deadline_s is not None:
        return order.deadline_s
    said = (
        each.deadline_ms for each in flow.metadata.entrypoints
        if (each.trigger_alias, each.capture_alias) == (ends.trigger, ends.capture)
    )  # fmt: skip
    found = next(said, None)
    return None if found is None else found / 1000


async def _burst(host: Host, each: Invocation, count: int) -> Done:
    tasks: list[asyncio.Task[Outcome]] = []
    fields = as_object(each.payload)
    try:
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                payload = each.payload if fields is None else {**fields, BURST_INDEX: index}
                run = host.invoke(replace(each, payload=payload))
                tasks.append(group.create_task(run, name=f"flow.burst-{index}"))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    results = [done.value for task in tasks if isinstance(done := task.result(), Value)]
    return Done(results, captures=len(results))
