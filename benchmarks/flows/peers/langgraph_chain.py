"""The chain as a LangGraph graph.

Promise: `run` keeps nothing; `strong` has a checkpoint in SQLite before the next node begins
(`durability="sync"`). Refusal: no tracing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.flows.answering import answer
from benchmarks.flows.work import NODES, must_be_through, stepped


class State(TypedDict):
    """What goes from node to node."""

    n: int


async def step(value: State) -> Any:
    """Do the work of one node."""
    return stepped(value)


def chain() -> StateGraph[Any]:
    """Return ten nodes in a row."""
    graph = StateGraph(State)
    names = [f"step{number}" for number in range(NODES)]
    for name in names:
        graph.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph


async def main() -> None:
    """Answer."""
    plain, numbers = chain().compile(), count()

    async def run(items: int) -> None:
        for _ in range(items):
            must_be_through(await plain.ainvoke({"n": 0}))

    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        path = str(Path(folder) / "langgraph.db")
        async with AsyncSqliteSaver.from_conn_string(path) as saver:
            kept = chain().compile(checkpointer=saver)

            async def strong(items: int) -> None:
                for _ in range(items):
                    thread = {"configurable": {"thread_id": str(next(numbers))}}
                    given = await kept.ainvoke({"n": 0}, thread, durability="sync")
                    must_be_through(given)

            await answer({"run": run, "strong": strong}, version=version("langgraph"))


if __name__ == "__main__":
    asyncio.run(main())
