"""One payload through one flow: the answer, a stream, or a halt.

Promise: when `run` returns, everything that the payload set in motion has ended; a deadline, a
failure or a cancellation ends all of it. Refusal: no HTTP, no command line, no file.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from conductor_flows.execute.binding import Bound, bind
from conductor_flows.execute.calling import Caller, Calls
from conductor_flows.execute.context import RunInfo
from conductor_flows.execute.durability import Keeper, is_kept, needed, preflight
from conductor_flows.execute.errors import (
    CapabilitiesMissing,
    DeadlineExceeded,
    MissingOutput,
    UnknownAlias,
)
from conductor_flows.execute.instance import Instance
from conductor_flows.execute.measuring import Measures
from conductor_flows.execute.outcomes import Halted, Outcome, Streamed, Value
from conductor_flows.execute.planning.compiling import Ends, compile_plan
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.services import Services
from conductor_flows.execute.spilling import Spiller, SpillingCaller, SpillKeeper
from conductor_flows.execute.straight import Straight
from conductor_flows.execute.streaming import handed_out
from conductor_flows.execute.subflows import subflow_handler, with_subflows
from conductor_flows.execute.watching import Watch
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

    def __init__(
        self, program: Program, services: Services | None = None, *, inner: bool = False
    ) -> None:
        """Prepare a program; see `compile_plan` and `bind` for what is refused.

        Args:
            program: What runs.
            services: What runs may use.
            inner: It is a flow inside another, whose checkpoints are the only ones.
        """
        self._inner = inner
        self.services = services or Services()
        self.program = with_subflows(program, self._subflow)
        self._bound: dict[Ends, Bound] = {}
        self._measured: dict[tuple[int, int], Measures] = {}
        self._ends: Ends | None = None
        flow = self.program.flow
        self._needed = [] if inner else needed(flow)
        hints = {hint for node in flow.nodes for hint in node.effect_hints}
        self._asked = sorted(hint for hint in hints if hint.startswith("resource::"))

    def _subflow(self, program: Program) -> Handler:
        inner = Runner(program, replace(self.services, durability=None), inner=True)
        bound = inner.bound(None)

        async def run(
            payload: Any, labels: Mapping[str, str], extensions: Mapping[str, Any]
        ) -> Outcome:
            return await inner.run(Invocation(payload, labels=labels, extensions=extensions))

        handlers, plan = bound.handlers, bound.plan
        return subflow_handler(run, handlers[plan.trigger], handlers[plan.capture])

    def bound(self, ends: Ends | None) -> Bound:
        """Return the plan between two ends, with its functions."""
        ends = ends or self._default_ends()
        if ends not in self._bound:
            services = self.services
            plan = compile_plan(
                self.program.flow, ends, served=services.served,
                capture_capacity=services.capture_capacity,
            )  # fmt: skip
            self._bound[ends] = bind(plan, self.program)
        return self._bound[ends]

    def _default_ends(self) -> Ends:
        if self._ends is None:
            self._ends = default_ends(self.program.flow)
        return self._ends

    def preflight(self) -> None:
        """Look whether everything that the flow asks for is bound.

        Raises:
            DurabilityMissing: DAG-CKPT-003, with the names of services.
            CapabilitiesMissing: CAP101, with the hints, sorted, each once.
        """
        if self._needed:
            preflight(self.program.flow, self.services.durability)
        bound = self.services.capabilities
        missing = [hint for hint in self._asked if hint not in bound]
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
            CapabilitiesMissing: CAP101; DurabilityMissing: DAG-CKPT-003.
        """
        self.preflight()
        ends = invocation.ends or self._default_ends()
        bound = self.bound(ends)
        run = self.info(invocation, ends)
        keeper = self._keeper(ends, bound, run)
        if bound.straight and keeper is None:
            return await self._straight(bound, run, invocation)
        instance = self.instance(bound, run, keeper)

        async def begin() -> None:
            await instance.send(invocation.payload)
            if keeper is not None:
                await keeper.begun(instance)
                instance.drive()

        return await self.conclude(instance, bound, begin, deadline_s=invocation.deadline_s)

    async def _straight(self, bound: Bound, run: RunInfo, invocation: Invocation) -> Outcome:
        services, measures = self.services, self._measures(bound)
        caller = Caller(bound, run, services.capabilities, measures)
        watch = Watch(bound.plan, measures, services.tell)
        straight = Straight(bound, caller, watch, spread=services.random)
        return await straight.run(invocation.payload, invocation.deadline_s)

    def _keeper(self, ends: Ends, bound: Bound, run: RunInfo) -> Keeper | None:
        durability, flow = self.services.durability, self.program.flow
        if durability is None or self._inner or not is_kept(flow):
            return None
        return durability.keeper(flow, ends, bound, run)

    def instance(self, bound: Bound, run: RunInfo, keeper: Keeper | None = None) -> Instance:
        """Return a run in which nothing has begun.

        Raises:
            SpillUnsupported: An edge names a tier that there is no store for.
        """
        services = self.services
        measures = self._measures(bound)
        caller: Calls = Caller(bound, run, services.capabilities, measures)
        if bound.plan.spills:
            spiller = Spiller(bound, run, services.spill, measures, services.tell)
            caller, keeper = SpillingCaller(caller, spiller), SpillKeeper(spiller, keeper)
        return Instance(
            bound, caller, spread=services.random, keeper=keeper, measures=measures,
            tell=services.tell,
        )  # fmt: skip

    def _measures(self, bound: Bound) -> Measures | None:
        recorder = self.services.recorder
        if recorder is None:
            return None
        ends = (bound.plan.trigger, bound.plan.capture)
        if ends not in self._measured:
            self._measured[ends] = Measures(recorder, bound.plan)
        return self._measured[ends]

    async def conclude(
        self, instance: Instance, bound: Bound, begin: Callable[[], Awaitable[None]], *,
        deadline_s: float | None = None,
    ) -> Outcome:  # fmt: skip
        """Begin a run, and stay with it to its end. Raises as `run`."""
        handed_over, keeper, reason = False, instance.keeper, "propagated"
        limit = asyncio.timeout(deadline_s)
        try:
            async with limit:
                await begin()
                outcome = await _once(instance, bound, keeper)
            handed_over, reason = isinstance(outcome, Streamed), "halt"
            if keeper is not None and isinstance(outcome, Value):
                await keeper.completed()
        except TimeoutError:
            reason = "deadline"
            if not limit.expired():
                raise
            raise DeadlineExceeded(f"after {deadline_s:g} s") from None
        except asyncio.CancelledError:
            reason = "external"
            raise
        except MissingOutput:
            instance.missed()
            raise
        else:
            return outcome
        finally:
            if not handed_over:
                await instance.cancel(reason)
                if keeper is not None:
                    await keeper.abandoned()


