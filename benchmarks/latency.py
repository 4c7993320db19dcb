"""From send to durable acknowledgement, against the disk alone."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.daemon import Sidecar, make_workspace
from benchmarks.processes import peer

_BLOCK = os.urandom(4096)


def measure(bench: Bench) -> None:
    """Measure both in interleaved rounds; the disk before and after each paced round."""
    for number in range(bench.sizes.rounds):
        bench.part(f"time to the acknowledgement, round {number + 1} of {bench.sizes.rounds}")
        before = appends(bench)
        acks = paced(bench)
        disk = sorted(before + appends(bench))
        bench.add("ack_p50", "ms", 1000 * statistics.median(acks))
        bench.add("ack_p99", "ms", 1000 * _p99(acks))
        bench.add("fdatasync_p50", "ms", 1000 * statistics.median(disk))
        bench.add("fdatasync_p99", "ms", 1000 * _p99(disk))


def appends(bench: Bench) -> list[float]:
    """Append 4 KiB and fdatasync, at the pace of the events; returns the seconds of each."""
    path = bench.directory / bench.name("appends")
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    took: list[float] = []
    began = time.monotonic()
    try:
        for number in range(1, bench.sizes.appends + 1):
            time.sleep(max(0.0, began + number / bench.sizes.paced_rate - time.monotonic()))
            start = time.monotonic()
            os.write(descriptor, _BLOCK)
            _flush(descriptor)
            took.append(time.monotonic() - start)
    finally:
        os.close(descriptor)
        path.unlink()
    return took


def paced(bench: Bench) -> list[float]:
    """Send events at a fixed rate, one in a frame; returns the seconds to each acknowledgement."""
    sizes = bench.sizes
    with peer("paced", events=sizes.paced, rate=sizes.paced_rate) as source:
        workspace = make_workspace(bench.directory, bench.name("paced"), source.hear("port"))
        with Sidecar(bench.directory, workspace) as sidecar:
            source.hear("prepared")
            sidecar.until("the sidecar is ready", "link", "state", equals="open")
            source.say()
            latencies: list[float] = source.hear("latencies")
    shutil.rmtree(workspace.root)
    return latencies


def _flush(descriptor: int) -> None:
    # macOS has no fdatasync; fsync there does not reach the platter, so the ratio flatters nobody.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
