"""The pack's tools, as the tool host takes them.

Promise: a read tool runs only flows that change nothing; what leaves the machine stands in the
scopes. Refusal: what a flow may touch is bound in the configuration, and no call widens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from conductor_sdk.manifest_tools import NetworkScope, ToolManifest

WAIT_MAX_S: Final = 600
_ENTRY: Final = "conductor_packs.flows.tools:"
_NAME: Final[Mapping[str, Any]] = {
    "type": "string", "minLength": 1, "maxLength": 64, "description": "The flow's name.",
}  # fmt: skip
_RUN_ID: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 64}
_TOKEN: Final[Mapping[str, Any]] = {
    "type": "string", "minLength": 1, "maxLength": 512,
    "description": "From flows:run_halted.",
}  # fmt: skip
_WAIT_S: Final[Mapping[str, Any]] = {
    "type": "number", "minimum": 0, "maximum": WAIT_MAX_S, "default": 20,
    "description": "How long to wait for its end; the run goes on after that.",
}  # fmt: skip
CHOICES: Final[Mapping[str, Any]] = {
    "idempotency_key": {
        "type": "string", "minLength": 1, "maxLength": 255,
        "description": "The same request with the same key is one run.",
    },
    "deadline_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400},
    "wait_s": _WAIT_S,
}  # fmt: skip
"""What can be chosen for a run, whatever its flow takes."""
_RUN: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "flow": _NAME,
        "payload": {"description": "JSON for the trigger; see flows:describe."},
        "entrypoint": {
            "type": "string", "minLength": 1, "maxLength": 256,
            "description": "The alias of a trigger; by default the only entrypoint.",
        },
        **CHOICES,
    },
    "required": ["flow"],
    "additionalProperties": False,
}  # fmt: skip
RUN_ANSWER: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "run_id": {"type": "string"},
        "flow": {"type": "string"},
        "state": {"enum": ["queued", "running", "halted", "completed", "failed"]},
    },
    "required": ["run_id", "flow", "state"],
}
"""The least of what a tool says that runs a flow."""
_OBJECT: Final[Mapping[str, Any]] = {"type": "object"}


def _input(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(required),
        "additionalProperties": False,
    }  # fmt: skip


def manifests(config: Mapping[str, Any]) -> tuple[ToolManifest, ...]:
    """Return the tools for a configuration."""
    outside = reach(config)
    inside = NetworkScope(type="network", posture="off")
    return (
        ToolManifest(
            name="flows:run", title="Run a flow", entry=f"{_ENTRY}run", permission="write",
            description="Runs a configured flow, and answers with its result if it ends in time.",
            required_scopes=[outside], deadline_s=WAIT_MAX_S + 30,
            input_schema=_RUN, output_schema=RUN_ANSWER,
        ),
        ToolManifest(
            name="flows:ask", title="Run a flow that changes nothing", entry=f"{_ENTRY}ask",
            description="As flows:run, for flows whose nodes are all pure or read only.",
            required_scopes=[outside], deadline_s=WAIT_MAX_S + 30, idempotent=True,
            input_schema=_RUN, output_schema=RUN_ANSWER,
        ),
        ToolManifest(
            name="flows:status", title="List the flows", entry=f"{_ENTRY}status",
            description="Every configured flow: whether it can be loaded, and its runs by state.",
            required_scopes=[inside], idempotent=True, input_schema=_input(),
            output_schema=_OBJECT,
        ),
        ToolManifest(
            name="flows:describe", title="Describe a flow", entry=f"{_ENTRY}describe",
            description="What a flow takes, gives, touches and needs.",
            required_scopes=[inside], idempotent=True,
            input_schema=_input(["flow"], flow=_NAME), output_schema=_OBJECT,
        ),
        *_about_runs(inside, outside),
    )  # fmt: skip


def _about_runs(inside: NetworkScope, outside: NetworkScope) -> tuple[ToolManifest, ...]:
    return (
        ToolManifest(
            name="flows:runs", title="List runs", entry=f"{_ENTRY}runs",
            description="The newest runs first.", required_scopes=[inside], idempotent=True,
            input_schema=_input(
                flow=_NAME,
                state={"enum": ["queued", "running", "halted", "completed", "failed"]},
                limit={"type": "integer", "minimum": 1, "maximum": 200, "default": 20},
            ),
            output_schema=_OBJECT,
        ),
        ToolManifest(
            name="flows:show", title="Show a run", entry=f"{_ENTRY}show",
            description="A run with its answer or its error, where it waits, and its nodes' times.",
            required_scopes=[inside], idempotent=True,
            input_schema=_input(["run_id"], run_id=_RUN_ID), output_schema=RUN_ANSWER,
        ),
        ToolManifest(
            name="flows:signal", title="Answer a run that waits", entry=f"{_ENTRY}signal",
            description="Gives a run that halted what it waits for; the token says which.",
            permission="write", required_scopes=[inside],
            input_schema=_input(["token"], token=_TOKEN, payload={}),
            output_schema=RUN_ANSWER,
        ),
        ToolManifest(
            name="flows:retry", title="Try a run again", entry=f"{_ENTRY}retry",
            description="Lets a run that failed go on from its checkpoint, under the same id.",
            permission="write", required_scopes=[outside], deadline_s=WAIT_MAX_S + 30,
            input_schema=_input(["run_id"], run_id=_RUN_ID, wait_s=_WAIT_S),
            output_schema=RUN_ANSWER,
        ),
    )  # fmt: skip


def reach(config: Mapping[str, Any]) -> NetworkScope:
    """Flows reach the network where the configuration binds it, or binds by a lock."""
    bound: object = config.get("bind", ())
    texts = [str(each) for each in bound] if isinstance(bound, list | tuple) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON is honest Any
    reaches = config.get("lock") is not None or any("http" in text for text in texts)
    return NetworkScope(type="network", posture="full" if reaches else "off")
