"""Flows behind HTTP, asked without a socket: one request that the test holds in its hands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from conductor_flows.dsl.ports import port_of
from conductor_flows.execute.errors import Failure, NodeError
from conductor_flows.execute.measures import Labels
from conductor_flows.execute.program import Handler, Program
from conductor_flows.execute.services import Services
from conductor_flows.host.hooks import Hook
from conductor_flows.host.hosting import Host
from conductor_flows.host.web.application import WebHost, application
from conductor_flows.host.web.route import Route
from conductor_flows.host.web.site import Choices
from conductor_flows.ir.model import EdgeIR, FlowIR, SurfaceIR
from conductor_flows.ir.terms import NodeKind
from flow_pieces import edge_ir, flow_ir, node_ir

JSON = {"content-type": "application/json"}
EVENTS = {"accept": "text/event-stream"}


def program_of(
    function: Callable[..., Any], *, takes: Any = Any, gives: Any = Any, streams: bool = False,
    surfaces: list[SurfaceIR] | None = None, **node: Any,
) -> Program:  # fmt: skip
    """A trigger, and one function behind it."""
    flow: FlowIR = flow_ir(
        [node_ir("take", kind=NodeKind.TRIGGER), node_ir("give", **node)],
        [edges_take_give()], surfaces, name="asked",
    )  # fmt: skip

    async def same(value: Any) -> Any:
        return value

    count = function.__code__.co_argcount
    return Program(flow, {
        "take": Handler(same, port_of(takes), port_of(takes)),
        "give": Handler(function, port_of(takes), port_of(gives), count > 1, streams),
    })  # fmt: skip


def edges_take_give() -> EdgeIR:
    return edge_ir("take", "give")


def web(
    program: Program, services: Services | None = None, *, hooks: tuple[Hook, ...] = (),
    choices: Choices | None = None, path: str = "/asked", method: str = "POST", **route: Any,
) -> WebHost:  # fmt: skip
    """A web host of one route."""
    host = Host(program, services or Services(), hooks=hooks)
    found = Route(host=host, path=path, method=method, trigger="take", capture="give", **route)
    return application([found], choices=choices)


async def back(value: Any) -> Any:
    """Give what came."""
    return value


async def fail(value: Any) -> Any:
    """Fail."""
    raise NodeError(Failure.PERMANENT, f"no {value}")


def counting(count: int, every_s: float = 0.0) -> Callable[[Any], Any]:
    """Give numbers."""

    async def give(_: Any) -> AsyncIterator[Any]:
        async def numbers() -> AsyncIterator[Any]:
            for number in range(count):
                await asyncio.sleep(every_s)
                yield number

        return numbers()

    return give


class Asked:
    """One request to an application, and what it answers."""

    def __init__(
        self, app: Any, method: str = "POST", target: str = "/asked", *,
        body: bytes | None = b"", headers: Mapping[str, str] | None = None,
        more_headers: tuple[tuple[str, str], ...] = (), takes: asyncio.Event | None = None,
    ) -> None:  # fmt: skip
        """Ask.

        Args:
            app: The application.
            method: Of the request.
            target: Path and query, as on the wire.
            body: None: it comes later, by `feed`.
            headers: By name.
            more_headers: Also, in their order.
            takes: The client takes bytes only while this is set.
        """
        path, _, query = target.partition("?")
        self.scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": unquote(path), "raw_path": path.encode(), "root_path": "",
            "query_string": query.encode(), "client": ("127.0.0.1", 1), "server": ("test", 80),
            "headers": [(name.lower().encode(), value.encode("latin-1"))
                        for name, value in (*(headers or {}).items(), *more_headers)],
        }  # fmt: skip
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reads = 0
        self._takes = takes
        self.sent: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        if body is not None:
            self.feed(body, more=False)
        self.task = asyncio.create_task(self._run(app))

    async def _run(self, app: Any) -> None:
        await app(self.scope, self._receive, self._send)

    def feed(self, body: bytes, *, more: bool = True) -> None:
        """Send a piece of the body."""
        self._coming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def disconnect(self) -> None:
        """Go away."""
        self._coming.put_nowait({"type": "http.disconnect"})

    async def _receive(self) -> dict[str, Any]:
        self.reads += 1
        return await self._coming.get()

    async def _send(self, message: dict[str, Any]) -> None:
        if self._takes is not None:
            await self._takes.wait()
        self.sent.append(message)
        self.changed.set()

    async def done(self) -> Asked:
        """Wait for the whole answer."""
        await self.task
        return self

    async def begun(self, pieces: int = 1) -> Asked:
        """Wait until that many messages were sent."""
        while len(self.sent) < pieces and not self.task.done():
            self.changed.clear()
            await self.changed.wait()
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        """What a reader of events makes of the body; comments and `retry` are left out."""
        found = [read_event(block) for block in self.body.decode().split("\n\n") if block]
        return [event for event in found if event.data is not None]


@dataclass(frozen=True)
class Event:
    data: Any
    id: str | None = None
    name: str = "message"


def read_event(block: str) -> Event:
    """Read one block of a stream."""
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")
    data = json.loads(fields["data"]) if "data" in fields else None
    return Event(data, fields.get("id"), fields.get("event", "message"))


@dataclass
class Recorded:
    """A recorder that remembers."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    levels: list[tuple[str, float]] = field(default_factory=list)
    observed: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def count(self, name: str, labels: Labels, by: int = 1) -> None:
        key = (name, labels.get("status_class", ""))
        self.counts[key] = self.counts.get(key, 0) + by

    def level(self, name: str, labels: Labels, value: float) -> None:
        del labels
        self.levels.append((name, value))

    def observe(self, name: str, labels: Labels, value: float) -> None:
        del value
        self.observed.append((name, labels))
