"""A dead letter as JSON, for the control socket and the commands alike.

Promise: the event stands in it as it was received. Refusal: nothing is left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from conductor_sdk.records import DeadLetter


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter with its event as JSON instead of bytes."""
    fields: dict[str, Any] = {
        name: getattr(letter, name) for name in letter.__struct_fields__ if name != "body"
    }
    return {**fields, "event": msgspec.Raw(letter.body)}
