"""The tool surface over TCP as an attacker meets it: a server in a thread, bytes on a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from conductor_handlers.toolhost.records import Caller, Listing, Request
from conductor_sdk.clock import SystemClock
from conductor_sdk.tool_output import ToolOutput, failed, succeeded
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.http.access import Tools, may_call
from conductor_sidecar.http.denials import EVENT_TYPE
from conductor_sidecar.http.listener import TcpSurface
from conductor_sidecar.http.strict import Bounds
from conductor_sidecar.settings import HttpSettings
from conductor_state.memory.journal import MemoryJournal

PATIENCE_S = 10.0
SLOW_S = 0.3
"""How long a head or a body may take here."""
BODY_MAX = 64 * 1024


def listing(name: str, **more: Any) -> Listing:
    """A tool that takes `{"title": text}`."""
    fields: dict[str, Any] = {
        "name": name, "pack": "demo", "version": "1.0.0", "permission": "write",
        "input_schema": {
            "type": "object", "properties": {"title": {"type": "string"}},
            "additionalProperties": False,
        },
        "required_scopes": [{"type": "path", "pattern": ".demo/**", "access": "write"}],
        "mcp_name": "demo_" + name.replace(":", "_"),
    }  # fmt: skip
    return Listing(**{**fields, **more})


class ScriptedTools:
    """A tool host's surface whose answers a test writes; it remembers what came through."""

    def __init__(self, *names: str) -> None:
        self.tools = [listing(name) for name in names or ("task:create", "task:list")]
        self.calls: list[Request] = []
        self.answer: Callable[[Request], ToolOutput] = lambda _: succeeded({"done": True})

    async def call(self, request: Request) -> ToolOutput:
        self.calls.append(request)
        if request.tool not in {one.name for one in self.tools}:
            return failed("TOOL_NOT_FOUND", "There is no such tool.")
        return self.answer(request)

    async def ready(self) -> None:
        """They are known."""

    def listings(self, caller: Caller) -> list[Listing]:
        return [one for one in self.tools if may_call(caller, one.name)]


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    closed: bool = False
    """The server has hung up after it."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code in the envelope."""
        error = self.json.get("error")
        return error["code"] if error else None


@dataclass
class ToolServer:
    """Use as a context: the server runs inside."""

    directory: Path
    tools: Tools = field(default_factory=ScriptedTools)
    settings: HttpSettings = field(
        default_factory=lambda: HttpSettings(
            listen="127.0.0.1:0", allow_tools=["*"], body_max_bytes=BODY_MAX
        )
    )
    surface: Mapping[str, Any] = field(default_factory=dict[str, Any])
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    port: int = 0
    _decoded: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])

    def __enter__(self) -> Self:
        self._ready, self._failed = threading.Event(), False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="tools")
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        assert not self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    @property
    def workspace(self) -> Workspace:
        return resolve_workspace(self.directory)

    @property
    def token(self) -> str:
        """The credential `default`."""
        return self.workspace.http_token.read_text().strip()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def denied(self, reason: str) -> int:
        """How many denials of a kind the journal accounts for."""
        return sum(one["count"] for one in self.denials if one["reason"] == reason)

    @property
    def denials(self) -> Sequence[Any]:
        """What the journal holds of them now; each entry is decoded once."""
        entries = self.journal._entries
        while len(self._decoded) < len(entries):
            entry = entries[len(self._decoded)]
            self._decoded.append((entry.event_type, json.loads(entry.payload)))
        return [payload for kind, payload in self._decoded if kind == EVENT_TYPE]

    def wait_denied(self, reason: str, more_than: int) -> None:
        """Wait until the journal accounts for more denials of a kind."""
        end = time.monotonic() + PATIENCE_S
        while self.denied(reason) <= more_than:
            assert time.monotonic() < end, f"{reason} is not in the journal"
            time.sleep(0.002)

    def head(self, method: str, target: str, *more: str, bearer: bool = True) -> bytes:
        """A request's head as a polite client writes it, without its last empty line."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}"]
        if bearer:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, *more, ""]).encode("latin-1")

    def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A whole polite request; `body` is JSON, or bytes as they are."""
        more = dict(headers or {})
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            more = {"Content-Type": "application/json", "Content-Length": str(len(data)), **more}
        given = [f"{name}: {value}" for name, value in more.items()]
        bearer = not any(name.lower() == "authorization" for name in more)
        return self.exchange(self.head(method, target, *given, bearer=bearer) + b"\r\n" + data)

    def exchange(self, *parts: bytes, pause_s: float = 0.0, end: bool = False) -> Answer:
        """Send bytes, with pauses between the parts, and read one response."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as client:
            for number, part in enumerate(parts):
                if number and pause_s:
                    time.sleep(pause_s)  # a slow client is what is tested
                try:
                    client.sendall(part)
                except OSError:
                    break  # it has answered and hung up already
            if end:
                client.shutdown(socket.SHUT_WR)
            return read_answer(client)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            self.workspace.create()
            bounds = Bounds(head_s=SLOW_S)
            served = TcpSurface(
                self.tools, self.workspace, self.settings, self.journal, SystemClock(),
                **{"bounds": bounds, "body_s": SLOW_S, "window_s": 0.0, **self.surface},
            )  # fmt: skip
            async with served.listening() as listening:
                assert listening is not None
                self.port = listening.port
                self._ready.set()
                await self._stop.wait()
        except BaseException:
            self._failed = True
            self._ready.set()
            raise


def read_answer(client: socket.socket) -> Answer:
    """Read one response; status 0: the server hung up without one."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            chunk = client.recv(65536)
            if not chunk:
                return Answer(0, {}, data, closed=True)
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            chunk = client.recv(65536)
            if not chunk:
                break
            body += chunk
        closed = headers.get("connection") == "close"
        return Answer(int(first.split()[1]), headers, body, closed)
    except ConnectionResetError:
        return Answer(0, {}, data, closed=True)
