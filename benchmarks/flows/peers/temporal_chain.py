"""The chain as a Temporal workflow of ten local activities, against its development server.

Promise: where the server can be started, every activity's result is in its history (SQLite in
memory, as `temporal server start-dev` has it). Refusal: where the library cannot fetch the server,
the process ends with what the library said.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from datetime import timedelta
from importlib.metadata import version

from temporalio import activity, workflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.flows.answering import answer
from benchmarks.flows.work import NODES, must_be_through, stepped

QUEUE = "chain"
LIMIT = timedelta(seconds=10)


@activity.defn
async def step(value: dict[str, int]) -> dict[str, int]:
    """Do the work of one node."""
    return stepped(value)


@workflow.defn
class Chain:
    """Ten activities in a row."""

    @workflow.run
    async def run(self, value: dict[str, int]) -> dict[str, int]:
        """Go through them."""
        for _ in range(NODES):
            value = await workflow.execute_activity(step, value, start_to_close_timeout=LIMIT)
        return value


async def main() -> None:
    """Answer."""
    try:
        starting = await WorkflowEnvironment.start_local(ui=False)
    except RuntimeError as error:
        sys.stderr.write(str(error).partition(" for url")[0] + "\n")
        sys.stderr.flush()
        os._exit(1)  # what the library leaves running may crash at an orderly end
    runner = UnsandboxedWorkflowRunner()
    async with starting as env, Worker(
        env.client, task_queue=QUEUE, workflows=[Chain], activities=[step], workflow_runner=runner
    ):  # fmt: skip

        async def strong(items: int) -> None:
            for _ in range(items):
                name = uuid.uuid4().hex
                given = await env.client.execute_workflow(
                    Chain.run, {"n": 0}, id=name, task_queue=QUEUE
                )
                must_be_through(given)

        await answer({"strong": strong}, warm=1, version=version("temporalio"))


if __name__ == "__main__":
    asyncio.run(main())
