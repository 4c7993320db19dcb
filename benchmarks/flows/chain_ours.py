"""The chain as a flow.

Promise: `run` is `Runner.run` for each item; `stream` is one instance that all items go through;
`strong` is `run` with a checkpoint in SQLite after every node. Refusal: no setting is made that a
host does not make.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Literal

from benchmarks.flows.answering import answer
from benchmarks.flows.work import CAPACITY, NODES, must_be_through, stepped
from conductor_flows import Flow, node, trigger
from conductor_flows.durable.services import in_sqlite
from conductor_flows.execute.outcomes import Value
from conductor_flows.execute.runner import Invocation, Runner, default_ends
from conductor_flows.execute.services import Services


@trigger(summary="The first node")
async def first(value: dict[str, int]) -> dict[str, int]:
    """Do the work of the first node."""
    return stepped(value)


@node(effects="pure", determinism="strict", summary="One of the others")
async def step(value: dict[str, int]) -> dict[str, int]:
    """Do the work of one node."""
    return stepped(value)


def chain(durability: Literal["off", "strong"] = "off", nodes: int = NODES) -> Flow:
    """Return a flow of that many nodes in a row."""
    flow = Flow("chain", "1.0.0", durability=durability)
    last = flow.add(first)
    for number in range(1, nodes):
        following = flow.add(step, alias=f"step{number}")
        flow.connect(last, following)
        flow.buffer(last, following, max_items=CAPACITY)
        last = following
    return flow


async def stream(runner: Runner, items: int) -> None:
    """Send all items through one instance."""
    ends = default_ends(runner.program.flow)
    bound = runner.bound(ends)
    instance = runner.instance(bound, runner.info(Invocation(None), ends))

    async def send() -> None:
        for _ in range(items):
            await instance.send({"n": 0})

    sending = asyncio.create_task(send())
    for _ in range(items):
        must_be_through((await instance.next())[1])
    await sending
    await instance.cancel("done")


async def run(runner: Runner, items: int) -> None:
    """Run each item by itself."""
    for _ in range(items):
        outcome = await runner.run(Invocation({"n": 0}))
        assert isinstance(outcome, Value)
        must_be_through(outcome.value)


async def main() -> None:
    """Answer."""
    plain = Runner(chain().program())
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        durability = in_sqlite(Path(folder) / "checkpoints.db")
        strong = Runner(chain("strong").program(), Services(durability=durability))
        await answer({
            "stream": lambda items: stream(plain, items),
            "run": lambda items: run(plain, items),
            "strong": lambda items: run(strong, items),
        })  # fmt: skip
        await durability.close()


if __name__ == "__main__":
    asyncio.run(main())
