"""The operations as tools: what the manifest says of each, and the one entry behind all.

Promise: the schema of a tool is made from the request that it takes, so that both always agree.
Refusal: permissions, scopes and approvals are the tool host's; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from conductor_packs.plan.batch import Caller
from conductor_packs.plan.operations import APPLY_SCENARIO, OPERATIONS, Desk, Operation, perform
from conductor_packs.plan.requests import Patch
from conductor_packs.plan.settings import settings
from conductor_packs.plan.store import Plans
from conductor_sdk.errors import ConductorError, Exit
from conductor_sdk.manifest_tools import NetworkScope, PathScope, ToolManifest
from conductor_sdk.tool import Tool, ToolContext
from conductor_sdk.tool_output import ToolOutput, failed, succeeded

_ENTRY: Final = "conductor_packs.plan.tools:run"
_NOTHING: Final = NetworkScope(type="network", posture="off")
"""Plans stand in the journal, which is no file that a tool can reach."""
_SCENARIOS: Final = (
    PathScope(type="path", pattern="scenarios/**", access="read"),
    PathScope(type="path", pattern="scenarios/**", access="write"),
)
"""It only reads there; where nothing may be written, no plan is made from it either."""
_CONTROLS: Final[Mapping[str, Any]] = {
    "dry_run": {
        "type": "boolean", "default": False,
        "description": "Answer what would be done, and do nothing.",
    },
    "idempotency_key": {
        "type": "string", "minLength": 1, "maxLength": 256,
        "description": "The same request with the same key is done once.",
    },
    "agent": {
        "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9_. @-]+$",
        "description": "Which agent asks, where several share one credential.",
    },
}  # fmt: skip
_BY_TOOL: Final = {operation.tool: operation for operation in OPERATIONS}


async def run(fields: Mapping[str, Any], ctx: ToolContext) -> ToolOutput:
    """Do what the called tool is for; a `conductor_sdk.tool.Tool`."""
    operation = _BY_TOOL[ctx.call.tool]
    call = ctx.call
    agent = str(fields.get("agent") or "")
    actor = f"{call.actor}/{agent}" if agent else call.actor
    caller = Caller(actor, call.session_id or "", call.task_id or "", agent)
    desk = Desk(Plans(ctx.journal, ctx.clock, settings(ctx.config)), caller, ctx.workspace)
    own = {name: value for name, value in fields.items() if name not in _CONTROLS}
    dry_run = call.dry_run or fields.get("dry_run") is True
    key = cast("str | None", fields.get("idempotency_key"))
    try:
        return succeeded(await perform(operation, own, desk, key=key, dry_run=dry_run))
    except ConductorError as error:
        return failed(_code(error), error.message, details=_details(error))


_: Tool = run


def manifests() -> tuple[ToolManifest, ...]:
    """Return what the manifest says of every tool."""
    return tuple(_manifest(operation) for operation in OPERATIONS)


def input_schema(operation: Operation) -> dict[str, Any]:
    """Return the JSON Schema of an operation's input."""
    schema = _inlined(operation.request)
    if operation.access == "write":
        schema["properties"] = {**schema["properties"], **_CONTROLS}
    return schema


def _manifest(operation: Operation) -> ToolManifest:
    return ToolManifest(
        name=operation.tool,
        title=operation.summary.rstrip("."),
        description=operation.summary,
        entry=_ENTRY,
        permission=operation.access,
        required_scopes=_SCENARIOS if operation is APPLY_SCENARIO else (_NOTHING,),
        destructive=operation.destructive,
        idempotent=operation.idempotent or operation.access == "read",
        input_schema=input_schema(operation),
        output_schema={"type": "object"},
    )


def _inlined(kind: type[Any]) -> dict[str, Any]:
    """Return a record's schema without references, so that every client can read it."""
    (schema, *_rest), components = msgspec.json.schema_components(
        [kind, Patch], ref_template="{name}"
    )
    return cast("dict[str, Any]", _resolved(schema, components, top=True))


def _resolved(value: Any, components: Mapping[str, Any], *, top: bool = False) -> Any:
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if "$ref" in fields:
            return _resolved(components[fields["$ref"]], components, top=top)
        dropped = {"title"} if fields.get("type") == "object" else set[str]()
        return {
            name: _resolved(inner, components) for name, inner in fields.items()
            if name not in dropped
        }  # fmt: skip
    if isinstance(value, list):
        return [_resolved(inner, components) for inner in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON is honest Any
    return value


def _code(error: ConductorError) -> str:
    match error.exit_code:
        case Exit.USAGE:
            return "INVALID_INPUT"
        case Exit.NOT_FOUND:
            return "NOT_FOUND"
        case _:
            return error.code


def _details(error: ConductorError) -> dict[str, Any]:
    return {"code": error.code, "hint": error.hint, **error.data}
