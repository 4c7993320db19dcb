"""One flow, hosted: invocations in, outcomes out, hooks around.

Promise: every run has its reserved labels and is told to every hook, before and after; a payload
that does not fit is told apart from an answer that does not. Refusal: no transport: the web, the
command line and the sidecar's pack stand on this.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from conductor_flows.durable.resume import Signal, resume
from conductor_flows.durable.services import Durability
from conductor_flows.execute.errors import DurabilityMissing, PortRefused
from conductor_flows.execute.outcomes import Outcome, Streamed
from conductor_flows.execute.planning.compiling import Ends
from conductor_flows.execute.program import Program
from conductor_flows.execute.runner import Invocation, Runner, default_ends
from conductor_flows.execute.services import Services
from conductor_flows.host.errors import AnswerRefused
from conductor_flows.host.hooks import Call, Ended, Hook
from conductor_flows.host.streams import held
from conductor_flows.ir.model import FlowIR

_log: Final = logging.getLogger("conductor_flows.host")


class Host:
    """Runs one program, any number of times at once."""

    def __init__(
        self, program: Program, services: Services, *, hooks: Sequence[Hook] = (),
        name: str = "inproc",
    ) -> None:  # fmt: skip
        """Prepare a flow.

        Args:
            program: What runs.
            services: What runs may use; whoever made them closes them, after the last run.
            hooks: Told before and after each run.
            name: Of the host, in metrics and for hooks.
        """
        self.runner = Runner(program, services)
        self.name = name
        self._hooks = tuple(hooks)

    @property
    def flow(self) -> FlowIR:
        """The document."""
        return self.runner.program.flow

    @property
    def services(self) -> Services:
        """What runs may use."""
        return self.runner.services

    def preflight(self) -> None:
        """Look whether everything that the flow asks for is bound.

        Raises:
            DurabilityMissing: DAG-CKPT-003.
            CapabilitiesMissing: CAP101.
        """
        self.runner.preflight()

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run a payload through the flow.

        Raises:
            PortRefused: The payload does not fit the trigger's port.
            AnswerRefused: What the flow gave has no JSON form.
            FlowError: As `Runner.run`.
            Exception: As a hook that refuses the run raises.
        """
        if not self._hooks:
            return await self._run(invocation)  # the runner fills in the reserved labels
        call = self._call(invocation)
        given = Invocation(
            call.payload, call.ends, call.deadline_s, call.labels, call.extensions
        )  # fmt: skip
        return await self._around(call, lambda: self._run(given))

    def _call(self, invocation: Invocation) -> Call:
        ends = invocation.ends or default_ends(self.flow)
        labels = {
            "lf.run_id": "", "lf.flow_id": self.flow.id, "lf.trigger_alias": ends.trigger,
            "lf.capture_alias": ends.capture, **invocation.labels,
        }  # fmt: skip
        labels["lf.run_id"] = labels["lf.run_id"] or f"run-{uuid.uuid4()}"
        return Call(
            self.name, self.flow.name, ends, invocation.payload, labels,
            dict(invocation.extensions), invocation.deadline_s,
        )  # fmt: skip

    async def _run(self, invocation: Invocation) -> Outcome:
        try:
            return await self.runner.run(invocation)
        except PortRefused as refused:
            # The same error says that an answer has no JSON form: only the payload is the caller's.
            bound = self.runner.bound(invocation.ends)
            bound.handlers[bound.plan.trigger].takes.decode(invocation.payload)
            gave = (invocation.ends or default_ends(self.flow)).capture
            raise AnswerRefused(f"{gave}: {refused.detail}", data=refused.data) from refused

    async def resume(
        self, checkpoint_id: str, *, signal: Signal | None = None, again: bool = True
    ) -> Outcome:
        """Go on with a run that halted, or that was interrupted.

        Hooks are told, with the labels of the run that goes on; what they add then reaches no node.

        Args:
            checkpoint_id: Which.
            signal: What a callback or an approval brought; a timer needs none.
            again: Whether a run that failed is tried again.

        Raises:
            DurabilityMissing: DAG-CKPT-003: the host keeps no checkpoints.
            FlowError: As `conductor_flows.durable.resume.resume`.
        """
        durability = self.durability
        if durability is None or durability.store is None:
            raise DurabilityMissing("checkpoint_store", data={"missing": ["checkpoint_store"]})
        record = await durability.store.get(checkpoint_id)
        call = Call(
            self.name, self.flow.name, Ends(record.trigger, record.capture),
            None if signal is None else signal.payload,
            {**record.labels, "lf.run_id": record.run_id, "lf.checkpoint_id": checkpoint_id},
            dict(record.extensions),
        )  # fmt: skip
        return await self._around(
            call,
            lambda: resume(self.runner, durability, checkpoint_id, signal=signal, again=again),
        )

    @property
    def durability(self) -> Durability | None:
        """Where checkpoints go, where runs can be resumed from it."""
        found = self.services.durability
        return found if isinstance(found, Durability) else None

    # Hooks

    async def _around(self, call: Call, run: Callable[[], Awaitable[Outcome]]) -> Outcome:
        begun, told = time.monotonic(), list[Hook]()
        try:
            for hook in self._hooks:
                await hook.before_execute(call)
                told.append(hook)
            outcome = await run()
        except BaseException as error:
            await _tell(told, call, Ended(None, error, time.monotonic() - begun))
            raise
        if isinstance(outcome, Streamed):
            return Streamed(_Told(outcome, told, call, begun))
        await _tell(told, call, Ended(outcome, None, time.monotonic() - begun))
        return outcome


class _Told:
    """A stream that tells the hooks when it ends, however it ends; also where it never began."""

    def __init__(self, outcome: Streamed, hooks: list[Hook], call: Call, begun: float) -> None:
        self._outcome = outcome
        self._items = aiter(outcome.items)
        self._hooks = hooks
        self._call = call
        self._begun = begun
        self._pieces = 0
        self._over = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            item = await anext(self._items)
        except StopAsyncIteration:
            await self._end(None)
            raise
        except BaseException as error:
            await self._end(error)
            raise
        self._pieces += 1
        return item

    async def aclose(self) -> None:
        """End the run. Idempotent."""
        async with held(self._items):
            pass
        await self._end(GeneratorExit())

    async def _end(self, error: BaseException | None) -> None:
        if self._over:
            return
        self._over = True
        outcome = self._outcome if error is None else None
        took_s = time.monotonic() - self._begun
        await _tell(self._hooks, self._call, Ended(outcome, error, took_s, self._pieces))


async def _tell(hooks: list[Hook], call: Call, ended: Ended) -> None:
    interrupted: BaseException | None = None
    for hook in reversed(hooks):
        try:
            await hook.after_execute(call, ended)
        except Exception:  # noqa: BLE001  # what a hook thinks of a run that is over does not change it
            _log.exception("hook failed after a run of %s", call.flow)
        except BaseException as error:  # noqa: BLE001  # a client that goes now keeps the others from nothing
            interrupted = interrupted or error
    if interrupted is not None:
        raise interrupted
