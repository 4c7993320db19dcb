"""How a command reaches a workspace: through the running daemon, or its stores directly.

Promise: a command gives the same answer either way. With a daemon it asks the control socket;
without one it waits up to 10 s for the workspace's lock and opens the stores itself. Refusal: it
never starts a daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from conductor_sdk.client import SidecarAnswered, ask
from conductor_sdk.errors import ConductorError, SidecarUnreachable
from conductor_sdk.workspace import Workspace, resolve_workspace
from conductor_sidecar.errors import (
    DeadLetterNotFound,
    EventNotFound,
    LoopbackOnly,
    NeverRun,
    RequestInvalid,
)
from conductor_sidecar.rotation.errors import (
    RotationRefused,
    RotationUnavailable,
    RotationUnfinished,
)
from conductor_state.errors import ApprovalDecided, ApprovalNotFound

if TYPE_CHECKING:
    from conductor_sidecar.desk import StoreDesk
    from conductor_sidecar.settings import Settings
    from conductor_sidecar.stores import Stores

T = TypeVar("T")
LOCK_WAIT_S = 10.0
ASK_AGAIN_S = 0.25
ASK_TIMEOUT_S = 30.0
_OURS: dict[str, type[ConductorError]] = {
    error.code: error
    for error in (
        ApprovalDecided, ApprovalNotFound, DeadLetterNotFound, EventNotFound, LoopbackOnly,
        RequestInvalid, RotationRefused, RotationUnavailable, RotationUnfinished,
    )
}  # fmt: skip


class Reach:
    """One workspace, for one command."""

    def __init__(self, path: Path) -> None:
        self.workspace: Workspace = resolve_workspace(path)

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *,
        timeout_s: float = ASK_TIMEOUT_S,
    ) -> dict[str, Any]:  # fmt: skip
        """Ask the running daemon; it has `timeout_s` for each part of its answer.

        Raises:
            SidecarUnreachable: None runs.
            ConductorError: What the daemon raised.
        """
        encoded = None if body is None else msgspec.json.encode(body)
        try:
            answer = ask(self.workspace, method, path, encoded, timeout_s=timeout_s)
        except SidecarAnswered as error:
            raise _restored(error) from None
        return msgspec.json.decode(answer, type=dict[str, Any])

    def either(
        self,
        online: Callable[[], T],
        offline: Callable[[StoreDesk], Awaitable[T]],
    ) -> T:
        """Ask the daemon; without one, do the same on the stores.

        Raises:
            WorkspaceBusy: Another command holds the stores for longer than 10 s.
            NeverRun: There are no stores yet.
        """

        def opened(lock_wait_s: float) -> T:
            if not self.workspace.sidecar_db.exists():
                raise NeverRun(str(self.workspace.root))
            return asyncio.run(self._on_stores(offline, lock_wait_s))

        return self.one_of(online, opened)

    def one_of(self, online: Callable[[], T], offline: Callable[[float], T]) -> T:
        """Ask the daemon; without one, do the same with the workspace's lock.

        Args:
            online: Raises SidecarUnreachable where no daemon runs.
            offline: Takes the lock, waiting at most for the seconds that it is given.

        Raises:
            WorkspaceBusy: Another command holds the lock for longer than 10 s.
        """
        import time

        end = time.monotonic() + LOCK_WAIT_S
        holder: object = None
        while True:
            try:
                return online()
            except SidecarUnreachable:
                left_s = end - time.monotonic()
            # A daemon that is starting has the lock before it answers: ask it again and again.
            try:
                return offline(min(ASK_AGAIN_S, max(0.0, left_s)))
            except ConductorError as error:
                if error.code != "WORKSPACE_BUSY":
                    raise
                if error.data != holder:  # it changes hands: nobody holds it for long
                    holder, end = error.data, time.monotonic() + LOCK_WAIT_S
                elif left_s <= 0:
                    raise

    async def _on_stores(self, work: Callable[[StoreDesk], Awaitable[T]], lock_wait_s: float) -> T:
        from conductor_sidecar.settings import Settings

        async with opened_stores(self.workspace, Settings(), lock_wait_s) as stores:
            return await work(stores.desk)


@contextlib.asynccontextmanager
async def opened_stores(
    workspace: Workspace, settings: Settings, lock_wait_s: float
) -> AsyncGenerator[Stores]:
    """Open a workspace's stores under its lock.

    Raises:
        WorkspaceBusy: Another process holds the lock for longer.
    """
    from conductor_sdk.clock import SystemClock
    from conductor_sidecar.app import open_stores, workspace_lock
    from conductor_sidecar.logs import configure_command

    configure_command()  # standard output is the command's alone
    lock = workspace_lock(workspace, "conductor (a command)")
    await lock.acquire(lock_wait_s)
    try:
        async with open_stores(workspace, settings, clock=SystemClock()) as stores:
            yield stores
    finally:
        lock.release()


def _restored(error: SidecarAnswered) -> ConductorError:
    """Turn an answered error back into the class that has the right exit code."""
    kind = _OURS.get(str(error.data.get("code")))
    return error if kind is None else kind(_detail(error, kind), hint=error.hint)


def _detail(error: SidecarAnswered, kind: type[ConductorError]) -> str:
    text = error.detail.removesuffix(f"[{kind.code}]").strip()
    return text.removeprefix(kind().message).removeprefix(":").strip()
