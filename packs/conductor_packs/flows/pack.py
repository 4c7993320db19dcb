"""The flows pack as the registry finds it.

Promise: `pack` is data, read from the manifest beside it. Refusal: importing this module imports
no flow and nothing that runs one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from conductor_packs.flows import kinds
from conductor_packs.flows.context import FlowsContext
from conductor_packs.flows.requests import ApproveRequest, RetryRequest, RunRequest, SignalRequest
from conductor_sdk import (
    Ignored,
    KernelEvent,
    Outcome,
    Pack,
    PackContext,
    PackManifest,
    Subscription,
)
from conductor_sdk.manifest_tools import ToolManifest
from conductor_sdk.pack import ToolLeftOut

NONE: Final = "no flow is configured"


def _tools(config: Mapping[str, Any]) -> Sequence[ToolManifest]:
    """Return the tools where there is something to run."""
    if not config.get("flows"):
        return ()
    from conductor_packs.flows.toolset import manifests

    return manifests(config)


def _tools_in(
    config: Mapping[str, Any], workspace: Path
) -> Sequence[ToolManifest | ToolLeftOut]:  # fmt: skip
    """Return a tool for each flow, where there are any."""
    if not config.get("flows"):
        return ()
    from conductor_packs.flows.offered import offered

    return offered(config, workspace)


async def _background(ctx: PackContext) -> None:
    """Carry runs out."""
    from conductor_packs.flows.background import run_background

    await run_background(ctx)


async def _run(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    if not await ctx.prepared():
        return Ignored(NONE)
    from conductor_packs.flows.handlers import on_run

    return await on_run(event, ctx)


async def _signal(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    if not await ctx.prepared():
        return Ignored(NONE)
    from conductor_packs.flows.handlers import on_signal

    return await on_signal(event, ctx)


async def _approve(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    if not await ctx.prepared():
        return Ignored(NONE)
    from conductor_packs.flows.handlers import on_approve

    return await on_approve(event, ctx)


async def _retry(event: KernelEvent, ctx: FlowsContext) -> Outcome:
    if not await ctx.prepared():
        return Ignored(NONE)
    from conductor_packs.flows.handlers import on_retry

    return await on_retry(event, ctx)


def _word(event: KernelEvent, field: str) -> str:
    """Read a field of a payload that nobody has checked yet, or that has its type."""
    payload = event.payload
    found = payload.get(field) if isinstance(payload, dict) else getattr(payload, field, None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # JSON is honest Any
    return found if isinstance(found, str) else ""


pack = Pack(
    manifest=PackManifest.from_yaml(Path(__file__).with_name("manifest.yaml")),
    handlers={
        # In order for one flow, and for one token; a flow that is being loaded holds up its own.
        kinds.RUN: Subscription(
            handler=_run, payload=RunRequest, partition_key=lambda event: _word(event, "flow")
        ),
        kinds.SIGNAL: Subscription(
            handler=_signal, payload=SignalRequest,
            partition_key=lambda event: _word(event, "token"),
        ),
        kinds.APPROVE: Subscription(
            handler=_approve, payload=ApproveRequest,
            partition_key=lambda event: _word(event, "token"),
        ),
        kinds.RETRY: Subscription(
            handler=_retry, payload=RetryRequest,
            partition_key=lambda event: _word(event, "run_id"),
        ),
    },
    context=FlowsContext,
    background=_background,
    toolset=_tools,
    tools_in=_tools_in,
    samples={
        kinds.RUN: [{"flow": "echo", "payload": {"value": "HeLLo"}}],
        kinds.SIGNAL: [{"token": "a-token", "payload": {"paid": True}}],
        kinds.APPROVE: [{"token": "a-token", "approved": True, "approver": "ann"}],
        kinds.RETRY: [{"run_id": "run-1"}],
    },
)  # fmt: skip