async def _once(instance: Instance, bound: Bound, keeper: Keeper | None) -> Outcome:
    plan = bound.plan
    if bound.handlers[plan.capture].streams:
        if any(node.ir.durability.halts for node in plan.nodes):
            await instance.finish()  # a stream that waits behind a halt never comes
            if instance.halted:
                return await _halted(instance, bound, keeper)
        instance.close()
        _, pieces = await instance.next()
        instance.streams()
        return Streamed(handed_out(instance, bound, pieces, keeper))
    while True:
        await instance.finish()
        if instance.halted:
            return await _halted(instance, bound, keeper)
        try:
            instance.taken.append(await instance.next())
        except MissingOutput:
            break
    return Value(_answer(bound, [bound.view(plan.capture, value) for _, value in instance.taken]))


async def _halted(instance: Instance, bound: Bound, keeper: Keeper | None) -> Halted:
    invocation, halt = instance.halted[0]
    alias = bound.plan.nodes[invocation.node].alias
    if keeper is None:
        return Halted(alias, halt.payload)
    checkpoint_id, token = await keeper.halted(instance)
    return Halted(alias, halt.payload, checkpoint_id, token)


def _answer(bound: Bound, values: list[Any]) -> Any:
    """One value, or the list of them where a for_each without a collector gave many."""
    if bound.plan.many:
        return values
    if not values:
        alias = bound.plan.nodes[bound.plan.capture].alias
        raise MissingOutput(f"nothing reached {alias!r}")
    return values[0] if len(values) == 1 else values


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
        raise UnknownAlias(found, hint="name the trigger and the capture")
    return Ends(triggers[0], sinks[0])
