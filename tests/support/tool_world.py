"""Tools of a running sidecar as its users meet them: socket, TCP, command line, journal."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor_sdk.client_wire import SocketConnection
from conductor_sdk.workspace import resolve_workspace
from real_world import SECONDS, Done, Sidecar, World, until

LISTEN = ("--set", 'http.listen="127.0.0.1:0"')
ALLOW = (*LISTEN, "--set", 'http.allow_tools=["*"]')
QUIET = ("--log-level", "error")
GEAR = {
    "gear": "gear_pack:gear", "strict": "gear_pack:strict",
    "careful": "gear_pack:careful", "thief": "gear_pack:thief",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the envelope, `ok` for a success."""
        found = self.json
        return "ok" if found["success"] else str(found["error"]["code"])


class Door:
    """One way in: the control socket, or TCP with a token."""

    def __init__(self, sidecar: Sidecar, *, token: str | None = None, tcp: bool = True) -> None:
        self.workspace = resolve_workspace(sidecar.workspace)
        self.port = int(sidecar.status()["http"].rpartition(":")[2]) if tcp else 0
        self.token = token
        if tcp and token is None:
            self.token = self.workspace.http_token.read_text().strip()

    def ask(
        self, method: str, path: str, body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Send one request; `body` is JSON, or bytes as they are."""
        sent = dict(headers or {})
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        connection = self._connection()
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def call(
        self, tool: str, given: object = None, *, key: str | None = None,
        context: object = None,
    ) -> Answer:  # fmt: skip
        """Call a tool."""
        body: dict[str, Any] = {"input": {} if given is None else given}
        if context is not None:
            body["context"] = context
        return self.ask("POST", f"/tools/{tool}", body, {"Idempotency-Key": key} if key else None)

    def _connection(self) -> http.client.HTTPConnection:
        if self.port:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        return SocketConnection(self.workspace, SECONDS)


def gear_world(world: World, name: str = "one", *words: str) -> Sidecar:
    """Start a sidecar with the packs that try everything."""
    world.with_packs(GEAR)
    return world.loopback(name, *QUIET, *words)


def socket_door(sidecar: Sidecar) -> Door:
    """The way in for the same user."""
    return Door(sidecar, tcp=False)


def journal(world: World, workspace: Path, *kinds: str) -> list[dict[str, Any]]:
    """The journal's last entries of these types, oldest first."""
    done = world.command("log", "tail", "-n", "5000", "--json", "-w", str(workspace))
    assert done.code == 0, done.err
    entries = [json.loads(line) for line in done.out.splitlines()]
    return [one for one in entries if not kinds or one["event_type"] in kinds]


def calls(world: World, workspace: Path) -> list[tuple[str, str, str | None]]:
    """The finished calls of the journal: tool, result, code."""
    return [
        (one["payload"]["tool"], one["payload"]["result"], one["payload"].get("code"))
        for one in journal(world, workspace, "TOOL_CALL_FINISHED")
    ]


def effects(workspace: Path) -> int:
    """How often a tool that leaves a line was really run."""
    path = workspace / "effects"
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for_effects(workspace: Path, count: int) -> None:
    until(lambda: effects(workspace) >= count, f"{count} effects")


def files_below(directory: Path) -> Sequence[str]:
    """All files and directories, relative, sorted."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def tool_call(world: World, workspace: Path, tool: str, given: object, *words: str) -> Done:
    """Type `conductor tools call … --json`."""
    text = json.dumps(given)
    return world.command(
        "tools", "call", tool, "--input", text, "--json", "-w", str(workspace), *words
    )
