"""`README.md` and the plot, from `results.json` alone.

Promise: the same results give the same text. Refusal: nothing is measured here, and no reason is
invented: reasons stand in `targets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.plot import draw
from benchmarks.results import read_results
from benchmarks.targets import TARGETS, Target

PLOT = "results.svg"
QUIET_LOAD = 2.0
"""Load average above which the machine was doing something else beside the benchmark."""

INTRODUCTION = """\
# Benchmarks

`make bench` measures this on your machine and writes this file anew. Every promise is a ratio to a
named peer or limit, both measured in one run on one machine, or a size. Figures in events a second
are of this machine only.
"""

METHOD = """\
## How it is measured

- Everything is a process of its own, on 127.0.0.1. The conductor is a process that sends bytes
  which were built before the clock starts, so that the client is what is measured.
- The sidecar is the real `conductor sidecar`, with default settings (the log level and the
  reconnection spread aside) on an enrolled workspace; the pack comes by its entry point, and its
  handler answers at once. SQLite runs in WAL mode with `synchronous=FULL`.
- Events are JSON of {event_bytes} bytes with random ids, from {senders} senders: as many lanes.
- **Durable receive** runs from the first event sent until the status says that the last one is
  settled: decoded, checked, deduplicated, stored, acknowledged, claimed, handled, settled. A frame
  holds {frame_events} events and the conductor keeps to the credit (8,192 events).
- **Raw receive** is the asyncio client of `websockets` in a `recv()` loop without compression, with
  **one event in a frame**; it decodes nothing. A conductor that sends one event in a frame gives up
  most of what batches bring, so the table of figures also has the sidecar with one event in a
  frame, and raw receive with {frame_events} events in a frame.
- **The naive design** gives the same promises one event after the other: `websockets`, pydantic,
  SELECT, INSERT, commit, acknowledge, handler, UPDATE, commit, on a SQLite connection behind a
  thread. The figure with one commit leaves out the first commit, and with it "stored before
  acknowledged and claimed before run".
- **The filled log** holds {known_ids:,} random ids that were received, claimed and settled.
- **Drain** runs from the open link until the status says that the queue is empty: read, sent,
  confirmed, removed, in order. **One by one** reads, sends, waits and removes each event.
- **Pushers** are tasks that put one event at a time into the outbox, the real store on its own in a
  process, and wait until it is durable. The table of figures also has the pushers of a pack in the
  running daemon, where each event is checked and encoded first; no conductor is connected.
- **The acknowledgement** is timed by the conductor: from sending a frame with one event to reading
  the acknowledgement that covers it, {paced_rate} times a second. The disk is measured before and
  after each such round, at the same pace, with the same median.
- Memory is the largest resident size of the daemon's process, shared libraries included; a MB is
  2^20 bytes, as `ps` and `top` count. With a long queue it starts, connects and drains the first
  tenth.
- Ratios are taken within a round and rounds are interleaved ({rounds} of them); a ratio is the
  median of its rounds, the spread is the least and the most. On a shared machine one configuration
  moves by a factor of 1.3 to 2 between rounds.

