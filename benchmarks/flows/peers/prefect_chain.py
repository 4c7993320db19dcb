"""The chain as a Prefect flow of ten tasks, against a server that it starts itself.

Promise: every state of the flow and of its tasks goes to the server, which keeps them in SQLite.
Refusal: results are not kept, logs are not sent, nothing is told to anybody else.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from importlib.metadata import version

from benchmarks.flows.answering import answer
from benchmarks.flows.work import NODES, must_be_through, stepped

SETTINGS = {
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true", "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL", "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90", "PREFECT_CLI_COLORS": "false",
}  # fmt: skip


async def main() -> None:
    """Answer."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1], ignore_cleanup_errors=True) as folder:
        os.environ.update({**SETTINGS, "PREFECT_HOME": folder})
        from prefect import flow, task  # settings are read at import

        @task
        async def step(value: dict[str, int]) -> dict[str, int]:
            return stepped(value)

        @flow
        async def chain(value: dict[str, int]) -> dict[str, int]:
            for _ in range(NODES):
                value = await step(value)
            return value

        async def states(items: int) -> None:
            for _ in range(items):
                must_be_through(await chain({"n": 0}))

        await answer({"states": states}, warm=1, version=version("prefect"))


if __name__ == "__main__":
    asyncio.run(main())
