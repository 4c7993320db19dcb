"""One of several processes that create tasks at the same time; run as a program.

`tool_racer.py daemon|storage WORKSPACE NAME COUNT` prints a line for every task that it was told
is there, at once, so that a parent knows what had been reported whenever somebody is killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from conductor_packs.sidekick.records import TASKS, Task
from conductor_packs.sidekick.storage.opening import open_storage
from conductor_packs.sidekick.storage.port import Change
from conductor_sdk.client import connect

STAMP = "2026-01-01T00:00:00.000Z"


async def through_daemon(workspace: Path, name: str, count: int) -> None:
    sidecar = connect(workspace)
    for number in range(count):
        title = f"{name}-{number}"
        output = await sidecar.tools.call("task:create", {"title": title}, key=title)
        if not output.success:
            raise SystemExit(f"{title}: {output.error}")
        told(title)


async def into_storage(workspace: Path, name: str, count: int) -> None:
    port = open_storage(workspace)
    for number in range(count):
        title = f"{name}-{number}"
        await port.change(lambda change, title=title: create(change, title))  # type: ignore[misc]
        told(title)
    await port.close()


def create(change: Change, title: str) -> None:
    made: Any = Task(id=change.new_id(TASKS), title=title, created_at=STAMP, updated_at=STAMP)
    change.put(TASKS, made)
    change.audit("create", "task:create", actor="racer", ids=(made.id,))


def told(title: str) -> None:
    sys.stdout.write(title + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    how, where, who, many = sys.argv[1:]
    work = {"daemon": through_daemon, "storage": into_storage}[how]
    asyncio.run(work(Path(where), who, int(many)))
