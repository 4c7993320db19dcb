"""A million items through bounded edges: does memory stay where it is?

Promise: the resident size is read after the first tenth and after the last item, of a process that
does nothing else; `tracemalloc` is off. Refusal: nothing is collected or trimmed before a reading.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from benchmarks.flows.answering import answer
from benchmarks.flows.chain_ours import chain
from benchmarks.flows.session import Session, answering
from conductor_flows.execute.runner import Invocation, Runner, default_ends

NODES = 3
ITEMS = 1_000_000
QUICK_ITEMS = 5_000


def measure(session: Session) -> None:
    """Send the items once: a ratio of two moments of one process needs no rounds."""
    items = QUICK_ITEMS if session.quick else ITEMS
    session.part(f"{items:,} items through a flow of {NODES} nodes")
    with answering(session, "benchmarks.flows.flat") as process:
        told = process.ask("flat", items)
    session.add("flat_first_tenth", "MB", told["first_mb"])
    session.add("flat_end", "MB", told["end_mb"])
    session.add("flat_peak", "MB", told["peak_mb"])
    session.add("flat_time", "s", told["took_s"])


async def flat(items: int) -> dict[str, Any]:
    """Send all items through one instance, and read the memory."""
    runner = Runner(chain(nodes=NODES).program())
    ends = default_ends(runner.program.flow)
    bound = runner.bound(ends)
    instance = runner.instance(bound, runner.info(Invocation(None), ends))

    async def send() -> None:
        for _ in range(items):
            await instance.send({"n": 0})

    sending, first_mb = asyncio.create_task(send()), 0.0
    for number in range(items):
        await instance.next()
        if number == items // 10:
            first_mb = _memory_mb("VmRSS")
    await sending
    end_mb = _memory_mb("VmRSS")
    await instance.cancel("done")
    return {"first_mb": first_mb, "end_mb": end_mb, "peak_mb": _memory_mb("VmHWM")}


def _memory_mb(name: str) -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    assert "tracemalloc" not in sys.modules or not sys.modules["tracemalloc"].is_tracing()
    asyncio.run(answer({"flat": flat}))
