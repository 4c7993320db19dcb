"""Walks through the steps over HTTP and keeps what came back.

Promise: every step has a result, and a surprise in an answer is a failed step, not an exception.
Refusal: no sidecar is started or ended here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from conductor_packs.sidekick.smoke.steps import STEPS, Answer, Known, NotLearned, Step
from conductor_sdk.client_wire import SocketConnection, exchange
from conductor_sdk.clock import Clock
from conductor_sdk.errors import ConductorError
from conductor_sdk.workspace import Workspace

TIMEOUT_S = 30.0
_SHOWN = 300


class StepResult(msgspec.Struct, frozen=True):
    """What became of one step."""

    name: str
    tool: str
    result: Literal["pass", "fail", "skip"]
    expected: str
    status: int | None = None
    duration_ms: int = 0
    detail: str = ""
    """Of a failure: what came back, shortened."""


def walk(
    workspace: Workspace, mark: str, clock: Clock, steps: Sequence[Step] = STEPS
) -> list[StepResult]:
    """Walk; blocks.

    Args:
        workspace: Whose running sidecar.
        mark: Stands in everything that is made.
        clock: For durations.
        steps: In this order.
    """
    known = Known(mark=mark)
    return [_one(workspace, step, known, clock) for step in steps]


def _one(workspace: Workspace, step: Step, known: Known, clock: Clock) -> StepResult:
    try:
        return _called(workspace, step, step.given(known), known, clock)
    except NotLearned as missing:
        detail = f"an earlier step gave no {missing.args[0]}"
        return StepResult(step.name, step.tool, "skip", step.expected, detail=detail)
    except (ConductorError, ValueError) as error:
        return StepResult(step.name, step.tool, "fail", step.expected, detail=str(error)[:_SHOWN])


def _called(
    workspace: Workspace, step: Step, given: dict[str, Any], known: Known, clock: Clock
) -> StepResult:
    began = clock.monotonic()
    status, answer = _post(workspace, step, given)
    took = round((clock.monotonic() - began) * 1000)
    fits = _fits(step, answer, known) and status == step.status
    detail = "" if fits else json.dumps(answer)[:_SHOWN]
    return StepResult(
        step.name, step.tool, "pass" if fits else "fail", step.expected, status, took, detail
    )


def _fits(step: Step, answer: Answer, known: Known) -> bool:
    seen: Any = answer.get("data", {}) if answer.get("success") else answer
    try:
        fits = step.check(seen, known)
        known.update(step.learn(seen))
    except NotLearned:
        raise
    except (KeyError, TypeError, IndexError):
        return False
    return fits


def _post(workspace: Workspace, step: Step, given: dict[str, Any]) -> tuple[int, Answer]:
    body = json.dumps({"input": given, "context": {"session_id": "sidekick-smoke"}}).encode()
    name = quote(step.tool, safe="" if step.encoded else ":")
    connection = SocketConnection(workspace, TIMEOUT_S)
    answer = exchange(connection, "POST", f"/tools/{name}", body)
    return answer.status, msgspec.json.decode(answer.body, type=dict[str, Any])
