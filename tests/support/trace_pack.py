"""The pack of the tracing suite: the first attempt fails, the second hangs, the third works.

What it has tried stands in a file of the workspace, so that it knows after a SIGKILL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from conductor_sdk.context import PackContext
from conductor_sdk.event import KernelEvent
from conductor_sdk.handler import Handled, Outcome, Reject, Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.tool import ToolContext
from conductor_sdk.tool_output import ToolOutput, succeeded

SLUG = "trace-pack"
ASKED = "conductor:trace_asked"
DONE = "trace-pack:thing_done"
NOTED = "trace-pack:thing_noted"
TOOL = "trace:note"


async def on_asked(event: KernelEvent, ctx: PackContext) -> Outcome:
    ctx.log.info("asked", attempt_of=event.event_id)
    what = event.payload.get("do", "work")
    marks = ctx.workspace / f"{event.event_id}.attempts"
    tried = int(marks.read_text()) if marks.exists() else 0
    marks.write_text(str(tried + 1))
    match what, tried:
        case "stumble", 0:
            raise RuntimeError("the first attempt fails")
        case "stumble", 1:
            (ctx.workspace / "hangs").touch()
            await asyncio.Event().wait()
        case "reject", 0:
            return Reject("not the first time")
        case _:
            pass
    (ctx.workspace / "traceparent").write_text(ctx.traceparent or "none")
    await ctx.tools.call(TOOL, {})
    await ctx.push(DONE, {"n": event.payload["n"]}, key=event.event_id)
    return Handled()


async def note(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Push an event out of a tool."""
    await ctx.push(NOTED, {})
    return succeeded({})


pack = Pack(
    manifest=PackManifest.from_mapping({
        "id": SLUG, "version": "1.0.0", "emitted_event_kinds": [DONE, NOTED],
        "subscribed_event_kinds": [ASKED],
        "backpressure_policy": {DONE: "queue", NOTED: "queue"},
        "tools": [{
            "name": TOOL, "entry": "trace_pack:note", "description": "Notes.",
            "required_scopes": [{"type": "path", "pattern": "**", "access": "read"}],
        }],
    }),
    handlers={ASKED: Subscription(handler=on_asked, max_attempts=5)},
)  # fmt: skip
