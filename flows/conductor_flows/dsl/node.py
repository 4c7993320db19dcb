"""Functions as nodes: `@node` and `@trigger`.

Promise: a decorated function keeps its types, so that type checkers see a wrong connection, and can
still be called by itself. Refusal: a function whose ports are not told is none.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import (
    Any,
    Generic,
    Never,
    Protocol,
    TypeVar,
    Union,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from conductor_flows.dsl.errors import FlowRefused
from conductor_flows.dsl.options import NodeOptions, with_options
from conductor_flows.dsl.ports import TypedPort, port_of
from conductor_flows.execute.context import NodeContext
from conductor_flows.execute.program import Handler
from conductor_flows.ir.model import NodeDurability, NodeIR
from conductor_flows.ir.terms import Determinism, Effects, NodeKind

In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
_STREAMS = (AsyncIterator, AsyncGenerator, AsyncIterable)


@dataclass(frozen=True, slots=True)
class Ports:
    """What a node takes and gives."""

    takes: TypedPort
    gives: TypedPort


class Node(Generic[In_contra, Out_co]):
    """A function with what is declared about it; `Flow.add` puts it into a flow."""

    def __init__(
        self, function: Callable[..., Any], ir: NodeIR, ports: Ports, handler: Handler
    ) -> None:
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", ir.name)
        self.__doc__ = function.__doc__
        self.ir = ir
        """Without id and with the function's name as alias."""
        self.ports = ports
        self.handler = handler

    def __repr__(self) -> str:
        return f"<function {self.__name__} as a node>"

    async def __call__(self, value: In_contra, context: NodeContext | None = None, /) -> Out_co:
        """Call the function as it was written; a streaming one gives its iterator."""
        handler = self.handler
        call = handler.function
        answer: Out_co = await (call(value, context) if handler.takes_context else call(value))
        return answer


class Decorate(Protocol):
    """Turns a function of one argument, or of two with a context, into a node."""

    @overload
    def __call__(self, function: Callable[[In], Awaitable[None]], /) -> Node[In, None]: ...
    @overload
    def __call__(
        self, function: Callable[[In, NodeContext], Awaitable[None]], /
    ) -> Node[In, None]: ...
    @overload
    def __call__(self, function: Callable[[In], Awaitable[Out | None]], /) -> Node[In, Out]: ...
    @overload
    def __call__(
        self, function: Callable[[In, NodeContext], Awaitable[Out | None]], /
    ) -> Node[In, Out]: ...
    @overload
    def __call__(self, function: Callable[[In], AsyncIterator[Out]], /) -> Node[In, Out]: ...
    @overload
    def __call__(
        self, function: Callable[[In, NodeContext], AsyncIterator[Out]], /
    ) -> Node[In, Out]: ...
    def __call__(self, function: Callable[..., Any], /) -> Node[Any, Any]:
        """Make a node of a function.

        Raises:
            FlowRefused: DAG001: it is not asynchronous, or its ports are not told; and see
                `with_options`.
        """
        ...


def node(*bare: Never, **options: Unpack[NodeOptions]) -> Decorate:
    """Make a node of an asynchronous function; by default inline, pure, best effort.

    Giving None gives nothing: nothing goes on from there, unless the node was given a null itself.
    See `NodeOptions` for what may be said; `bare` is for refusing `@node` without parentheses.
    """
    _refuse_bare("node", bare)
    return _Decorator(NodeKind.INLINE, Effects.PURE, Determinism.BEST_EFFORT, options)


def trigger(*bare: Never, **options: Unpack[NodeOptions]) -> Decorate:
    """Make a trigger, where payloads come in; by default read only and strict."""
    _refuse_bare("trigger", bare)
    return _Decorator(NodeKind.TRIGGER, Effects.READ_ONLY, Determinism.STRICT, options)


def _refuse_bare(word: str, given: tuple[object, ...]) -> None:
    """Refuse `@node` above a function, which is a call with the function."""
    if given:
        name = getattr(given[0], "__name__", repr(given[0]))
        hint = f'write it with parentheses: @{word}(summary="…")'
        raise FlowRefused(f"{name}: @{word} has no parentheses", hint=hint)


