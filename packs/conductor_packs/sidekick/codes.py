"""The codes that Sidekick's tools answer with, beside those of its storage and of the tool host.

Promise: they are stable, and each stands here once with what it means. Refusal: no message is here;
the tool that answers knows what happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

INVALID_INPUT: Final = "INVALID_INPUT"
NOT_FOUND: Final = "NOT_FOUND"
CONFLICT: Final = "CONFLICT"
UNKNOWN_TOOL: Final = "UNKNOWN_TOOL"
WORKSPACE_CONTEXT_REQUIRED: Final = "WORKSPACE_CONTEXT_REQUIRED"
PROVIDER_NOT_REGISTERED: Final = "INTEGRATION_PROVIDER_NOT_REGISTERED"
PROVIDER_SEND_FAILED: Final = "INTEGRATION_PROVIDER_SEND_FAILED"
PROVIDER_RECEIVE_FAILED: Final = "INTEGRATION_PROVIDER_RECEIVE_FAILED"

CODES: Final[Mapping[str, str]] = {
    INVALID_INPUT: "The input is not what the tool takes; `details.problems` has each place as a "
    "JSON pointer, with a message.",
    NOT_FOUND: "There is no record of that id or name; in a dry run too.",
    CONFLICT: "The task is canceled, or is done and so cannot be canceled.",
    UNKNOWN_TOOL: "The pack has no such tool; only where it is embedded without a tool host.",
    WORKSPACE_CONTEXT_REQUIRED: "A provider was named, and the workspace is not enrolled.",
    PROVIDER_NOT_REGISTERED: "There is no transport for that provider.",
    PROVIDER_SEND_FAILED: "The provider did not take the message; `data` has what it said, and "
    "`delivery_state` whether the outbox tries again.",
    PROVIDER_RECEIVE_FAILED: "The provider did not answer; `data` has what it said.",
}
"""What each code means."""
