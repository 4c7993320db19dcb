"""What a call is answered whose process died while it ran.

Promise: the same answer from every store. Refusal: the call is not run again: its effect may have
happened.
"""

from __future__ import annotations

import msgspec

from conductor_sdk.tool_output import failed

INTERRUPTED = msgspec.json.encode(
    failed(
        "CALL_INTERRUPTED",
        "The process ended while this call ran, so whether it had its effect is not known. "
        "Look first; then call again with another key.",
    )
)
"""A `ToolOutput` as JSON."""
