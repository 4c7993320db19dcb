"""For `conductor doctor`, `backup` and `diagnose`, on the control socket.

Promise: the database is looked into and copied by the connection that owns it; what is told of
tasks and threads is names and lines, never a value. Refusal: not served over TCP, and no path is
taken from a request: a copy goes into a new directory beside the stores.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from itertools import islice
from types import FrameType

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from conductor_sdk.workspace import Workspace
from conductor_sidecar.errors import RequestInvalid
from conductor_sidecar.ports import Vault
from conductor_sidecar.stores import Stores

SNAPSHOT_PREFIX = "snapshot-"
STACK_MAX = 12
"""Lines of a stack that are told, the innermost ones."""


class TaskReport(msgspec.Struct, frozen=True):
    """One task of the event loop."""

    name: str
    state: str
    """`pending`, `done` or `cancelling`."""
    stack: list[str]
    """`file:line function`, the innermost last."""


class ThreadReport(msgspec.Struct, frozen=True):
    """One thread."""

    name: str
    daemon: bool
    stack: list[str]


def upkeep_routes(workspace: Workspace, stores: Stores) -> list[BaseRoute]:
    """Return the routes; the control socket's application mounts them."""
    routes = UpkeepRoutes(workspace, stores)
    return [
        Route("/v1/integrity", routes.integrity, methods=["GET"]),
        Route("/v1/snapshot", routes.snapshot, methods=["POST"]),
        Route("/v1/debug/tasks", routes.tasks, methods=["GET"]),
    ]


class UpkeepRoutes:
    """The requests, one method each."""

    def __init__(self, workspace: Workspace, stores: Stores) -> None:
        self._workspace = workspace
        self._stores = stores

    async def integrity(self, _: Request) -> Response:
        """Look into the database, between two commits."""
        return _json(await self._vault().inspect())

    async def snapshot(self, _: Request) -> Response:
        """Copy the database into a new directory; whoever asked removes it."""
        vault = self._vault()
        directory = self._workspace.state_dir / f"{SNAPSHOT_PREFIX}{secrets.token_hex(8)}"
        directory.mkdir(mode=0o700)
        try:
            await vault.copy(directory / self._workspace.sidecar_db.name)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return _json({"directory": directory.name})

    async def tasks(self, _: Request) -> Response:
        """Tell what the daemon's tasks and threads are doing."""
        return _json({"tasks": list(_tasks()), "threads": list(_threads())})

    def _vault(self) -> Vault:
        if self._stores.vault is None:
            raise RequestInvalid("these stores are not in a file")
        return self._stores.vault


def _tasks() -> Iterator[TaskReport]:
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        state = "done" if task.done() else "cancelling" if task.cancelling() else "pending"
        frames = task.get_stack(limit=STACK_MAX)
        yield TaskReport(task.get_name(), state, [_line(frame, frame.f_lineno) for frame in frames])


def _threads() -> Iterator[ThreadReport]:
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  the documented way to another thread's stack
    for thread in sorted(threading.enumerate(), key=lambda thread: thread.name):
        innermost = frames.get(thread.ident or 0)
        stack = [_line(frame, line) for frame, line in traceback.walk_stack(innermost)][:STACK_MAX]
        yield ThreadReport(thread.name, thread.daemon, stack[::-1])


def _line(frame: FrameType, line: int) -> str:
    code = frame.f_code
    place = "/".join(islice(code.co_filename.rsplit("/", 3), 1, None)) or code.co_filename
    return f"{place}:{line} {code.co_qualname}"


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
