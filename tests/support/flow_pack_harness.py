"""The flows pack in the harness: asked, worked, waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from conductor_packs.flows.background import run_background
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Outcome
from conductor_sdk.testing import PackHarness
from conductor_sdk.tool_output import ToolOutput
from flow_pack_world import RUN

Make = Callable[..., PackHarness]


def event(kind: str, number: int = 1, **payload: Any) -> KernelEvent:
    return KernelEvent(2, kind, f"evt-{number}", "2026-01-01T00:00:00Z", "ws-test", payload)


async def ask(harness: PackHarness, flow: str, number: int = 1, **fields: Any) -> Outcome:
    given = {"flow": flow, "payload": {"item": "tea"}, **fields}
    return await harness.deliver(event(RUN, number, **given))


def told(harness: PackHarness, kind: str) -> list[dict[str, Any]]:
    return [each.payload for each in harness.pushed if each.kind == kind]


async def until(reached: Callable[[], Any]) -> Any:
    async with asyncio.timeout(20):
        while not (found := reached()):  # noqa: ASYNC110  what is waited for is in a list
            await asyncio.sleep(0.002)
    return found


@contextlib.asynccontextmanager
async def at_work(harness: PackHarness) -> AsyncIterator[None]:
    """The background task, for as long as the block lasts."""
    working = asyncio.ensure_future(run_background(harness.context))
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait([working])


async def ended(harness: PackHarness, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """Work until so many runs are told of."""
    async with at_work(harness):
        await until(lambda: len(told(harness, kind)) >= count)
    return told(harness, kind)


def code(answer: ToolOutput) -> str | None:
    return None if answer.error is None else answer.error.code
