"""Random histories: every adapter agrees with the one in memory, and with itself reopened."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conductor_packs.sidekick.records import MEMORIES, STORES, TASKS, AuditEvent
from conductor_packs.sidekick.storage.filesystem import FilesystemStoragePort
from conductor_packs.sidekick.storage.memory import MemoryStoragePort
from conductor_packs.sidekick.storage.port import Change, MemoryQuery, StoragePort, View
from conductor_packs.sidekick.storage.sqlite import SqliteStoragePort
from conductor_packs.sidekick.storage.testing_samples import AT, memory, task

pytestmark = pytest.mark.usefixtures("no_sync")

WORDS = ("tea", "teapot", "green tea", "coffee", "the green kettle", "")
Act: TypeAlias = tuple[str, int, str]
ACTS: st.SearchStrategy[Act] = st.tuples(
    st.sampled_from(["task", "drop task", "memory", "drop memory", "audit", "fail"]),
    st.integers(0, 4), st.sampled_from(WORDS),
)  # fmt: skip
HISTORIES = st.lists(st.lists(ACTS, max_size=4), max_size=6)


def perform(change: Change, acts: list[Act]) -> None:
    for act, number, word in acts:
        match act:
            case "task":
                change.put(TASKS, task(number, word))
            case "drop task":
                change.remove(TASKS, task(number).id)
            case "memory":
                change.put(MEMORIES, memory(str(number), word))
            case "drop memory":
                change.remove(MEMORIES, f"mem-{number}")
            case "audit":
                change.append(AuditEvent(id=f"evt-{number}", ts=AT, tool=word, op="read"))
            case _:
                raise ZeroDivisionError


def seen(view: View) -> object:
    hits = [view.search(MemoryQuery(word)) for word in WORDS]
    return (
        [view.records(store) for store in STORES],
        view.audit_events(),
        view.audit_count(),
        [[(hit.record, round(hit.score, 9), hit.snippet) for hit in found] for found in hits],
    )


async def replay(port: StoragePort, history: list[list[Act]]) -> list[object]:
    states: list[object] = []
    for acts in history:
        try:
            await port.change(lambda change, acts=acts: perform(change, acts))
        except ZeroDivisionError:
            states.append("failed")
        states.append(await port.read(seen))
    return states


@pytest.mark.parametrize("kind", [FilesystemStoragePort, SqliteStoragePort])
@settings(max_examples=40, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
@given(history=HISTORIES)
def test_an_adapter_is_what_the_twin_is(
    kind: type[FilesystemStoragePort | SqliteStoragePort], history: list[list[Act]]
) -> None:
    async def compare(root: Path) -> None:
        twin, port = MemoryStoragePort(), kind(root)
        assert await replay(twin, history) == await replay(port, history)
        await port.close()
        again = kind(root)
        assert await twin.read(seen) == await again.read(seen)
        await again.close()
        await twin.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(compare(Path(directory) / ".sidekick"))
