"""Calling the function of a node.

Promise: it gets what its port says and a context of its own; whatever it raises comes out as
`NodeFailed` with the kind of failure, `SystemExit` too: a function ends its run, never the process;
its deadline cancels it where it stands. Refusal: nothing is repeated here and nothing is routed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from conductor_flows.execute.binding import Bound, Convert
from conductor_flows.execute.context import NodeContext, RunInfo
from conductor_flows.execute.errors import (
    CapabilityUndeclared,
    Failure,
    NodeError,
    NodeFailed,
    PortRefused,
    TimeBudget,
    said_by,
)
from conductor_flows.execute.keys import Keys
from conductor_flows.execute.measuring import Measures
from conductor_flows.execute.program import Handler
from conductor_flows.execute.scheduling.items import NEVER, Invocation


class Calls(Protocol):
    """What calls the functions of a run."""

    def check(self, payload: Any) -> None:
        """Refuse a payload that does not fit the trigger; raises `PortRefused`."""
        ...

    async def call(self, invocation: Invocation) -> Any:
        """Call a node's function once; raises `NodeFailed`."""
        ...


class Caller:
    """One for a run."""

    def __init__(
        self, bound: Bound, run: RunInfo, capabilities: Mapping[str, Any],
        measures: Measures | None = None,
    ) -> None:  # fmt: skip
        self._bound = bound
        self._run = run
        self._capabilities = capabilities
        self._measures = measures
        self._keys = Keys(bound, run)
        self._checked: dict[int, tuple[Any, Any]] = {}
        """Payloads and what they were decoded to, until their trigger begins."""

    def check(self, payload: Any) -> None:
        """Refuse a payload that does not fit the trigger; raises `PortRefused`."""
        decoded = self._bound.handlers[self._bound.plan.trigger].takes.decode(payload)
        self._checked[id(payload)] = (payload, decoded)

    async def call(self, invocation: Invocation) -> Any:
        """Call a node's function once.

        Raises:
            NodeFailed: It failed, or its input or output does not fit; TimeBudget: it took too
                long.
        """
        if self._measures is not None:
            return await self._measured(self._measures, invocation)
        bound = self._bound
        try:
            if invocation.deadline == NEVER and not bound.intake[invocation.edges[0]]:
                function = bound.direct[invocation.node]
                if function is not None:
                    return await function(invocation.value)
            handler = bound.handlers[invocation.node]
            if invocation.deadline == NEVER:
                return await handler.function(*self._arguments(handler, invocation))
            async with asyncio.timeout_at(invocation.deadline):
                return await handler.function(*self._arguments(handler, invocation))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            alias = self._bound.plan.nodes[invocation.node].alias
            if isinstance(error, NodeFailed) and error.alias == alias:
                raise
            raise explained(alias, error) from error

    async def _measured(self, measures: Measures, invocation: Invocation) -> Any:
        loop, node, well = asyncio.get_running_loop(), invocation.node, False
        begun = loop.time()
        measures.began(node)
        try:
            handler = self._bound.handlers[node]
            async with asyncio.timeout_at(
                None if invocation.deadline == NEVER else invocation.deadline
            ):
                value = await handler.function(*self._arguments(handler, invocation))
            well = True
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            alias = self._bound.plan.nodes[node].alias
            if isinstance(error, NodeFailed) and error.alias == alias:
                measures.failed(alias, error.kind)
                raise
            failure = explained(alias, error)
            measures.failed(alias, failure.kind)
            raise failure from error
        else:
            return value
        finally:
            measures.ended(node, (loop.time() - begun) * 1000, well=well)

    def _arguments(self, handler: Handler, invocation: Invocation) -> tuple[Any, ...]:
        bound, node, value = self._bound, invocation.node, invocation.value
        convert = bound.joined[node] or bound.intake[invocation.edges[0]]
        if convert is not None:
            value = self._converted(convert, invocation)
        if handler.streams and node != bound.plan.capture:
            alias = bound.plan.nodes[node].alias
            raise NodeFailed(alias, "only the capture may stream", kind="invalid_stream_target",
                             failure=Failure.PERMANENT)  # fmt: skip
        return (value, self._context(invocation)) if handler.takes_context else (value,)

    def _converted(self, convert: Convert, invocation: Invocation) -> Any:
        value = invocation.value
        if not invocation.edges[0]:  # the flow's input was decoded when it came
            checked = self._checked.pop(id(value), None)
            if checked is not None:
                return checked[1]
        try:
            return convert(value)
        except PortRefused as refused:
            alias = self._bound.plan.nodes[invocation.node].alias
            raise NodeFailed(
                alias, refused.detail, kind="input_refused", failure=Failure.SCHEMA_MISMATCH
            ) from None

    def _context(self, invocation: Invocation) -> NodeContext:
        node = invocation.node

        def key() -> str:
            if invocation.node != node:
                raise RuntimeError("the context of a node is used after its call")
            return self._keys.claimed(invocation)

        return NodeContext(
            self._bound.plan.nodes[node].alias, self._run, invocation.attempt, key,
            self._capabilities, self._bound.hints[node],
        )  # fmt: skip


def explained(alias: str, error: BaseException) -> NodeFailed:
    """Say what a function has raised.

    Args:
        alias: Its node.
        error: Nothing by which a task or the process is ended from outside, but for a
            cancellation, which is raised again where somebody has asked for it.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise error
        # Something that it waited for was cancelled. Let through, the run would wait for ever.
        return NodeFailed(alias, "it was cancelled, though the run goes on")
    if isinstance(error, NodeError):
        return NodeFailed(alias, said_by(error), failure=error.failure)
    if isinstance(error, NodeFailed):  # of another flow, that the function has asked
        return NodeFailed(alias, error.detail, failure=error.failure)
    if isinstance(error, TimeoutError):
        return TimeBudget(alias, "it took longer than it may")
    if isinstance(error, CapabilityUndeclared):
        return NodeFailed(alias, error.message, failure=Failure.POLICY_DENIED)
    return NodeFailed(alias, f"{type(error).__name__}: {said_by(error)}")
