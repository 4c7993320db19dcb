"""One daemon's worth of tools: packs from plain functions, in-memory stores, a manual clock."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conductor_handlers.registry import load_registry
from conductor_handlers.toolhost.catalogue import build_catalogue
from conductor_handlers.toolhost.host import HostPorts, ToolHost
from conductor_handlers.toolhost.pack_tools import PackTools
from conductor_handlers.toolhost.records import Caller, PackRoom, Request
from conductor_handlers.toolhost.settings import HostSettings
from conductor_sdk.clock import ManualClock, epoch_ms
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.testing.harness import PackHarness
from conductor_sdk.testing.ports import CapturedLog
from conductor_sdk.tool_output import ToolOutput, succeeded
from conductor_state.memory.approvals import MemoryApprovals
from conductor_state.memory.tool_results import MemoryToolResults
from tool_evidence import MemoryEvents, MemoryEvidence

MODULE = "toolhost_tests_tools"
READ = {"type": "path", "pattern": ".demo/**", "access": "read"}
WRITE = {"type": "path", "pattern": ".demo/**", "access": "write"}
ME = Caller("me", "socket")

ToolFunction = Callable[[Mapping[str, Any], Any], Awaitable[Any]]


async def echo(given: Mapping[str, Any], ctx: Any) -> ToolOutput:
    return succeeded(given)


class World:
    """A tool host and everything around it."""

    def __init__(self, root: Path, module: ModuleType) -> None:
        self.root = root
        self.module = module
        self.clock = ManualClock()
        self.log = CapturedLog()
        self.evidence = MemoryEvidence()
        self.events = MemoryEvents()
        self.approvals = MemoryApprovals()
        self.results = MemoryToolResults()
        self.packs: list[Pack] = []
        self.tools: dict[str, list[dict[str, Any]]] = {}
        self.policies: dict[str, list[dict[str, Any]]] = {}
        self.doors: dict[str, PackTools] = {}
        self.settings = HostSettings()
        self.harnesses: list[PackHarness] = []
        self._numbers = itertools.count(1)
        self._host: ToolHost | None = None

    def tool(
        self, name: str, run: ToolFunction = echo, *, pack: str = "demo", **fields: Any
    ) -> None:
        """Declare a tool of a pack, before the host is first used."""
        attribute = f"tool_{next(self._numbers)}"
        setattr(self.module, attribute, run)
        declared = {"name": name, "entry": f"{MODULE}:{attribute}", "required_scopes": [READ]}
        self.tools.setdefault(pack, []).append({**declared, **fields})

    def policy(self, pack: str, id_: str, decision: str, **fields: Any) -> None:
        self.policies.setdefault(pack, []).append(
            {"id": id_, "trigger": "on_tool_request", "decision": decision, **fields}
        )

    @property
    def host(self) -> ToolHost:
        if self._host is None:
            self._host = self._made()
        return self._host

    def restarted(self) -> ToolHost:
        """Another host on the same stores."""
        self._host = None
        return self.host

    def _made(self) -> ToolHost:
        packs = [self._pack(slug) for slug in self.tools]
        registry = load_registry(packs=[*packs, *self.packs], installed=False)
        assert () == registry.refused
        rooms: dict[str, PackRoom] = {}
        for loaded in registry.packs:
            harness = PackHarness(loaded.pack, workspace=self.root)
            self.harnesses.append(harness)
            door = self.doors[loaded.slug] = PackTools(loaded.slug)
            harness.context.tools = door
            rooms[loaded.slug] = PackRoom(harness.context, f"own context of {loaded.slug}")
        self.catalogue, self.rooms = build_catalogue(registry, {}), rooms
        host = ToolHost(
            self.catalogue, rooms,
            HostPorts(self.approvals, self.results, self.evidence, self.events),
            subject="ws-1", settings=self.settings, clock=self.clock, log=self.log,
        )  # fmt: skip
        for door in self.doors.values():
            door.attach(host)
        return host

    def _pack(self, slug: str) -> Pack:
        return Pack(
            PackManifest.from_mapping({
                "id": slug, "version": "1.2.3", "tools": self.tools[slug],
                "policies": self.policies.get(slug, []),
            })
        )  # fmt: skip

    async def call(
        self, tool: str, input_: object = None, *, caller: Caller = ME, **fields: Any
    ) -> ToolOutput:
        given = {} if input_ is None else input_
        return await self.host.call(Request(tool, given, caller, **fields))

    async def decide(self, asked: ToolOutput, *, granted: bool, reason: str | None = None) -> None:
        """Decide what a call was told to ask for."""
        assert asked.error is not None
        assert asked.error.details is not None
        await self.approvals.decide(
            asked.error.details["request_id"], granted=granted, by="root", reason=reason,
            now_ms=epoch_ms(self.clock.now()),
        )  # fmt: skip

    def types(self) -> list[str]:
        return [entry.event_type for entry in self.evidence.entries]

    def last(self, event_type: str) -> Mapping[str, Any]:
        return next(
            entry.payload
            for entry in reversed(self.evidence.entries)
            if entry.event_type == event_type
        )

    def results_of(self) -> Sequence[tuple[str, str | None]]:
        """Outcome and code of every finished call, in order."""
        return [
            (entry.payload["result"], entry.payload.get("code"))
            for entry in self.evidence.entries
            if entry.event_type == "TOOL_CALL_FINISHED"
        ]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    made = World(tmp_path, module)
    yield made
    for harness in made.harnesses:
        await harness.close()


def code(output: ToolOutput) -> str | None:
    return None if output.error is None else output.error.code


__all__ = ["ME", "READ", "WRITE", "Iterator", "World", "code", "echo"]
