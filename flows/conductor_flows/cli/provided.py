"""What a run on the command line is given: bindings, and a place for its checkpoints.

Promise: bindings come from one source, and a flow that waits has a place to be kept in without
being asked. Refusal: nothing is opened here.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import click

from conductor_flows.capabilities.bindings.lock import read
from conductor_flows.capabilities.bindings.spec import Binding, parse_all
from conductor_flows.capabilities.errors import BindingRefused, LockRefused
from conductor_flows.cli.errors import StoreRefused
from conductor_flows.cli.options import CHECKPOINT_DB, CHECKPOINTS
from conductor_flows.durable.services import Durability, in_folder, in_memory, in_sqlite
from conductor_flows.execute.durability import is_kept
from conductor_flows.ir.model import FlowIR
from conductor_sdk.pack_errors import StorageFailed

Store = Literal["memory", "filesystem", "sqlite"]
STORES: Final = ("memory", "filesystem", "fs", "sqlite")
_KINDS: Final[dict[str, Store]] = {
    "checkpoint_store.memory": "memory", "checkpoint_store.filesystem": "filesystem",
    "checkpoint_store.sqlite": "sqlite",
}  # fmt: skip


def bindings_for(
    flow: FlowIR, spec: str, binds: Sequence[str], lock: Path | None
) -> tuple[Binding, ...]:
    """Return what is bound: what was typed, or what the lock says of the flow.

    Raises:
        click.UsageError: Both.
        BindingRefused: What was typed cannot be used.
        LockRefused: The lock cannot be; names the cause.
    """
    if binds and lock is not None:
        raise click.UsageError("--bind and --bindings-lock exclude each other: give one")
    if lock is None:
        return typed(binds)
    try:
        return read(lock.read_bytes(), flow.id)
    except LockRefused as error:
        error.hint = f"write it again: flows bindings lock generate {shlex.quote(spec)} --bind …"
        error.detail = f"{lock}: {error.detail}"
        raise


def typed(binds: Sequence[str]) -> tuple[Binding, ...]:
    """Return the bindings that were typed.

    Raises:
        BindingRefused: One of them cannot be used; names the command that lists what can be.
    """
    try:
        return parse_all(binds)
    except BindingRefused as error:
        error.hint = "see what can be bound: flows bindings --help"
        raise


@dataclass(frozen=True, slots=True)
class Kept:
    """Where checkpoints of a run are."""

    store: Store
    path: Path | None = None
    """A folder or an SQLite file."""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncGenerator[Durability]:
        """Give the services of the place for the time of a block.

        Raises:
            StoreRefused: It cannot be made or written to; told before anything is kept.
        """
        match self.store, self.path:
            case "filesystem", Path() as path:
                durability = in_folder(path)
            case "sqlite", Path() as path:
                durability = in_sqlite(path)
            case _:
                durability = in_memory()
        try:
            if durability.rows is not None:
                try:
                    await durability.rows.run(lambda _: None)
                except (OSError, StorageFailed) as error:
                    said = error.strerror if isinstance(error, OSError) else error.detail
                    raise StoreRefused(f"{self.path}: {said}") from error
            yield durability
        finally:
            await durability.close()

    @property
    def option(self) -> str:
        """Return the option that leads another command to this place; "" for the default one."""
        if self.path is None or self.path == CHECKPOINTS:
            return ""
        return f" --checkpoint-dir {shlex.quote(str(self.path))}"


def kept_for(
    flow: FlowIR, bindings: Sequence[Binding], store: str | None, path: Path | None
) -> Kept | None:
    """Return where checkpoints go: what was typed, what is bound, or the default where needed.

    Raises:
        click.UsageError: Two of them, or a path for memory.
    """
    bound = next((each for each in bindings if each.provider_kind in _KINDS), None)
    if bound is not None:
        if store is not None or path is not None:
            raise click.UsageError("a checkpoint store is bound already: leave --checkpoint-… out")
        at = bound.connect.get("root") or bound.connect.get("path")
        return Kept(_KINDS[bound.provider_kind], None if at is None else Path(str(at)))
    if store == "memory":
        if path is not None:
            raise click.UsageError("--checkpoint-dir goes with filesystem or sqlite, not memory")
        return Kept("memory")
    if store == "sqlite":
        return Kept("sqlite", path or CHECKPOINT_DB)
    if store is not None or path is not None or is_kept(flow):
        return Kept("filesystem", path or CHECKPOINTS)
    return None
