"""A process killed at every named point of the inbound side, and what the next one finds."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conductor_sdk.clock import ManualClock
from conductor_state.crash_points import AFTER_REAP, INBOUND
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.testing.inbound import arrivals

PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from conductor_sdk.clock import SystemClock, epoch_ms
from conductor_sdk.records import Buried, Delivered, RetryLater
from conductor_state.database import Database
from conductor_state.dead_letters import SqliteDeadLetters
from conductor_state.replay_log import SqliteReplayLog
from conductor_state.schema import load_schema
from conductor_state.testing.inbound import arrivals

path, fatal, countdown = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def crash_point(point):
    global countdown
    if point == fatal:
        countdown -= 1
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)

def told(*words):
    print(*words, flush=True)

async def main():
    clock = SystemClock()
    database = await Database.open(
        path, schema=load_schema("sidecar"), clock=clock, crash_point=crash_point
    )
    log = await SqliteReplayLog.open(database, seal_at=8)
    letters = SqliteDeadLetters(log)
    await log.reap()
    for number in range(100):
        ids = [f"evt-{number}-{index}" for index in range(4)]
        a, b, c, d = (await log.receive("e", number, arrivals(*ids))).positions
        told("stored", *ids)
        await log.claim([a, b, c, d])
        await log.release([d])
        await log.settle([
            Delivered(a, "handled", "x", (("acme", ids[0]),)),
            RetryLater(b, 1, 0, "later"),
            Buried(c, 1, "BOOM", "no"),
        ])
        told("handled", ids[0])
        told("buried", ids[2])
        if number % 3 == 0:
            await letters.redrive([ids[2]])
            told("redriven", ids[2])
        elif number % 3 == 1:
            await letters.drop([ids[2]])
            told("dropped", ids[2])
        if number % 5 == 4:
            await log.settle([Delivered(p, "handled", "y") for p in (b, d)])
            told("handled", ids[1], ids[3])
            await log.prune(0, 10)

asyncio.run(main())
"""


def run_until_killed(path: Path, point: str, countdown: int) -> dict[str, set[str]]:
    """Run the program; returns what it was told was durable, by word."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), point, str(countdown)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert -signal.SIGKILL == done.returncode, done.stderr
    told: dict[str, set[str]] = {}
    for line in done.stdout.splitlines():
        word, *ids = line.split()
        told.setdefault(word, set()).update(ids)
    return told


@pytest.mark.parametrize(
    ("point", "countdown"),
    [(point, 1) for point in INBOUND]
    + [(point, 9) for point in INBOUND if point != AFTER_REAP],  # a process reaps once
)
async def test_nothing_that_was_told_is_lost(tmp_path: Path, point: str, countdown: int) -> None:
    path = tmp_path / "sidecar.db"
    told = run_until_killed(path, point, countdown)
    stored, handled = told.get("stored", set()), told.get("handled", set())
    database = await Database.open(path, schema=load_schema("sidecar"), clock=ManualClock())
    log = await SqliteReplayLog.open(database, seal_at=8)
    letters = {letter.event_id for letter in await SqliteDeadLetters(log).list(limit=1000)}
    await log.reap()
    counts = await log.counts()
    waiting = {pending.event_id: pending for pending in await log.pending(0, 1000)}
    assert all(kind.balanced for kind in counts.values())
    assert len(waiting) == await log.backlog() == sum(kind.buffered for kind in counts.values())
    assert len(letters) == sum(kind.dead_lettered for kind in counts.values())
    assert not handled & (waiting.keys() | letters)
    assert all(
        [await log.has_key("acme", event_id) for event_id in handled if "-0" in event_id[-2:]]
    )
    gone = told.get("dropped", set())
    assert not gone & (waiting.keys() | letters)
    assert told.get("redriven", set()) <= waiting.keys()
    for event_id in stored - handled - gone:
        assert (event_id in waiting) + (event_id in letters) + await settled(log, event_id) == 1
    again = await log.receive("e", 0, arrivals(*sorted(stored)))
    assert [None] * len(stored) == again.positions
    await database.close()


async def settled(log: SqliteReplayLog, event_id: str) -> bool:
    """Tell whether an outcome was committed of which the killed process was not told."""
    story = await log.story(event_id)
    return story is not None and story.state in {"handled", "dropped"}
