"""Events up: pushing into the outbox, and draining it, each against doing it one by one."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.daemon import NOBODY, Sidecar, make_workspace
from benchmarks.downward import fill
from benchmarks.processes import PATIENCE_S, MeasurementFailed, peer, python


def measure(bench: Bench) -> None:
    """Measure everything that goes up, in interleaved rounds."""
    bench.part("filling an outbox")
    queued = fill(bench, "outbox", bench.sizes.drain)
    for number in range(bench.sizes.rounds):
        bench.part(f"events up, round {number + 1} of {bench.sizes.rounds}")
        drain(bench, queued)
        bench.add("one_by_one", "events/s", one_by_one(bench))
        push(bench)
        push_from_pack(bench)


def drain(bench: Bench, queued: Path) -> None:
    """Drain a queue through the sidecar, until the last event is confirmed and removed."""
    events = bench.sizes.drain
    with peer("sink", events=events) as source:
        workspace = make_workspace(
            bench.directory, bench.name("drain"), source.hear("port"), database=queued
        )
        with Sidecar(bench.directory, workspace) as sidecar:
            opened = source.hear("open")
            source.hear("ended")
            ended = sidecar.until("the outbox is empty", "outbox", "events", equals=0)
    bench.add("drain", "events/s", events / (ended - opened))
    shutil.rmtree(workspace.root)


def one_by_one(bench: Bench) -> float:
    """Return the events a second of sending, waiting and deleting one by one."""
    events, path = bench.sizes.one_by_one, bench.directory / bench.name("one-by-one.db")
    with (
        peer("sink", events=events) as source,
        python("benchmarks.clients.one_by_one", source.hear("port"), events, path) as client,
    ):
        said = client.hear_all("ended")
        return events / (said["ended"] - said["began"])


def push(bench: Bench) -> None:
    """Put into an outbox, alone and with many tasks."""
    sizes = bench.sizes
    workspace = make_workspace(bench.directory, bench.name("put"), NOBODY)
    arguments = (workspace.root, sizes.push_alone, sizes.pushers, sizes.push_each)
    with python("benchmarks.clients.pushers", *arguments) as client:
        took = client.hear_all("together_s")
    _note(bench, "push", took)
    shutil.rmtree(workspace.root)


def push_from_pack(bench: Bench) -> None:
    """Push from inside a pack, alone and with many tasks; no conductor is there."""
    sizes = bench.sizes
    result = bench.directory / bench.name("push.json")
    config = (
        f"\n[pack.bench]\nalone = {sizes.push_alone}\npushers = {sizes.pushers}\n"
        f"each = {sizes.push_each}\nresult = {json.dumps(str(result))}\n"
    )
    workspace = make_workspace(bench.directory, bench.name("push"), NOBODY, config=config)
    with Sidecar(bench.directory, workspace):
        took = _read(result)
    _note(bench, "pack_push", took)
    shutil.rmtree(workspace.root)


def _note(bench: Bench, name: str, took: dict[str, float]) -> None:
    sizes = bench.sizes
    bench.add(f"{name}_sequential", "events/s", sizes.push_alone / took["alone_s"])
    together = sizes.pushers * sizes.push_each
    bench.add(f"{name}_concurrent", "events/s", together / took["together_s"])


def _read(path: Path) -> dict[str, float]:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.endswith("}"):
            took: dict[str, float] = json.loads(text)
            return took
        time.sleep(0.02)
    raise MeasurementFailed("the pushers did not finish")