A power cut cannot be tried here; what SIGKILL leaves is tried by the crash suites.
"""

FIGURES = {
    "raw_receive": "raw receive, one event in a frame",
    "raw_receive_batched": "raw receive, {frame_events} events in a frame",
    "durable_receive": "durable receive, {frame_events} events in a frame",
    "durable_receive_acked": "the same, until the last acknowledgement only",
    "durable_receive_cpu": "the same, processor time of the sidecar for an event",
    "durable_receive_per_ack": "the same, events for each acknowledgement",
    "durable_receive_filled": "durable receive with {known_ids:,} ids in the log",
    "durable_receive_single": "durable receive, one event in a frame",
    "naive_receive": "naive design",
    "naive_receive_one_commit": "naive design with one commit",
    "drain": "draining the outbox",
    "one_by_one": "one by one",
    "push_concurrent": "{pushers} pushers on the outbox",
    "push_sequential": "one pusher on the outbox",
    "pack_push_concurrent": "{pushers} pushers in a pack",
    "pack_push_sequential": "one pusher in a pack",
    "ack_p50": "send to acknowledgement, median",
    "ack_p99": "send to acknowledgement, 99th percentile",
    "fdatasync_p50": "append and fdatasync, median",
    "fdatasync_p99": "append and fdatasync, 99th percentile",
    "durable_receive_rss": "peak memory, flood",
    "durable_receive_filled_rss": "peak memory, flood on the filled log",
    "durable_receive_single_rss": "peak memory, flood with one event in a frame",
    "million_queued_rss": "peak memory, {queued_memory:,} events queued",
    "idle_rss": "memory right after the start",
    "help": "`conductor --help`",
    "ready": "control socket answers",
    "ready_cpu": "the same, processor time",
    "link_open": "link is open",
}
"""Figures of the second table, in its order."""


def write_report(directory: Path) -> None:
    """Write the README and the plot beside the results."""
    results = read_results(directory)
    (directory / "README.md").write_text(render(results), encoding="utf-8")
    draw(results, directory / PLOT)


def render(results: Mapping[str, Any]) -> str:
    """Return the README."""
    from benchmarks import workload

    sizes = results["sizes"]
    method = METHOD.format(event_bytes=workload.EVENT_BYTES, senders=workload.SENDERS, **sizes)
    parts = [
        INTRODUCTION, "\n".join(_promises(results)), "\n".join(_missed(results)),
        f"![What was promised, and the rates behind it]({PLOT})\n",
        "\n".join(_figures(results)), method, "\n".join(_machine(results)),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _promises(results: Mapping[str, Any]) -> Iterator[str]:
    yield "| Key | What | Target | Measured | Spread | |"
    yield "|---|---|---|---|---|---|"
    for target in TARGETS:
        spread = results["spread"].get(target.key)
        what = f"| `{target.key}` | {target.meaning} | {_bound(target)} |"
        if spread is None:
            yield f"{what} not told by this machine | | |"
            continue
        verdict = "met" if target.met(spread["median"]) else "**not met**"
        measured = f"{spread['median']:.3g}{_unit(target)}"
        yield f"{what} {measured} | {spread['min']:.3g} to {spread['max']:.3g} | {verdict} |"
    yield ""


def _missed(results: Mapping[str, Any]) -> Iterator[str]:
    missed = [
        target
        for target in TARGETS
        if (spread := results["spread"].get(target.key)) and not target.met(spread["median"])
    ]
    if not missed:
        yield "Every target is met.\n"
        return
    yield "What is not met, and why:\n"
    for target in missed:
        yield f"- `{target.key}`: {target.reason or 'no reason is known yet.'}"
    yield ""


def _figures(results: Mapping[str, Any]) -> Iterator[str]:
    yield "## The figures behind it\n"
    yield "| Figure | Median | Least | Most | Runs | |"
    yield "|---|---:|---:|---:|---:|---|"
    for name, title in FIGURES.items():
        figure = results["figures"].get(name)
        if figure is not None:
            numbers = " | ".join(_number(figure[key]) for key in ("median", "min", "max"))
            text = title.format(**results["sizes"])
            yield f"| {text} | {numbers} | {len(figure['runs'])} | {figure['unit']} |"
    yield ""


def _machine(results: Mapping[str, Any]) -> Iterator[str]:
    machine, load = results["machine"], results["load_average"]
    yield "## The machine\n"
    yield (
        f"{results['date'][:10]}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']:g} GB, {machine['system']}; "
        + ", ".join(f"{name} {number}" for name, number in results["versions"].items())
        + f". The run took {results['took_s']} s; the load average was {load['least']:.2f} to "
        f"{load['most']:.2f}."
    )
    if load["least"] > QUIET_LOAD:
        yield (
            "\nOther programs kept the machine busy during the whole run: times are longer and "
            "rates lower than it can do, and ratios are less certain."
        )
    yield ""


def _bound(target: Target) -> str:
    return f"{'≥' if target.bound == 'at least' else '≤'} {target.value:g}{_unit(target)}"


def _unit(target: Target) -> str:
    return f" {target.unit}" if target.unit else ""


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
