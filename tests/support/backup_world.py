"""For tests of backups: a served workspace, a filled one, children that die or have no room."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import msgspec

from conductor_sdk.client import ask
from conductor_sdk.clock import SystemClock
from conductor_sdk.records import Arrival, Outgoing
from conductor_sdk.workspace import Workspace
from conductor_sidecar.app import open_stores
from conductor_sidecar.backup.take import Taken, take_backup
from conductor_sidecar.logs import configure_command
from conductor_sidecar.serve import serve
from conductor_sidecar.settings import LinkSettings, PacksSettings, ReconnectSettings, Settings
from conductor_state.snapshot import copy_owned

SUPPORT = Path(__file__).parent
PATIENCE_S = 20.0
MEMORY = Settings(
    link=LinkSettings(adapter="memory"),
    reconnect=ReconnectSettings(first_spread_s=0.02, cap_s=0.1),
    packs=PacksSettings(disabled=["acme-demo"]),
)
CHILD = """
import sys
from pathlib import Path
from conductor_sdk.clock import SystemClock
from conductor_sdk.workspace import Workspace
from conductor_sidecar.backup.restore import restore_backup
from conductor_sidecar.backup.take import take_backup
from conductor_sidecar.restoring.swap import finish_restore
from conductor_state.snapshot import copy_owned
from crash_killer import Killer

what, root, file, point = sys.argv[1:]
workspace, die = Workspace(Path(root)), Killer(point)
if what == "restore":
    restore_backup(workspace, Path(file), SystemClock(), dry_run=False, crash_point=die)
elif what == "finish":
    finish_restore(workspace, die)
else:
    copy = lambda target: copy_owned(workspace.sidecar_db, target)
    take_backup(workspace, Path(file), copy, SystemClock(), crash_point=die)
"""


class Served:
    """A sidecar with the memory adapter, as a task; `async with` waits until it handles events."""

    def __init__(self, workspace: Workspace) -> None:
        configure_command()  # logs belong on standard error
        self._stop, self._ready = asyncio.Event(), asyncio.Event()
        self._workspace = workspace
        serving = serve(workspace, MEMORY, self._stop, ready=self._ready)
        self._task = asyncio.create_task(serving, name="sidecar")

    async def __aenter__(self) -> Self:
        waiting = asyncio.create_task(self._ready.wait(), name="ready")
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            await self._task
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await self._task

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask over the control socket."""
        encoded = None if body is None else msgspec.json.encode(body)
        answer = await asyncio.to_thread(
            ask, self._workspace, method, path, encoded, timeout_s=PATIENCE_S
        )
        return msgspec.json.decode(answer)


async def fill(workspace: Workspace, name: str, events: int = 5) -> None:
    """Put events into both directions, an entry into the journal, files beside them."""
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        arrivals = [Arrival(f"{name}-in-{n}", "demo:thing", b"{}") for n in range(events)]
        cursor = await stores.log.cursor()
        await stores.log.receive("epoch", cursor.sequence + events, arrivals)
        outgoing = [Outgoing(f"{name}-out-{n}", "demo:up", b"{}") for n in range(events)]
        await stores.outbox.put(outgoing)
        await stores.journal.append("NOTED", "operator", {"name": name})
    await asyncio.to_thread(fill_packs, workspace, name)


def fill_packs(workspace: Workspace, name: str) -> None:
    """Write what packs store: a database, and a folder with a lock."""
    with closing(sqlite3.connect(workspace.pack_db("demo"))) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (name)")
        connection.execute("INSERT INTO t VALUES (?)", (name,))
        connection.commit()
    workspace.pack_db("demo").chmod(0o600)
    tasks = workspace.root / ".sidekick/tasks"
    tasks.mkdir(parents=True, exist_ok=True)
    (tasks / "tasks.json").write_text(f'["{name}"]')


async def facts(workspace: Workspace) -> dict[str, Any]:
    """Return what the stores hold, as one value to compare."""
    async with open_stores(workspace, Settings(), clock=SystemClock()) as stores:
        found = await stores.desk.facts()
        entries = await stores.journal.latest(50)
        chain = (await stores.journal.verify()).chain  # type: ignore[attr-defined]
    with closing(sqlite3.connect(workspace.pack_db("demo"))) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM t")]
    return {
        "cursor": found.cursor.sequence, "backlog": found.backlog, "queued": found.outbox.events,
        "balanced": found.balanced, "chain": chain, "pack": names,
        "entries": [entry.event_type for entry in entries],
        "folder": (workspace.root / ".sidekick/tasks/tasks.json").read_text(),
    }  # fmt: skip


def backed_up(workspace: Workspace, file: Path, **options: Any) -> Taken:
    """Take a backup without a daemon."""

    def copy(target: Path) -> None:
        copy_owned(workspace.sidecar_db, target)

    return take_backup(workspace, file, copy, SystemClock(), **options)


def in_child(
    what: str, workspace: Workspace, file: Path, point: str = "", *, room: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Do it in a child that dies at a point, or may write files of `room` bytes at most."""

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return subprocess.run(
        [sys.executable, "-c", CHILD, what, str(workspace.root), str(file), point],
        env={"PYTHONPATH": str(SUPPORT), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
