"""A dead letter as JSON, for the control socket and the commands alike.

Promise: the event stands in it as it was received. Refusal: nothing is left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from conductor_sdk.records import DeadLetter
from conductor_sdk.trace_context import trace_id_of, traceparent_in


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter with the id of its trace, and its event as JSON instead of bytes."""
    fields: dict[str, Any] = {
        name: getattr(letter, name) for name in letter.__struct_fields__ if name != "body"
    }
    trace_id = trace_id_of(letter.event_id, traceparent_in(letter.body))
    return {**fields, "trace_id": trace_id, "event": msgspec.Raw(letter.body)}