class _Decorator:
    """Holds options until the function comes."""

    def __init__(
        self, kind: NodeKind, effects: Effects, determinism: Determinism, options: NodeOptions
    ) -> None:
        self._kind, self._effects, self._determinism = kind, effects, determinism
        self._options = options

    def __call__(self, function: Callable[..., Any], /) -> Node[Any, Any]:
        # Names that are local to where the function is written are known to its frame only.
        frame = inspect.currentframe()
        read = _read(function, frame.f_back.f_locals if frame and frame.f_back else {})
        ports = Ports(port_of(read.takes), port_of(read.gives))
        ir = describe(
            name=function.__name__, identifier=identify(function), kind=self._kind, ports=ports,
            effects=self._effects, determinism=self._determinism,
        )  # fmt: skip
        handler = Handler(
            read.function, ports.takes, ports.gives, takes_context=read.contextual,
            streams=read.streams,
        )  # fmt: skip
        ir = with_options(ir, self._options, function.__name__)
        return Node(function, ir, ports, handler)


def describe(
    *, name: str, identifier: str, kind: NodeKind, ports: Ports, effects: Effects,
    determinism: Determinism,
    durability: NodeDurability | None = None,
) -> NodeIR:  # fmt: skip
    """Return the document's side of a node that has no options yet."""
    takes, gives = ports.takes, ports.gives
    return NodeIR(
        id="", alias=name, identifier=identifier, name=camel_case(name), kind=kind,
        in_schema=takes.reference(), out_schema=gives.reference(),
        effects=effects, determinism=determinism,
        durability=durability or NodeDurability(),
        in_data_classes=takes.data_classes() or None,
        out_data_classes=gives.data_classes() or None,
    )  # fmt: skip


def camel_case(name: str) -> str:
    """Return `NormalizeInput` for `normalize_input`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def identify(function: Callable[..., Any]) -> str:
    """Return the name that a handler is found by, as `my_flows::normalize`."""
    path = f"{function.__module__}.{function.__qualname__}".replace(".<locals>", "")
    return path.replace(".", "::")


@dataclass(frozen=True, slots=True)
class _Read:
    """What a signature says."""

    function: Callable[..., Awaitable[Any]]
    takes: Any
    gives: Any
    contextual: bool
    streams: bool


def _read(function: Callable[..., Any], local: dict[str, Any]) -> _Read:
    name = getattr(function, "__name__", repr(function))
    generates = inspect.isasyncgenfunction(function)
    if not generates and not inspect.iscoroutinefunction(function):
        hint = f"write: async def {name}(…)"
        raise FlowRefused(f"{name} is no `async def` function", code="DAG001", hint=hint)
    names = list(inspect.signature(function).parameters)
    if len(names) not in {1, 2}:
        text = f"{name} takes {len(names)} arguments; a node takes one, and a context if it wants"
        raise FlowRefused(text, code="DAG001")
    hints = _hints(function, local, name)
    if names[0] not in hints or "return" not in hints:
        untold = names[0] if names[0] not in hints else "return"
        raise FlowRefused(f"{name}: the type of `{untold}` is not told", code="DAG001")
    if len(names) > 1 and hints.get(names[1], NodeContext) is not NodeContext:
        raise FlowRefused(f"{name}: the second argument is a NodeContext", code="DAG001")
    gives = hints["return"]
    streams = generates or get_origin(gives) in _STREAMS
    if streams:
        gives = (*get_args(gives), Any)[0]
    call = _starter(function) if generates else function
    return _Read(call, hints[names[0]], without_none(gives), len(names) > 1, streams)


def _hints(function: Callable[..., Any], local: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, localns=local, include_extras=True)
    except (NameError, TypeError) as error:
        raise FlowRefused(f"{name}: {error}", code="DAG001") from None


def _starter(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def start(*given: Any) -> Any:
        return function(*given)

    return start


def without_none(tp: Any) -> Any:
    """Leave out the None of an optional type: giving None gives nothing."""
    if get_origin(tp) not in {Union, types.UnionType}:
        return tp
    kept = tuple(each for each in get_args(tp) if each is not types.NoneType)
    return Union[kept] if kept else tp  # noqa: UP007  # the members are known at run time only
