"""A whole daemon and its conductor in virtual time, the daemon's stores on a simulated disk.

The daemon is `serve` as it is, with the production schedule of reconnections; only its surfaces
(control socket, TCP) are left out, and what they would answer from is in `observed` and `packs`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

import conductor_sidecar.serve
import delivery_pack
from conductor_handlers.registry import Registry, load_registry
from conductor_server.faults import FaultBoard
from conductor_server.hub import EmbeddedConductor
from conductor_sidecar.app import open_history
from conductor_sidecar.control import Control
from conductor_sidecar.health.answers import Health
from conductor_sidecar.observatory import Observatory
from conductor_sidecar.serve import Machine, serve
from conductor_sidecar.settings import (
    DispatchSection,
    DrainSettings,
    LinkSettings,
    ReconnectSettings,
    Settings,
)
from conductor_sidecar.stores import Stores
from conductor_state.storage import Storage
from delivery_world import HUB, World, begun
from simdisk.disk import SimDisk
from simdisk.storage import SimStorage
from virtual_time import LoopClock, VirtualLoop


class ThreadlessLoop(VirtualLoop):
    """Virtual time; what would run on a thread runs at once."""

    def run_in_executor(  # type: ignore[override]  # as the base, without an executor
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001  whoever waits for it raises it
            future.set_exception(error)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  as the base
        """There is none."""


class DiskWorld(World):
    """A `World` whose sidecar stands on a simulated disk."""

    observed: Observatory
    control: Control
    stores: Stores

    def __init__(self, directory: Path, disk: SimDisk) -> None:
        super().__init__(directory, "inprocess")
        self.disk = disk
        self.storage: Storage = SimStorage(disk)
        self.settings = Settings(
            link=LinkSettings(adapter="inprocess"),
            reconnect=ReconnectSettings(),
            dispatch=DispatchSection(retry_first_s=0.02, window=64),
            drain=DrainSettings(deadline_s=0.5),
        )

    async def open(self) -> None:
        """Let the conductor listen, on a disk of its own that never fails."""
        if self._history is None:
            self._history = await open_history(
                Path("/sim/conductor.db"), storage=SimStorage(SimDisk())
            )
        self.conductor = EmbeddedConductor(self._history, LoopClock(), HUB, faults=FaultBoard())
        stack = self._listening = contextlib.AsyncExitStack()
        link = await stack.enter_async_context(self._memory())
        if not self.workspace.enrollment.exists():
            await self._enroll(link)

    async def start(self, **changes: Any) -> None:
        """Start the daemon; returns when it handles events."""
        self.settings = self.settings.model_copy(update=changes)
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = serve(
            self.workspace, self.settings, stop, ready=ready,
            machine=Machine(LoopClock(), self.storage),
        )  # fmt: skip
        self.daemon, self._stop = await begun(serving, ready), stop

    async def status(self) -> dict[str, Any]:
        builtin: dict[str, Any] = msgspec.to_builtins(await self.observed.status())
        return builtin

    async def push(self, *numbers: int, kind: str = delivery_pack.QUEUED) -> list[Any]:
        events = [{"kind": kind, "n": n, "idempotency_key": str(n)} for n in numbers]
        return list(await self.control.push(events))

    def ready(self) -> Health:
        """What a probe of readiness is told now."""
        return self.observed.examiner.report().ready

    async def acknowledged(self) -> int:
        """How far the conductor was told that events are stored."""
        return (await self.conductor.workspace(self.workspace.root.name)).acked

    @contextlib.contextmanager
    def wired(self) -> Generator[None]:
        """Leave out the surfaces, and know one pack."""

        @contextlib.asynccontextmanager
        async def unreached(
            _: object, __: object, stores: Stores, control: Control, packs: object,
            *rest: object, observed: Observatory, **more: object,
        ) -> AsyncGenerator[None]:  # fmt: skip
            self.stores, self.control, self.observed = stores, control, observed
            yield None

        def selected(*_: object) -> Registry:
            return load_registry(packs=[delivery_pack.pack], installed=False)

        where = conductor_sidecar.serve
        with (
            patch.object(where, "serving", unreached),
            patch.object(where, "selected_packs", selected),
        ):
            yield
