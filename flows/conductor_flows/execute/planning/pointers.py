"""JSON Pointers (RFC 6901) into values.

Promise: resolves or says that it does not; a pointer is parsed once. Refusal: no wildcard, no
write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conductor_flows.ir.json_values import as_array, as_object

Getter = Callable[[Any], Any]


class Missing(Exception):
    """The pointer leads nowhere."""


def getter(pointer: str) -> Getter:
    """Return a function that follows the pointer through JSON values.

    Raises:
        ValueError: It is no pointer: neither empty nor beginning with a slash.
    """
    if pointer and not pointer.startswith("/"):
        raise ValueError(pointer)
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])

    def get(value: Any) -> Any:
        for step in steps:
            value = _enter(value, step)
        return value

    return get


def _enter(value: Any, step: str) -> Any:
    found = as_object(value)
    if found is not None:
        if step in found:
            return found[step]
        raise Missing(step)
    items = as_array(value)
    if items is not None and step.isascii() and step.isdigit() and int(step) < len(items):
        return items[int(step)]
    raise Missing(step)
