"""Start-up and memory."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.daemon import Sidecar, make_workspace
from benchmarks.downward import fill
from benchmarks.processes import CONDUCTOR, MeasurementFailed, environment, peer

_READY_POLL_S = 0.001


def measure(bench: Bench) -> None:
    """Measure starts and the memory of a long queue."""
    bench.part("start-up")
    helps(bench)
    starts(bench)
    bench.part("memory with a long queue")
    queue_memory(bench)


def helps(bench: Bench) -> None:
    """Time `conductor --help`; the first run, which may compile, is not counted."""
    for number in range(bench.sizes.starts + 1):
        began = time.monotonic()
        subprocess.run(
            [CONDUCTOR, "--help"], check=True, env=environment(), stdout=subprocess.DEVNULL
        )
        if number:
            bench.add("help", "ms", 1000 * (time.monotonic() - began))


def starts(bench: Bench) -> None:
    """Time from spawning the daemon to the answer of its control socket, and to an open link."""
    with peer("sink", events=0) as source:
        port = source.hear("port")
        for number in range(bench.sizes.starts + 1):
            workspace = make_workspace(bench.directory, bench.name("start"), port)
            with Sidecar(bench.directory, workspace) as sidecar:
                while sidecar.status() is None:
                    time.sleep(_READY_POLL_S)
                answered, used_s = time.monotonic(), sidecar.processor_s
                opened: float = source.hear("open")
            if number:
                bench.add("ready", "ms", 1000 * (answered - sidecar.started))
                bench.add("link_open", "ms", 1000 * (opened - sidecar.started))
                if used_s is not None:
                    bench.add("ready_cpu", "ms", 1000 * used_s)
            shutil.rmtree(workspace.root)


def queue_memory(bench: Bench) -> None:
    """Start with a long queue and drain its first tenth; the peak is of the whole time."""
    queued = fill(bench, "outbox", bench.sizes.queued_memory)
    for _ in range(bench.sizes.rounds):
        rss = _drain_some(bench, queued)
        if rss is not None:
            bench.add("million_queued_rss", "MB", rss)


def _drain_some(bench: Bench, queued: Path) -> float | None:
    events = bench.sizes.queued_memory
    with peer("sink", events=events // 10) as source:
        workspace = make_workspace(
            bench.directory, bench.name("long-queue"), source.hear("port"), database=queued
        )
        with Sidecar(bench.directory, workspace) as sidecar:
            source.hear("ended")
            status = sidecar.status()
            rss = sidecar.peak_rss_mb
    if status is None or status["outbox"]["events"] < events // 2:
        raise MeasurementFailed("the queue was drained before memory was measured")
    shutil.rmtree(workspace.root)
    return rss
