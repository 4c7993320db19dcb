"""The pack's tools.

Promise: the same runs as by events, with the same keys and the same records; an answer that is too
late is found under its run. Refusal: no token is given to a caller: whoever runs a flow does not
approve it by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from conductor_flows.ir.terms import Effects
from conductor_packs.flows.context import FlowsContext
from conductor_packs.flows.engine import Engine
from conductor_packs.flows.errors import EffectsDenied, RunUnknown
from conductor_packs.flows.library import Loaded
from conductor_packs.flows.records import Run
from conductor_packs.flows.requests import RunRequest
from conductor_sdk.clock import from_epoch_ms, wire_time
from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.tool import ToolContext
from conductor_sdk.tool_output import ToolOutput, failed, succeeded

WAIT_S: Final = 20.0


async def run(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Run a flow: `flows:run`."""
    return await _run(fields, ctx, Effects.EFFECTFUL)


async def ask(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Run a flow that changes nothing: `flows:ask`."""
    return await _run(fields, ctx, Effects.READ_ONLY)


async def _run(fields: Mapping[str, Any], ctx: ToolContext, most: Effects) -> ToolOutput:
    given = {name: value for name, value in fields.items() if name != "wait_s"}
    try:
        engine, request = _engine(ctx), msgspec.convert(given, RunRequest)
        loaded = await engine.shelf.get(request.flow)
        if loaded.effects.rank > most.rank:
            raise EffectsDenied(f"{request.flow} is {loaded.effects}")
        # Before anything is kept: a caller who is there corrects what does not fit.
        ends = loaded.ends(request.entrypoint)
        bound = loaded.bound(ends)
        bound.handlers[bound.plan.trigger].takes.decode(request.payload)
        wait_s = float(fields.get("wait_s", WAIT_S))
        found = await engine.run_now(request, ctx.call.call_id, wait_s)
    except ConductorError as error:
        return told_of(error)
    return _rested(found)


def _rested(run: Run) -> ToolOutput:
    if run.state == "failed":
        fault = run.fault
        return failed(fault.code, fault.message, details=fault.details, data=_shown(run))
    return succeeded(_shown(run))


async def status(_fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """List the flows: `flows:status`."""
    try:
        engine = _engine(ctx)
        counts = await engine.runs.counts()
        flows = [{**await _state(engine, name), "runs": counts.get(name, {})}
                 for name in engine.shelf.names]  # fmt: skip
    except ConductorError as error:
        return told_of(error)
    return succeeded({"healthy": all(each["state"] == "ready" for each in flows), "flows": flows})


async def _state(engine: Engine, name: str) -> dict[str, Any]:
    said = {"name": name, "spec": engine.shelf.spec(name)}
    try:
        loaded = await engine.shelf.get(name)
        services = await _preflighted(engine, loaded)
    except ConductorError as error:
        fault = {"code": error.code, "message": error.message, "hint": error.hint}
        return {**said, "state": "broken", "error": fault}
    return {**said, **services, "state": "ready"}


async def _preflighted(engine: Engine, loaded: Loaded) -> dict[str, Any]:
    """Look whether everything is bound that the flow asks for."""
    from conductor_flows.execute.runner import Runner

    async with engine.workshop.open():
        Runner(loaded.program, await engine.workshop.services(loaded.flow)).preflight()
    return {"version": loaded.flow.version, "code_hash": loaded.code_hash,
            "effects": str(loaded.effects)}  # fmt: skip


async def describe(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Describe a flow: `flows:describe`."""
    try:
        loaded = await _engine(ctx).shelf.get(str(fields["flow"]))
        entrypoints = [_entrypoint(loaded, alias) for alias in loaded.ways_in()]
    except ConductorError as error:
        return told_of(error)
    flow = loaded.flow
    hints = {hint for node in flow.nodes for hint in node.effect_hints}
    return succeeded({
        "name": loaded.name, "flow": flow.name, "version": flow.version, "id": flow.id,
        "summary": flow.summary, "code_hash": loaded.code_hash, "effects": str(loaded.effects),
        "durability": str(flow.policies.durability.mode), "needs": sorted(hints),
        "entrypoints": entrypoints,
        "nodes": [{"alias": node.alias, "kind": str(node.kind), "summary": node.summary}
                  for node in flow.nodes],
    })  # fmt: skip


def _entrypoint(loaded: Loaded, name: str | None) -> dict[str, Any]:
    ends = loaded.ends(name)
    bound = loaded.bound(ends)
    return {
        "trigger": ends.trigger, "capture": ends.capture,
        "takes": bound.handlers[bound.plan.trigger].takes.schema(),
        "gives": bound.handlers[bound.plan.capture].gives.schema(),
    }  # fmt: skip


async def runs(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """List runs: `flows:runs`."""
    try:
        found = await _engine(ctx).runs.recent(
            int(fields.get("limit", 20)), flow=str(fields.get("flow", "")),
            state=str(fields.get("state", "")),
        )  # fmt: skip
    except ConductorError as error:
        return told_of(error)
    return succeeded({"runs": [_listed(each) for each in found]})


async def show(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Show a run: `flows:show`."""
    run_id = str(fields["run_id"])
    try:
        found = await _engine(ctx).runs.get(run_id)
        if found is None:
            raise RunUnknown(run_id)
    except ConductorError as error:
        return told_of(error)
    return succeeded(_shown(found))


async def signal(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Answer a run that waits: `flows:signal`."""
    try:
        engine = _engine(ctx)
        found = await engine.answers.take(
            str(fields["token"]), lambda _: fields.get("payload"), said_by=ctx.call.actor,
            once=f"call:{ctx.call.call_id}",
        )  # fmt: skip
        if found is None:
            raise RunUnknown(ctx.call.call_id)
        engine.wake()
        return succeeded(_listed(await engine.runs.get(found.run_id) or found))
    except ConductorError as error:
        return told_of(error)


async def retry(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Try a run that failed again: `flows:retry`."""
    try:
        found = await _engine(ctx).retry_now(
            str(fields["run_id"]), said_by=ctx.call.actor, once=f"call:{ctx.call.call_id}",
            wait_s=float(fields.get("wait_s", WAIT_S)),
        )  # fmt: skip
    except ConductorError as error:
        return told_of(error)
    return _rested(found)


def _engine(ctx: ToolContext) -> Engine:
    own: FlowsContext = ctx.pack
    return own.engine


def _listed(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "flow": run.flow, "flow_version": run.version, "state": run.state,
        "event_id": run.event_id, "took_ms": run.took_ms,
        "since": wire_time(from_epoch_ms(run.changed_ms)),
    }  # fmt: skip


def _shown(run: Run) -> dict[str, Any]:
    said = {**_listed(run), "code_hash": run.code_hash, "starts": run.starts,
            "nodes": msgspec.json.decode(run.nodes)}  # fmt: skip
    match run.state:
        case "completed":
            said["result"] = msgspec.json.decode(run.outcome or b"null")
        case "failed":
            said["error"] = msgspec.to_builtins(run.fault)
            if run.checkpoint_id is not None:
                said["checkpoint_id"] = run.checkpoint_id
        case "halted":
            said["checkpoint_id"] = run.checkpoint_id
            said["waits"] = msgspec.to_builtins(run.waits)
        case "queued" | "running":
            pass
    return said


def told_of(error: ConductorError) -> ToolOutput:
    """Return the answer that tells an error."""
    code = {Exit.USAGE: "INVALID_INPUT", Exit.NOT_FOUND: "NOT_FOUND"}.get(
        error.exit_code, error.code
    )
    details = {"code": error.code, "hint": error.hint, **error.data}
    return failed(code, error.message, details=details)
