"""What the tests run in processes of their own, to have several of them and to kill them.

Usage: storage_child.py COMMAND ROOT KIND ...; tells what it did on standard output, a line each.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path

from conductor_packs.sidekick.records import MEMORIES, TASKS, Memory, Task
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.port import Change, StoragePort, View
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort
from conductor_packs.sidekick.storage.worker import Step, no_step

AT = "2026-01-01T00:00:00.000Z"
NO_SYNC = "SIDEKICK_TEST_NO_SYNC"
"""Set where only the order of events counts: many files are synced slowly on a busy disk."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def open_port(root: str, kind: str, step: Step = no_step) -> StoragePort:
    made = FilesystemStoragePort if kind == "filesystem" else SqliteStoragePort
    return made(Path(root), step=step)


def create(change: Change) -> str:
    """Write two stores and two audit lines; they belong together."""
    task_id = change.new_id(TASKS)
    memory_id = change.new_id(MEMORIES)
    change.put(TASKS, Task(id=task_id, title="t", created_at=AT, updated_at=AT, note=memory_id))
    change.put(MEMORIES, Memory(id=memory_id, type="note", content=task_id, created_at=AT,
                                updated_at=AT))  # fmt: skip
    change.audit("create", "task:create", ids=[task_id])
    change.audit("create", "memory:store", ids=[memory_id])
    return task_id


def whole(view: View) -> list[str]:
    """Return the ids of all tasks, having checked that all of each change is there."""
    tasks, memories = view.records(TASKS), view.records(MEMORIES)
    audited = [event.ids[0] for event in view.audit_events() if event.ids]
    assert {task.note for task in tasks} == {memory.id for memory in memories}
    assert sorted(audited) == sorted([*(t.id for t in tasks), *(m.id for m in memories)])
    assert view.audit_count() == len(audited)
    return [task.id for task in tasks]


async def create_many(port: StoragePort, count: int, at_once: int) -> None:
    """Tell each id once it was reported as created."""
    for _ in range(0, count, at_once):
        for made in await asyncio.gather(*(port.change(create) for _ in range(at_once))):
            say(made)
    await port.close()


def crowd(root: str, kind: str, processes: int, count: int, at_once: int) -> None:
    """Create in several processes, which begin together."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    members = [
        context.Process(target=_member, args=(root, kind, count, at_once, barrier))
        for _ in range(processes)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join()
        assert 0 == member.exitcode


def _member(root: str, kind: str, count: int, at_once: int, barrier: Barrier) -> None:
    barrier.wait(60)
    asyncio.run(create_many(open_port(root, kind), count, at_once))


async def die_at(root: str, kind: str, point: str, nth: int) -> None:
    passed: Counter[str] = Counter()

    def step(name: str) -> None:
        passed[name] += 1
        if name == point and passed[name] == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    await create_many(open_port(root, kind, step), 50, 1)
    say("survived")


async def hold(root: str, kind: str) -> None:
    """Hold the storage in the middle of a change until a line comes in."""

    def work(change: Change) -> str:
        say("held")
        sys.stdin.readline()
        return create(change)

    port = open_port(root, kind)
    say(await port.change(work))
    await port.close()


def race(directory: str, kind: str, trials: int) -> None:
    """Two processes write first to one root while a third reads it; tell what was lost."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    answers = context.SimpleQueue()
    ends = [
        context.Process(target=_racer, args=(directory, kind, trials, role, barrier, answers))
        for role in ("write", "write", "read")
    ]
    for end in ends:
        end.start()
    told = [answers.get() for _ in ends]
    for end in ends:
        end.join()
    say(json.dumps([sum(column) for column in zip(*told, strict=True)]))


def _racer(
    directory: str, kind: str, trials: int, role: str, barrier: Barrier,
    answers: multiprocessing.SimpleQueue[tuple[int, int, int]],
) -> None:  # fmt: skip
    async def run() -> tuple[int, int, int]:
        reported = lost = torn = 0
        for trial in range(trials):
            port = open_port(f"{directory}/{trial}/.sidekick", kind)
            await asyncio.to_thread(barrier.wait, 60)
            if role == "write":
                made = await port.change(create)
                reported += 1
                lost += made not in await port.read(whole)
            else:
                for _ in range(5):
                    torn += len(await port.read(whole)) > 2  # there are two writers
            await port.close()
        return reported, lost, torn

    answers.put(asyncio.run(run()))


async def watched_reads(root: str) -> None:
    """Read everything; tell every call that could have written."""
    port = FilesystemStoragePort(Path(root))
    wrong: list[str] = []
    changing = {"os.mkdir", "os.rename", "os.remove", "os.truncate", "os.utime"}
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def watch(event: str, args: tuple[object, ...]) -> None:
        opens = event == "open" and isinstance(args[2], int) and args[2] & writing
        if opens or event in changing:
            wrong.append(f"{event} {args[0]!r}")

    await port.read(whole)
    sys.addaudithook(watch)
    found = await FilesystemStoragePort(Path(root)).read(whole)
    say(json.dumps({"wrong": wrong, "found": len(found)}))


def main() -> None:
    if os.environ.get(NO_SYNC):
        os.fsync = lambda _descriptor: None
    match sys.argv[1:]:
        case ["crowd", root, kind, processes, count, at_once]:
            crowd(root, kind, int(processes), int(count), int(at_once))
        case ["die", root, kind, point, nth]:
            asyncio.run(die_at(root, kind, point, int(nth)))
        case ["hold", root, kind]:
            asyncio.run(hold(root, kind))
        case ["race", directory, kind, trials]:
            race(directory, kind, int(trials))
        case ["reads", root]:
            asyncio.run(watched_reads(root))
        case unknown:
            raise SystemExit(f"no such command: {unknown}")


if __name__ == "__main__":
    main()
