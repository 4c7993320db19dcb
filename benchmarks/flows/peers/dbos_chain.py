"""The chain as a DBOS workflow of ten steps, with its system database in SQLite.

Promise: what each step gave is in the database before the next begins. Refusal: no queue, no admin
server, no telemetry.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from dbos import DBOS

from benchmarks.flows.answering import answer
from benchmarks.flows.work import NODES, must_be_through, stepped


@DBOS.step()
async def step(value: dict[str, int]) -> dict[str, int]:
    """Do the work of one node."""
    return stepped(value)


@DBOS.workflow()
async def chain(value: dict[str, int]) -> dict[str, int]:
    """Go through ten steps."""
    for _ in range(NODES):
        value = await step(value)
    return value


async def strong(items: int) -> None:
    """Run each item by itself."""
    for _ in range(items):
        must_be_through(await chain({"n": 0}))


async def main() -> None:
    """Answer."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        database = f"sqlite:///{Path(folder) / 'dbos.sqlite'}"
        DBOS(config={"name": "chain", "system_database_url": database, "run_admin_server": False,
                     "log_level": "ERROR"})  # fmt: skip
        logging.getLogger("dbos").setLevel(logging.ERROR)
        DBOS.launch()
        await answer({"strong": strong}, version=version("dbos"))
        DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main())
