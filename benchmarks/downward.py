"""Events down: raw receive, the naive design, and the sidecar on an empty and on a filled log."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.daemon import Sidecar, make_workspace
from benchmarks.processes import Child, peer, python
from benchmarks.workload import KIND_DOWN


def measure(bench: Bench) -> None:
    """Measure everything that comes down, in interleaved rounds."""
    bench.part("filling a replay log")
    filled = fill(bench, "log", bench.sizes.known_ids)
    sizes = bench.sizes
    for number in range(sizes.rounds):
        bench.part(f"events down, round {number + 1} of {sizes.rounds}")
        bench.add("raw_receive", "events/s", raw(sizes.flood, 1))
        bench.add("raw_receive_batched", "events/s", raw(sizes.flood, sizes.frame_events))
        flood(bench, "durable_receive", sizes.flood, sizes.frame_events)
        flood(bench, "durable_receive_filled", sizes.flood, sizes.frame_events, database=filled)
        flood(bench, "durable_receive_single", sizes.single, 1)
        bench.add("naive_receive", "events/s", naive(bench, commits=2))
        bench.add("naive_receive_one_commit", "events/s", naive(bench, commits=1))


def fill(bench: Bench, what: str, count: int) -> Path:
    """Fill a store once; returns the database to copy."""
    workspace = make_workspace(bench.directory, bench.name(f"filled-{what}"), 0)
    with python("benchmarks.prefill", what, workspace.root, count) as child:
        child.wait()
    bench.add(f"filled_{what}_{count}", "MB", workspace.sidecar_db.stat().st_size / 1e6)
    return workspace.sidecar_db


def raw(events: int, per_frame: int) -> float:
    """Return the events a second that the `websockets` client receives."""
    with peer("plain", events=events, frame=per_frame) as source:
        frames = -(-events // per_frame)
        with python("benchmarks.clients.raw", source.hear("port"), frames) as client:
            return events / _flooded(source, client)


def naive(bench: Bench, *, commits: int) -> float:
    """Return the events a second of the naive design."""
    events, path = bench.sizes.naive, bench.directory / bench.name("naive.db")
    with peer("plain", events=events, frame=1) as source:
        arguments = (source.hear("port"), events, path, commits)
        with python("benchmarks.clients.naive", *arguments) as client:
            return events / _flooded(source, client)


def flood(
    bench: Bench, name: str, events: int, per_frame: int, *, database: Path | None = None
) -> None:
    """Flood a sidecar; notes the rate until the last event is settled, and the peak memory."""
    before = 0 if database is None else bench.sizes.known_ids
    with peer("conductor", events=events, frame=per_frame) as source:
        workspace = make_workspace(
            bench.directory, bench.name("flood"), source.hear("port"), database=database
        )
        with Sidecar(bench.directory, workspace) as sidecar:
            source.hear("prepared")
            sidecar.until("the sidecar is ready", "link", "state", equals="open")
            idle_rss, idle_s = sidecar.peak_rss_mb, sidecar.processor_s
            source.say()
            began, acked = source.hear("began"), source.hear_all("acked")
            ended = sidecar.until(
                "every event is settled", "inbound", KIND_DOWN, "delivered", equals=before + events
            )
            rss, used_s = sidecar.peak_rss_mb, sidecar.processor_s
    bench.add(name, "events/s", events / (ended - began))
    bench.add(f"{name}_acked", "events/s", events / (acked["acked"] - began))
    bench.add(f"{name}_per_ack", "events", events / acked["acks"])
    if rss is not None and idle_rss is not None:
        bench.add(f"{name}_rss", "MB", rss)
        bench.add("idle_rss", "MB", idle_rss)
    if used_s is not None and idle_s is not None:
        bench.add(f"{name}_cpu", "µs", 1e6 * (used_s - idle_s) / events)
    shutil.rmtree(workspace.root)


def _flooded(source: Child, client: Child) -> float:
    source.hear("prepared")
    source.say()
    began = source.hear("began")
    ended: float = client.hear("ended")
    return ended - began
