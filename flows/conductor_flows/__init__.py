"""Flows: typed Python functions, a document, a validator, an executor, a host.

Promise: what an author needs is one import away, and importing this package loads nothing else.
Refusal: no name is defined here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conductor_flows.dsl.draft import Handle as Handle
    from conductor_flows.dsl.errors import FlowInvalid as FlowInvalid
    from conductor_flows.dsl.errors import FlowRefused as FlowRefused
    from conductor_flows.dsl.flow import Flow as Flow
    from conductor_flows.dsl.gatherings import Window as Window
    from conductor_flows.dsl.halts import Decision as Decision
    from conductor_flows.dsl.halts import approval as approval
    from conductor_flows.dsl.halts import callback as callback
    from conductor_flows.dsl.halts import timer as timer
    from conductor_flows.dsl.node import Node as Node
    from conductor_flows.dsl.node import node as node
    from conductor_flows.dsl.node import trigger as trigger
    from conductor_flows.execute.context import NodeContext as NodeContext
    from conductor_flows.execute.errors import Failure as Failure
    from conductor_flows.execute.errors import NodeError as NodeError
    from conductor_flows.execute.outcomes import Halted as Halted
    from conductor_flows.execute.outcomes import Streamed as Streamed
    from conductor_flows.execute.outcomes import Value as Value
    from conductor_flows.execute.runner import Invocation as Invocation
    from conductor_flows.execute.runner import Runner as Runner
    from conductor_flows.execute.services import Services as Services

_HOME = {
    "dsl.draft": ("Handle",),
    "dsl.errors": ("FlowInvalid", "FlowRefused"),
    "dsl.flow": ("Flow",),
    "dsl.gatherings": ("Window",),
    "dsl.halts": ("Decision", "approval", "callback", "timer"),
    "dsl.node": ("Node", "node", "trigger"),
    "execute.context": ("NodeContext",),
    "execute.errors": ("Failure", "NodeError"),
    "execute.outcomes": ("Halted", "Streamed", "Value"),
    "execute.runner": ("Invocation", "Runner"),
    "execute.services": ("Services",),
}

__all__ = [
    "Decision",
    "Failure",
    "Flow",
    "FlowInvalid",
    "FlowRefused",
    "Halted",
    "Handle",
    "Invocation",
    "Node",
    "NodeContext",
    "NodeError",
    "Runner",
    "Services",
    "Streamed",
    "Value",
    "Window",
    "approval",
    "callback",
    "node",
    "timer",
    "trigger",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            value = getattr(importlib.import_module(f"conductor_flows.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'conductor_flows' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
