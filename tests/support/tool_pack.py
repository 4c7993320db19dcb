"""A pack of tools for tests of what stands around the tool host.

`Bench` is the test's view of it; a test puts a fresh one into `bench` before the first call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor_sdk.context import JournalTransaction
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.tool import ToolContext
from conductor_sdk.tool_output import ToolOutput, failed, succeeded
from conductor_sdk.webhook import WebhookAnswer

SLUG = "tool-pack"
READ = {"type": "path", "pattern": ".bench/**", "access": "read"}


@dataclass
class Bench:
    """What the tools saw, and the gate at which one of them waits."""

    inputs: list[Mapping[str, Any]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)


bench = Bench()


async def echo(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Answer with the input and how often it was called."""
    here = bench
    here.inputs.append(dict(given))
    return succeeded({"given": dict(given), "calls": len(here.inputs)})


async def wait(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Wait at the gate."""
    here = bench
    here.inputs.append(dict(given))
    try:
        await here.gate.wait()
    except asyncio.CancelledError:
        here.ended.append("cancelled")
        raise
    here.ended.append("done")
    return succeeded()


async def missing(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Find nothing."""
    return failed("NOT_FOUND", "no such thing", details={"id": "x"})


async def note(given: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Write into the pack's table and the journal, in one commit; then call another tool."""

    def work(transaction: JournalTransaction) -> int:
        transaction.connection.execute("CREATE TABLE IF NOT EXISTS tool_pack_notes (text)")
        transaction.connection.execute("INSERT INTO tool_pack_notes VALUES (?)", (given["text"],))
        return transaction.append("NOTED", {"text": given["text"]}, actor="ann").sequence

    sequence = await ctx.journal.transaction(work)
    inner = await ctx.tools.call("bench:echo", {"n": 5})
    return succeeded(
        {"sequence": sequence, "inner": inner.success, "names": len(ctx.tools.names())}
    )


def _tool(name: str, function: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "entry": f"tool_pack:{function}", "required_scopes": [READ], **fields}


TEXT = {
    "type": "object", "required": ["text"],
    "properties": {"text": {"type": "string", "description": "What to write."}},
}  # fmt: skip
PREVIEWED = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "dry_run": {"type": "boolean"}},
}  # fmt: skip
pack = Pack(
    PackManifest.from_mapping({
        "id": SLUG, "version": "1.0.0", "required_approvals": ["tool-pack:leave"],
        "tools": [
            _tool("bench:echo", "echo", description="Says it again.", input_schema=PREVIEWED),
            _tool("bench:wait", "wait"),
            _tool("bench:missing", "missing"),
            _tool("bench:note", "note", input_schema=TEXT),
            _tool("bench:leave", "echo", required_approvals=["tool-pack:leave"]),
            _tool("bench:inside", "echo", internal_only=True),
        ],
    })
)  # fmt: skip


async def received(name: str, headers: Mapping[str, str], body: bytes, ctx: Any) -> WebhookAnswer:
    """Answer with what came."""
    return WebhookAnswer(202, {"name": name, "body": body.decode()})


hooked = Pack(
    PackManifest(id="hooked", version="1.0.0"),
    webhooks={"*": received}, provides=["sidekick-channel"],
)  # fmt: skip
needy = Pack(PackManifest(id="needy", version="1.0.0", surfaces_required=["sidekick-channel"]))
