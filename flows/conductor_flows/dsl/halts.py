"""Nodes at which a run waits for something from outside: a time, a call, a decision.

Promise: such a node says `halts`, and gives a `Halt` with all that a host needs to show the wait
and to end it. Refusal: nothing waits here; checkpoints are written and resumed by the host.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, Unpack

from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.node import Node, Ports, describe
from conductor_flows.dsl.options import NodeOptions, with_options
from conductor_flows.dsl.ports import port_of, to_json
from conductor_flows.execute.outcomes import Halt
from conductor_flows.execute.program import Handler
from conductor_flows.ir.model import NodeDurability
from conductor_flows.ir.terms import Determinism, Effects, NodeKind

In = TypeVar("In")
Out = TypeVar("Out")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Decision:
    """What an approval gives."""

    approved: bool
    approver: str | None = None
    comment: str | None = None
    decided_at: str | None = None
    """RFC 3339; None where nobody decided in time."""
    context: Any = None
    """What was to be decided: the input of the node, as JSON."""


def timer(
    alias: str, carries: type[In], *, after_s: float | None = None, until: datetime | None = None,
    **options: Unpack[NodeOptions],
) -> Node[In, In]:  # fmt: skip
    """Make a node that lets its input through after a while.

    Args:
        alias: Of the node, unless `add` gives another.
        carries: The type of what passes.
        after_s: From when the node is reached.
        until: A moment with a time zone, instead of `after_s`; one in the past is now.
        options: See `NodeOptions`.

    Raises:
        FlowRefused: Neither or both of the times, or a negative one.
    """
    if (after_s is None) == (until is None):
        raise FlowRefused(f"{alias}: give `after_s` or `until`")
    if after_s is not None and after_s < 0:
        raise FlowRefused(f"{alias}: `after_s` is not negative")
    if until is not None and until.tzinfo is None:
        raise FlowRefused(f"{alias}: `until` has a time zone")

    async def wait(value: In) -> Halt:
        passed = to_json(value)
        return Halt("timer", passed, after_s, passed, until)

    said: NodeOptions = {"summary": "Waits for a time", **options}
    return _halting(alias, "std::timer::wait", wait, (carries, carries), said)


def callback(
    alias: str, takes: type[In], gives: type[Out], *, timeout_s: float | None = None,
    otherwise: Out | None = None, **options: Unpack[NodeOptions],
) -> Node[In, Out]:  # fmt: skip
    """Make a node that waits for a call from outside and gives what that brings.

    Args:
        alias: Of the node, unless `add` gives another.
        takes: The type of what is shown to whoever calls.
        gives: The type of what the call brings.
        timeout_s: When the wait is given up.
        otherwise: What the node gives then.
        options: See `NodeOptions`.
    """

    async def wait(value: In) -> Halt:
        return Halt("callback", to_json(value), timeout_s, to_json(otherwise))

    said: NodeOptions = {"summary": "Waits for a call", **options}
    return _halting(alias, "std::callback::wait", wait, (takes, gives), said)


def approval(
    alias: str, takes: type[In], *, timeout_s: float | None = None, **options: Unpack[NodeOptions]
) -> Node[In, Decision]:
    """Make a node that waits for somebody's decision.

    Args:
        alias: Of the node, unless `add` gives another.
        takes: The type of what is decided about.
        timeout_s: When it counts as rejected.
        options: See `NodeOptions`.
    """

    async def wait(value: In) -> Halt:
        shown = to_json(value)
        rejected = Decision(approved=False, comment="nobody decided in time", context=shown)
        return Halt("approval", shown, timeout_s, to_json(rejected))

    said: NodeOptions = {"summary": "Waits for a decision", **options}
    return _halting(alias, "std::hitl::approval", wait, (takes, Decision), said)


def _halting(
    name: str, identifier: str, wait: Callable[[Any], Awaitable[Halt]], types: tuple[Any, Any],
    options: NodeOptions,
) -> Node[Any, Any]:  # fmt: skip
    if not _NAME.fullmatch(name):
        raise FlowRefused(f"{name!r} is no alias")
    ports = Ports(port_of(types[0]), port_of(types[1]))
    ir = describe(
        name=name, identifier=f"{identifier}::{name}", kind=NodeKind.INLINE, ports=ports,
        effects=Effects.PURE, determinism=Determinism.BEST_EFFORT,
        durability=NodeDurability(halts=True),
    )  # fmt: skip
    return Node(
        wait, with_options(ir, options, name), ports, Handler(wait, ports.takes, ports.gives)
    )
