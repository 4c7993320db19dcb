"""What of a flow's answer fits into an event.

Promise: what passes here passes the link with the limits that it has by default. Refusal: nothing
is cut off: half an answer is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from conductor_packs.flows.errors import ResultTooLarge

KEYS_MAX: Final = 1900
"""Of objects, all levels together; the event's own come to that."""
DEPTH_MAX: Final = 24


def encoded(value: Any, max_bytes: int) -> bytes:
    """Return a value as JSON.

    Raises:
        ResultTooLarge: It is over a limit, or cannot be JSON.
    """
    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultTooLarge(f"it has no JSON form: {type(error).__name__}") from None
    if len(text) > max_bytes:
        raise ResultTooLarge(f"{len(text)} bytes, the limit is {max_bytes}")
    keys, level = 0, _holding([value])
    for _ in range(DEPTH_MAX):
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, Mapping):
                keys += len(cast("Mapping[str, Any]", each))
                deeper += cast("Mapping[str, Any]", each).values()
            else:
                deeper += cast("Sequence[Any]", each)
        level = _holding(deeper)
        if keys > KEYS_MAX:
            raise ResultTooLarge(f"more than {KEYS_MAX} keys")
        if not level:
            return text
    raise ResultTooLarge(f"more than {DEPTH_MAX} levels deep")


def _holding(values: Sequence[Any]) -> list[Any]:
    """Return those that hold others."""
    return [each for each in values if isinstance(each, Mapping | list | tuple)]
