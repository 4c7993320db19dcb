"""The chain as a Hamilton DAG on its asynchronous driver.

Promise: ten asynchronous functions, each named as what it gives. Refusal: no adapter, no tracking,
no cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from hamilton import ad_hoc_utils, async_driver

from benchmarks.flows.answering import answer
from benchmarks.flows.work import NODES, must_be_through, stepped


def step(number: int) -> Callable[..., Any]:
    """Return a function whose argument is the name of the one before it."""
    before = f"step{number - 1}"
    made: dict[str, Any] = {"stepped": stepped}
    text = f"async def step{number}({before}: dict) -> dict: return stepped({before})"
    exec(text, made)  # the names of arguments are the edges
    found: Callable[..., Any] = made[f"step{number}"]
    return found


async def main() -> None:
    """Answer."""
    functions = [step(number) for number in range(1, NODES + 1)]
    module = ad_hoc_utils.create_temporary_module(*functions, module_name="chain")
    driver = await async_driver.Builder().with_modules(module).build()
    last = f"step{NODES}"

    async def run(items: int) -> None:
        for _ in range(items):
            given = await driver.execute([last], inputs={"step0": {"n": 0}})
            must_be_through(given[last])

    await answer({"run": run}, version=version("sf-hamilton"))


if __name__ == "__main__":
    asyncio.run(main())
