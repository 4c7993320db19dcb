"""What a host gives to its runs, made from bindings and closed at the end.

Promise: everything that is opened for the runs is closed when the block is left, also after an
error. Refusal: nothing is bound that nobody asked for, but a temporary folder for what spills.
"""

from __future__ import annotations

import asyncio
import contextlib
import random as chance
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from conductor_flows.capabilities.bindings.bound import Capabilities, built
from conductor_flows.capabilities.bindings.spec import Binding
from conductor_flows.capabilities.file_rows import FileRows
from conductor_flows.capabilities.stores import RowBlobs
from conductor_flows.durable.services import Durability, from_bindings
from conductor_flows.execute.measures import Recorder
from conductor_flows.execute.planning.surfaces import SERVED
from conductor_flows.execute.services import Services
from conductor_flows.execute.spilling import SpillStore
from conductor_flows.ir.terms import SurfaceKind
from conductor_sdk.clock import Clock

BLOBS: Final = "resource::blob::write"
LOCAL_TIERS: Final = ("disk", "local")
"""Tiers that a temporary folder may stand for: what is in it need not outlive the process."""


class EveryTier(Mapping[str, SpillStore]):
    """One store for whatever tier an edge names."""

    def __init__(self, store: SpillStore) -> None:
        self._store = store

    def __getitem__(self, tier: str) -> SpillStore:
        return self._store

    def __iter__(self) -> Iterator[str]:
        return iter(LOCAL_TIERS)

    def __len__(self) -> int:
        return len(LOCAL_TIERS)


@contextlib.asynccontextmanager
async def serving(
    *, bindings: Sequence[Binding] = (), durability: Durability | None = None,
    recorder: Recorder | None = None, clock: Clock | None = None,
    random: Callable[[], float] = chance.random, served: frozenset[SurfaceKind] = SERVED,
) -> AsyncGenerator[Services]:  # fmt: skip
    """Make the services of a host, and close them at the end.

    Items spill to the bound blob store, whatever the tier; without one, the tiers `disk` and
    `local` are a temporary folder that only this user may read, deleted at the end.

    Args:
        bindings: What is bound.
        durability: Where checkpoints go; by default what the bindings name. Closed at the end too.
        recorder: Where measurements go.
        clock: Where times to live are counted.
        random: For the jitter of retries.
        served: Control surfaces that the host serves.

    Raises:
        BindingRefused: A provider cannot be made from its `connect`.
    """
    async with contextlib.AsyncExitStack() as stack:
        capabilities = await stack.enter_async_context(built(bindings, clock=clock))
        kept = from_bindings(bindings, clock=clock) if durability is None else durability
        if kept is not None:
            stack.push_async_callback(kept.close)
        spill = await _spill(capabilities, stack)
        yield Services(
            capabilities, recorder, random, served=served, spill=spill, durability=kept
        )  # fmt: skip


async def _spill(
    capabilities: Capabilities, stack: contextlib.AsyncExitStack
) -> Mapping[str, SpillStore]:
    bound = capabilities.get(BLOBS)
    if bound is not None:
        return EveryTier(bound)
    folder = Path(tempfile.mkdtemp(prefix="conductor-flows-"))

    async def remove() -> None:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    stack.push_async_callback(remove)
    store = RowBlobs(FileRows(folder))
    return dict.fromkeys(LOCAL_TIERS, store)
