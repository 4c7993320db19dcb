"""The pack that the measured sidecar runs: a handler that does nothing, and pushers.

It reaches the daemon as any pack does, by an entry point of the group `conductor.packs`; see
`daemon`. What its pushers do stands in the workspace's `conductor.toml`, section `pack.bench`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.workload import KIND_DOWN, KIND_UP, event_bodies
from conductor_sdk import Handled, KernelEvent, Outcome, Pack, PackContext, PackManifest
from conductor_sdk.event import parse_event
from conductor_sdk.tool import ToolContext
from conductor_sdk.tool_output import ToolOutput, succeeded

DONE = Handled("done")


async def on_job_requested(_event: KernelEvent, _ctx: PackContext) -> Outcome:
    """Answer at once: what is measured is the way to the handler and back."""
    return DONE


async def echo(given: Mapping[str, Any], _ctx: ToolContext) -> ToolOutput:
    """Answer at once: what is measured is the way to the tool and back."""
    return succeeded({"echo": given["text"]})


async def push(ctx: PackContext) -> None:
    """Push one event at a time, first alone, then with many tasks; write down the seconds."""
    alone, pushers, each = (ctx.config.get(name, 0) for name in ("alone", "pushers", "each"))
    if not alone:
        return
    events = _events(ctx, alone + pushers * each)
    began = time.monotonic()
    await _push_all(ctx, events[:alone])
    middle = time.monotonic()
    shares = [events[alone + n * each : alone + (n + 1) * each] for n in range(pushers)]
    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(_push_all(ctx, share))
    ended = time.monotonic()
    result = {"alone_s": middle - began, "together_s": ended - middle}
    await asyncio.to_thread(
        Path(ctx.config["result"]).write_text, json.dumps(result), encoding="utf-8"
    )


def _events(ctx: PackContext, count: int) -> list[KernelEvent]:
    return [parse_event(body) for body in event_bodies(count, kind=KIND_UP, subject=ctx.subject)]


async def _push_all(ctx: PackContext, events: list[KernelEvent]) -> None:
    for event in events:
        await ctx.sync_port.push_kernel_events([event])


pack = Pack(
    manifest=PackManifest.from_mapping({
        "id": "bench", "version": "0.1.0", "config_key": "bench",
        "emitted_event_kinds": [KIND_UP],
        "subscribed_event_kinds": [KIND_DOWN],
        "backpressure_policy": {KIND_UP: "queue"},
        "tools": [{
            "name": "bench:echo", "entry": "benchmarks.pack:echo", "permission": "read",
            "description": "Return the text.",
            "required_scopes": [{"type": "path", "pattern": "bench/**", "access": "read"}],
            "input_schema": {
                "type": "object", "additionalProperties": False, "required": ["text"],
                "properties": {"text": {"type": "string", "maxLength": 1000}},
            },
            "output_schema": {
                "type": "object", "required": ["echo"],
                "properties": {"echo": {"type": "string"}},
            },
        }],
    }),
    handlers={KIND_DOWN: on_job_requested},
    background=push,
)  # fmt: skip
