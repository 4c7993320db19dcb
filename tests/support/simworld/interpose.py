"""What a world puts in the place of threads, dice and sockets, for the length of a run.

Promise: everything is put back, and code that is written tomorrow meets the same dice: they are
replaced where the standard library gives them out. Refusal: nothing of the daemon is replaced but
the threads of packs' databases, the surfaces that listen on sockets, and what is installed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Generator
from random import Random
from unittest.mock import patch

import conductor_sdk.storage
import conductor_sidecar.serve
import conductor_sidecar.wiring
from conductor_handlers.registry import Registry, load_registry
from conductor_sdk.pack import Pack
from conductor_sidecar.stores import Stores
from simworld.disk import WorldStorage, pack_worker
from simworld.net import Net


@contextlib.contextmanager
def interposed(
    storage: WorldStorage, net: Net, pack: Pack, seed: str, opened: Callable[[Stores], None]
) -> Generator[None]:
    """Give the code under test this world's dice, disk, network and pack.

    Args:
        storage: The disk, for the packs' own databases.
        net: The only adapter.
        pack: The only pack.
        seed: Of all dice that the code under test throws.
        opened: Told of the stores of each life.
    """
    dice = Random(f"{seed}/code")

    def selected(*_: object) -> Registry:
        return load_registry(packs=[pack], installed=False)

    @contextlib.asynccontextmanager
    async def unreached(
        _: object, __: object, stores: Stores, *rest: object, **more: object
    ) -> AsyncGenerator[None]:
        del rest, more
        opened(stores)
        yield None

    thresholds, was_on = gc.get_threshold(), gc.isenabled()
    with contextlib.ExitStack() as stack:
        for target, name, new in (
            (random, "random", dice.random),
            (random, "uniform", dice.uniform),
            (secrets, "token_bytes", lambda size=32: dice.randbytes(size)),
            (secrets, "randbits", dice.getrandbits),
            (os, "urandom", dice.randbytes),
            (conductor_sdk.storage, "StorageWorker", pack_worker(storage)),
            (conductor_sidecar.wiring, "find_adapter", lambda _: net),
            (conductor_sidecar.serve, "selected_packs", selected),
            (conductor_sidecar.serve, "serving", unreached),
        ):
            stack.enter_context(patch.object(target, name, new))
        # A collection in the middle would run finalizers at a moment that no seed decides.
        gc.disable()
        try:
            yield
        finally:
            gc.set_threshold(*thresholds)
            if was_on:
                gc.enable()
