"""What can be run: a document and the functions behind its nodes.

Promise: the executor needs nothing but this, a payload and the capabilities that were bound; the
DSL makes it from functions, and a host may make it from a document and a table of handlers.
Refusal: nothing runs here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from conductor_flows.ir.model import FlowIR


class Port(Protocol):
    """A type at the boundary of a node: JSON on the one side, a Python value on the other."""

    @property
    def name(self) -> str | None:
        """Of the type; None for an opaque port."""
        ...

    @property
    def kind(self) -> Any:
        """The Python type; equal kinds hand values on as they are. None for an opaque port."""
        ...

    def decode(self, value: Any) -> Any:
        """Turn JSON into the port's type.

        Raises:
            PortRefused: It does not fit; carries a JSON Pointer to the place.
        """
        ...

    def encode(self, value: Any) -> Any:
        """Turn a value into JSON, by what it is; JSON values stay. Raises as `decode`."""
        ...

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the type; {} for an opaque port."""
        ...


@dataclass(frozen=True, slots=True)
class Handler:
    """A function behind a node."""

    function: Callable[..., Awaitable[Any]]
    """Called with the decoded input, and with the node's context where it `takes_context`."""
    takes: Port
    gives: Port
    takes_context: bool = False
    streams: bool = False
    """It returns an asynchronous iterator; only a capture may."""


@dataclass(frozen=True, slots=True)
class Program:
    """A flow that can be run."""

    flow: FlowIR
    handlers: Mapping[str, Handler]
    """By `NodeIR.identifier`."""
    subflows: Mapping[str, Program] = field(default_factory=dict[str, "Program"])
    """By `NodeIR.identifier` of nodes of kind `subflow`."""
