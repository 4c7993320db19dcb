"""Calling the function of a node.

Promise: it gets what its port says and a context of its own; whatever it raises comes out as
`NodeFailed` with the kind of failure; its deadline cancels it where it stands. Refusal: nothing is
repeated here and nothing is routed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from conductor_flows.execute.binding import Bound
from conductor_flows.execute.context import NodeContext, RunInfo
from conductor_flows.execute.errors import (
    CapabilityUndeclared,
    Failure,
    NodeError,
    NodeFailed,
    PortRefused,
    TimeBudget,
)
from conductor_flows.execute.items import NEVER, Invocation
from conductor_flows.execute.keys import idempotency_key
from conductor_flows.execute.measures import Recorder


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
        recorder: Recorder | None = None,
    ) -> None:  # fmt: skip
        self._bound = bound
        self._run = run
        self._capabilities = capabilities
        self._recorder = recorder
        self._hints = [
            frozenset([*node.ir.effect_hints, *node.ir.determinism_hints])
            for node in bound.plan.nodes
        ]

    def check(self, payload: Any) -> None:
        """Refuse a payload that does not fit the trigger; raises `PortRefused`."""
        self._bound.handlers[self._bound.plan.trigger].takes.decode(payload)

    async def call(self, invocation: Invocation) -> Any:
        """Call a node's function once.

        Raises:
            NodeFailed: It failed, or its input or output does not fit; TimeBudget: it took too
                long.
        """
        loop = asyncio.get_running_loop()
        alias = self._bound.plan.nodes[invocation.node].alias
        begun = loop.time() if self._recorder is not None else 0.0
        try:
            if invocation.deadline == NEVER:
                value = await self._run_function(invocation)
            else:
                async with asyncio.timeout_at(invocation.deadline):
                    value = await self._run_function(invocation)
        except NodeFailed as failed:
            self._failed(failed)
            raise
        except Exception as error:
            explained = self._explain(alias, error)
            self._failed(explained)
            raise explained from error
        if self._recorder is not None:
            self._observe(alias, (loop.time() - begun) * 1000)
        return value

    async def _run_function(self, invocation: Invocation) -> Any:
        bound, node = self._bound, invocation.node
        handler, plan = bound.handlers[node], bound.plan.nodes[node]
        convert = (
            bound.joined[node] if plan.gather is not None else bound.intake[invocation.edges[0]]
        )
        try:
            value = invocation.value if convert is None else convert(invocation.value)
        except PortRefused as refused:
            raise NodeFailed(
                plan.alias, refused.detail, kind="input_refused", failure=Failure.SCHEMA_MISMATCH
            ) from None
        if not handler.takes_context:
            return await handler.function(value)
        return await handler.function(value, self._context(invocation))

    def _context(self, invocation: Invocation) -> NodeContext:
        plan, item = self._bound.plan.nodes[invocation.node], invocation.items[0]
        edge = self._bound.plan.edges[invocation.edges[0]]
        key = idempotency_key(
            plan.ir, flow=self._run.flow, run_id=self._run.run_id, place=place_of(invocation),
            partition=item.lane, value=self._bound.view(edge.source, item.value),
        )  # fmt: skip
        return NodeContext(
            plan.alias, self._run, invocation.attempt, key, self._capabilities,
            self._hints[plan.index],
        )  # fmt: skip

    def _explain(self, alias: str, error: Exception) -> NodeFailed:
        if isinstance(error, NodeError):
            return NodeFailed(alias, str(error), failure=error.failure)
        if isinstance(error, TimeoutError):
            return TimeBudget(alias, "it took longer than it may")
        if isinstance(error, CapabilityUndeclared):
            return NodeFailed(alias, error.message, failure=Failure.POLICY_DENIED)
        return NodeFailed(alias, f"{type(error).__name__}: {error}")

    def _failed(self, failed: NodeFailed) -> None:
        if self._recorder is not None:
            labels = self._labels(failed.alias) | {"error_kind": failed.kind}
            self._recorder.count("executor.node_errors_total", labels)

    def _observe(self, alias: str, took_ms: float) -> None:
        if self._recorder is not None:
            self._recorder.observe("executor.node_latency_ms", self._labels(alias), took_ms)

    def _labels(self, alias: str) -> dict[str, str]:
        return {"flow": self._run.flow, "node": alias, "profile": self._bound.plan.profile}


def place_of(invocation: Invocation) -> str:
    """Name an invocation's place within its run: the same when the run is resumed."""
    parts: list[str] = []
    scope = invocation.scope
    while scope.group is not None:
        parts.append(f"{scope.group.node}[{scope.element}]")
        scope = scope.group.parent
    turns = [f"{node}x{count}" for node, count in invocation.items[0].turns]
    return "/".join([str(scope.number), *reversed(parts), *turns])
