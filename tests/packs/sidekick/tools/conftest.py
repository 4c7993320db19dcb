"""The pack with its tools called as the tool host calls them, on every storage adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from conductor_packs.sidekick.context import SidekickContext
from conductor_packs.sidekick.pack import pack
from conductor_packs.sidekick.records import Store
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_packs.sidekick.storage.port import StoragePort
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort
from conductor_packs.sidekick.tools.router import route
from conductor_sdk.clock import ManualClock
from conductor_sdk.manifest_tools import PathScope
from conductor_sdk.scoped_files import WorkspaceFiles
from conductor_sdk.testing import PackHarness
from conductor_sdk.testing.context import HarnessToolContext
from conductor_sdk.testing.tools import ToolCaller
from conductor_sdk.tool import ToolCall
from conductor_sdk.tool_output import ToolOutput

UMBRELLA = tuple(
    PathScope(type="path", pattern=".sidekick/**", access=access) for access in ("read", "write")
)
ADAPTERS: Mapping[str, Callable[[Path, ManualClock], StoragePort]] = {
    "memory": lambda root, clock: MemoryStoragePort(root, clock=clock),
    "filesystem": lambda root, clock: FilesystemStoragePort(root, clock=clock),
    "sqlite": lambda root, clock: SqliteStoragePort(root, clock=clock),
}

_USED: list[StoragePort] = []


@pytest.fixture(scope="session", autouse=True)
def _closed() -> Iterator[None]:
    """Close the storages of all tests at once: each waits for its idle thread to end."""
    yield

    async def close() -> None:
        await asyncio.gather(*(port.close() for port in _USED))

    asyncio.run(close())


class Sidekick:
    """One workspace with the full tool set, each call approved."""

    def __init__(self, harness: PackHarness, port: StoragePort) -> None:
        self.harness = harness
        self.port = port
        self.clock: ManualClock = harness.clock
        self.root = harness.context.workspace / ".sidekick"

    async def call(
        self, tool: str, given: Mapping[str, Any] | None = None, **more: Any
    ) -> ToolOutput:
        """Call a tool with all checks of the tool host."""
        caller = ToolCaller(actor="alice", approved=True)
        return await self.harness.call_tool(tool, {**(given or {}), **more}, caller=caller)

    async def ok(self, tool: str, given: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Call a tool that must succeed; returns its data."""
        output = await self.call(tool, given, **more)
        assert output.error is None
        assert output.success
        return output.data

    async def code(self, tool: str, given: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Call a tool that must fail; returns the code."""
        output = await self.call(tool, given, **more)
        assert output.error is not None
        return output.error.code

    async def direct(
        self, tool: str, given: Mapping[str, Any], *,
        scopes: tuple[PathScope, ...] = UMBRELLA, dry_run: bool = False, group: Any = None,
    ) -> ToolOutput:  # fmt: skip
        """Call a tool as those do who embed the pack: no schema is checked before it."""
        base = self.harness.context
        shared = {field.name: getattr(base, field.name) for field in fields(base)}
        ctx = HarnessToolContext(
            **shared,
            call=ToolCall("call-1", tool, "alice", "pack", dry_run=dry_run),
            scopes=scopes,
            files=WorkspaceFiles(base.workspace, scopes),
            pack=self.harness.pack_context,
        )
        return await route(tool, given, ctx, group=group)

    async def stored(self, store: Store[Any]) -> list[Any]:
        """Return the records of a store."""
        return await self.port.read(lambda view: view.records(store))

    async def trail(self) -> list[tuple[str, str]]:
        """Return tool and op of each audit event."""
        return [(event.tool, event.op) for event in await self.port.audit_events()]

    def later(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        self.clock.advance(seconds)


def embedding(port: StoragePort) -> Any:
    """Return the pack with a storage of its own."""
    return replace(pack, context=lambda base: SidekickContext(base, lambda: port))


async def opened(
    port: StoragePort, clock: ManualClock, *, subject: str = "ws-test", **config: Any
) -> AsyncIterator[Sidekick]:
    """Open the workspace that a storage is in."""
    harness = PackHarness(
        embedding(port), clock=clock, config={"toolset": "full", **config},
        workspace=port.root_dir.parent, subject=subject,
    )  # fmt: skip
    async with harness:
        yield Sidekick(harness, port)


async def on_adapter(adapter: str, workspace: Path, **config: Any) -> AsyncIterator[Sidekick]:
    """Open a workspace on an adapter."""
    clock = ManualClock()
    port = ADAPTERS[adapter](workspace / ".sidekick", clock)
    _USED.append(port)
    async for bench in opened(port, clock, **config):
        yield bench


@pytest.fixture(params=list(ADAPTERS))
async def sidekick(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sidekick]:
    """The pack on each adapter."""
    async for bench in on_adapter(request.param, tmp_path):
        yield bench


@pytest.fixture
async def on_files(tmp_path: Path) -> AsyncIterator[Sidekick]:
    """The pack on files alone."""
    async for bench in on_adapter("filesystem", tmp_path):
        yield bench


@pytest.fixture
def open_with(tmp_path: Path) -> Callable[..., AsyncIterator[Sidekick]]:
    """Open a workspace with another configuration."""
    return lambda adapter="memory", **config: on_adapter(adapter, tmp_path, **config)


@pytest.fixture
def on_port() -> Callable[[StoragePort], AsyncIterator[Sidekick]]:
    """Open a workspace on a storage of the test's own."""
    return lambda port: opened(port, ManualClock())
