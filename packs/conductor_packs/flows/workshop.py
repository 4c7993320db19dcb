"""What runs are given: capabilities as the configuration binds them, and one store of checkpoints.

Promise: opened when the first run needs it, and closed when nobody works any more; every path is
inside the workspace. Refusal: what is not bound is not there.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from conductor_flows.capabilities.bindings import lock
from conductor_flows.capabilities.bindings.spec import Binding, parse_all
from conductor_flows.durable.services import Durability, in_sqlite
from conductor_flows.durable.stores import LEASES
from conductor_flows.execute.services import Services
from conductor_flows.host.services import serving
from conductor_flows.ir.model import FlowIR
from conductor_packs.flows.errors import SettingsInvalid
from conductor_packs.flows.held import HeldBlobs, HeldStore
from conductor_packs.flows.paths import inside
from conductor_packs.flows.settings import Settings
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError

STATE_PARTS: Final = (".lumenflow", "state", "packs")
CHECKPOINTS: Final = "flows_checkpoints.db"
"""Beside the pack's own database, so that a backup holds both; after it in order of names, so that
what a backup knows of a run is never newer than its checkpoint."""
_PLACES: Final = ("path", "root")


class Workshop:
    """What the runs of a workspace share. Use from one event loop."""

    def __init__(self, workspace: Path, settings: Settings, clock: Clock) -> None:
        self._workspace = workspace
        self._settings = settings
        self._clock = clock
        self._users = 0
        self._stack: contextlib.AsyncExitStack | None = None
        self._durability: Durability | None = None
        self._held: HeldStore | None = None
        self._services: dict[str, Services] = {}

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Keep everything open for as long as the block lasts."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                await self._close()

    async def _close(self) -> None:
        stack, self._stack = self._stack, None
        self._durability = self._held = None
        self._services.clear()
        if stack is not None:
            await stack.aclose()

    @property
    def _opened(self) -> contextlib.AsyncExitStack:
        if self._stack is None:
            self._stack = contextlib.AsyncExitStack()
        return self._stack

    @property
    def durability(self) -> Durability:
        """Where checkpoints go."""
        if self._durability is None:
            given = self._settings.checkpoints
            path = (
                self._workspace.joinpath(*STATE_PARTS, CHECKPOINTS) if given is None
                else inside(self._workspace, given)
            )  # fmt: skip
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = in_sqlite(path, clock=self._clock)
            self._opened.push_async_callback(found.close)
            self._durability = found
        return self._durability

    @property
    def held(self) -> HeldStore:
        """The store of checkpoints; each is kept until its run's outcome is told."""
        if self._held is None:
            store = self.durability.store
            assert store is not None  # noqa: S101  # `in_sqlite` gives all services
            self._held = HeldStore(store, self.durability.blobs)
        return self._held

    async def break_leases(self) -> None:
        """Take the leases of the process before this one, where no other can be at work.

        The sidecar is alone in its workspace, and so it is with the store in its state folder.
        """
        rows = self.durability.rows
        if self._settings.checkpoints is None and rows is not None:
            await rows.run(lambda view: [view.drop(LEASES, key) for key in view.keys(LEASES)])

    async def services(self, flow: FlowIR) -> Services:
        """Return what the runs of a flow may use.

        Raises:
            SettingsInvalid: The bindings, or the lock, cannot be used.
        """
        shared = "" if self._settings.lock is None else flow.id
        if shared not in self._services:
            bindings = self._inside(self._bindings(flow))
            made = await self._opened.enter_async_context(
                serving(bindings=bindings, clock=self._clock)
            )
            blobs = self.durability.blobs
            durability = replace(
                self.durability, store=self.held,
                blobs=None if blobs is None else HeldBlobs(blobs, self.held),
            )  # fmt: skip
            self._services[shared] = replace(made, durability=durability)
        return self._services[shared]

    def _bindings(self, flow: FlowIR) -> tuple[Binding, ...]:
        given = self._settings.lock
        try:
            if given is None:
                found = _capabilities(parse_all(self._settings.bind))
            else:
                found = lock.read(inside(self._workspace, given).read_bytes(), flow.id)
        except SettingsInvalid:
            raise
        except ConductorError as error:
            raise SettingsInvalid(error.message) from None
        except OSError as error:
            raise SettingsInvalid(f"lock: {error.strerror}") from None
        # A lock may name a place for checkpoints too; here those of all flows are in one.
        return tuple(each for each in found if not _keeps(each))

    def _inside(self, bindings: Iterable[Binding]) -> list[Binding]:
        return [replace(each, connect=self._connected(each)) for each in bindings]

    def _connected(self, binding: Binding) -> dict[str, object]:
        return {
            key: str(inside(self._workspace, str(value))) if key in _PLACES else value
            for key, value in binding.connect.items()
        }


def _keeps(binding: Binding) -> bool:
    return binding.hint.startswith("durability::")


def _capabilities(bindings: tuple[Binding, ...]) -> tuple[Binding, ...]:
    if any(_keeps(each) for each in bindings):
        raise SettingsInvalid("`bind` names a checkpoint store: give `checkpoints` a path instead")
    return bindings
