"""One payload through one flow: the answer, a stream, or a halt.

Promise: when `run` returns, everything that the payload set in motion has ended; a deadline, a
failure or a cancellation ends all of it. Refusal: no HTTP, no command line, no file.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from conductor_flows.execute.binding import Bound, bind
from conductor_flows.execute.calling import Caller
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.errors import (
    CapabilitiesMissing,
    DeadlineExceeded,
    MissingOutput,
    NodeFailed,
    UnknownAlias,
)
from conductor_flows.execute.instance import Instance
from conductor_flows.execute.outcomes import Halted, Outcome, Streamed, Value
from conductor_flows.execute.planning import Ends, compile_plan
from conductor_flows.execute.program import Program
from conductor_flows.execute.services import Services
from conductor_flows.ir.model import FlowIR


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is asked of a flow."""

    payload: Any
    ends: Ends | None = None
    """By default the only entrypoint, or the only trigger and the only sink."""
    deadline_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    extensions: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Runner:
    """Runs a program as often as it is asked to."""

    def __init__(self, program: Program, services: Services | None = None) -> None:
        """Prepare a program; see `compile_plan` and `bind` for what is refused."""
        self.program = program
        self.services = services or Services()
        self._bound: dict[Ends, Bound] = {}

    def bound(self, ends: Ends | None) -> Bound:
        """Return the plan between two ends, with its functions."""
        ends = ends or default_ends(self.program.flow)
        if ends not in self._bound:
            services = self.services
            plan = compile_plan(
                self.program.flow, ends, served=services.served,
                capture_capacity=services.capture_capacity,
            )  # fmt: skip
            self._bound[ends] = bind(plan, self.program)
        return self._bound[ends]

    def preflight(self) -> None:
        """Look whether everything that the flow asks for is bound.

        Raises:
            CapabilitiesMissing: CAP101, with the hints, sorted, each once.
        """
        asked = {hint for node in self.program.flow.nodes for hint in node.effect_hints
                 if hint.startswith("resource::")}  # fmt: skip
        missing = sorted(hint for hint in asked if hint not in self.services.capabilities)
        if missing:
            raise CapabilitiesMissing(", ".join(missing), data={"hints": missing})

    def info(self, invocation: Invocation, ends: Ends) -> RunInfo:
        """Return what belongs to a new run; labels that are given are kept."""
        flow = self.program.flow
        run_id = invocation.labels.get("lf.run_id") or f"run-{uuid.uuid4()}"
        labels = {
            "lf.run_id": run_id, "lf.flow_id": flow.id, "lf.trigger_alias": ends.trigger,
            "lf.capture_alias": ends.capture,
        } | dict(invocation.labels)  # fmt: skip
        return RunInfo(run_id, flow.id, flow.name, labels, dict(invocation.extensions))

    async def run(self, invocation: Invocation) -> Outcome:
        """Run a payload through the flow.

        Raises:
            PortRefused: The payload does not fit the trigger's port.
            NodeFailed: A node failed and nothing passed over it; TimeBudget, TIME015.
            DeadlineExceeded: The deadline came first.
            MissingOutput: Nothing reached the capture.
            CapabilitiesMissing: CAP101.
        """
        self.preflight()
        ends = invocation.ends or default_ends(self.program.flow)
        bound = self.bound(ends)
        run = self.info(invocation, ends)
        caller = Caller(bound, run, self.services.capabilities, self.services.recorder)
        instance = Instance(bound, caller, spread=self.services.random)
        handed_over = False
        try:
            async with asyncio.timeout(invocation.deadline_s):
                outcome = await self._once(instance, bound, invocation.payload)
            handed_over = isinstance(outcome, Streamed)
        except TimeoutError:
            raise DeadlineExceeded(f"after {invocation.deadline_s:g} s") from None
        else:
            return outcome
        finally:
            if not handed_over:
                await instance.cancel("propagated")

    async def _once(self, instance: Instance, bound: Bound, payload: Any) -> Outcome:
        plan = bound.plan
        await instance.send(payload)
        if bound.handlers[plan.capture].streams:
            _, pieces = await instance.next()
            return Streamed(_stream(instance, bound, pieces))
        values: list[Any] = []
        while True:
            await instance.finish()
            if instance.halted:
                invocation, halt = instance.halted[0]
                return Halted(plan.nodes[invocation.node].alias, halt.payload)
            try:
                _, value = await instance.next()
            except MissingOutput:
                break
            values.append(bound.view(plan.capture, value))
        return Value(_answer(bound, values))


def _answer(bound: Bound, values: list[Any]) -> Any:
    """One value, or the list of them where a for_each without a collector gave many."""
    many = any(node.expand is not None and node.expand.collect is None for node in bound.plan.nodes)
    if many:
        return values
    if not values:
        alias = bound.plan.nodes[bound.plan.capture].alias
        raise MissingOutput(f"nothing reached {alias!r}")
    return values[0] if len(values) == 1 else values


async def _stream(instance: Instance, bound: Bound, pieces: Any) -> AsyncIterator[Any]:
    """Hand pieces on; whatever ends the stream ends the run."""
    alias = bound.plan.nodes[bound.plan.capture].alias
    encode = bound.handlers[bound.plan.capture].gives.encode
    try:
        async with aclosing(pieces) as items:
            async for item in items:
                yield encode(item)
    except Exception as error:
        raise NodeFailed(alias, f"{type(error).__name__}: {error}") from error
    finally:
        await instance.cancel("stream_cancelled")


def default_ends(flow: FlowIR) -> Ends:
    """Return the only entrypoint, or the only trigger and the only sink.

    Raises:
        UnknownAlias: There is more than one, or none.
    """
    if len(flow.metadata.entrypoints) == 1:
        entry = flow.metadata.entrypoints[0]
        return Ends(entry.trigger_alias, entry.capture_alias)
    triggers = [node.alias for node in flow.nodes if node.kind == "trigger"]
    sources = {edge.source for edge in flow.edges}
    sinks = [node.alias for node in flow.nodes if node.alias not in sources]
    if len(triggers) != 1 or len(sinks) != 1:
        found = f"triggers: {', '.join(triggers) or 'none'}; sinks: {', '.join(sinks) or 'none'}"
        raise UnknownAlias(found, hint="name them: --trigger-alias … --capture-alias …")
    return Ends(triggers[0], sinks[0])
