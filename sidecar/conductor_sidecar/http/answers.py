"""Answers of the tool surface: one envelope, and the table from codes to statuses.

Promise: every answer to a request about tools is `{success, error: {code, message, details?}}` or a
success, whoever gives it. Refusal: nothing of a request's headers is repeated in an answer.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from conductor_sdk.tool_output import ToolOutput, failed
from conductor_sidecar.http.errors import Refusal

DENIAL = "conductor.denial"
"""Where in an ASGI scope the code of a refused request stands, for the journal."""
TRACED = "conductor.traced"
"""Set in an ASGI scope when the tool host has itself written down what became of the call."""
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
STATUS: Mapping[str, int] = {
    "TOOL_NOT_FOUND": 404, "NOT_FOUND": 404,
    "TOOL_NOT_ALLOWLISTED": 403, "POLICY_DENIED": 403, "SCOPE_DENIED": 403,
    "APPROVAL_REQUIRED": 403, "APPROVAL_DENIED": 403,
    "INVALID_INPUT": 400,
    "CALL_IN_PROGRESS": 409, "IDEMPOTENCY_CONFLICT": 409,
}  # fmt: skip
"""Statuses of failed calls; a code that is not here failed inside of the tool, and is 200."""
_encode = msgspec.json.Encoder().encode


def status_of(output: ToolOutput) -> int:
    """Return the status of a call's answer."""
    if output.success or output.error is None:
        return 200
    return STATUS.get(output.error.code, 200)


def output_answer(scope: Scope, output: ToolOutput) -> Response:
    """Answer with what a call gave."""
    status = status_of(output)
    if output.error is not None and status != 200:  # noqa: PLR2004  the one that is no refusal
        scope[DENIAL] = output.error.code
        scope[TRACED] = "call_id" in (output.metadata or {})
    return json_answer(output, status)


def refusal_answer(scope: Scope, refusal: Refusal) -> Response:
    """Answer with a refusal, and leave its code for the journal."""
    scope[DENIAL] = refusal.code
    output = failed(refusal.code, refusal.message, details=refusal.details)
    return json_answer(output, refusal.status, refusal.headers)


def envelope(code: str, message: str) -> bytes:
    """Return the body of a refusal, for places that have no request."""
    return _encode(failed(code, message))


def json_answer(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON that nobody may keep or sniff."""
    return Response(
        _encode(value), status, media_type="application/json",
        headers={**HEADERS, **(headers or {})},
    )  # fmt: skip
