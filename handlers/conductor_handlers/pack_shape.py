"""Whether a Pack holds what its fields say: Python does not check, and packs are foreign code.

Promise: what passes here can be bound and run without a surprise of type. Refusal: nothing of the
pack is called, and whether it may be loaded is `pack_rules`' question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_origin

from conductor_sdk.handler import Subscription
from conductor_sdk.manifest import PackManifest
from conductor_sdk.pack import Pack
from conductor_sdk.pack_errors import PackNotAPack

DEADLINE_MAX_S = 86_400.0


def check_shape(pack: Pack, name: str) -> None:
    """Refuse a Pack with a field of the wrong type.

    Raises:
        PackNotAPack: Naming the first such field.
    """
    for field, wanted in _wrong(pack):
        raise PackNotAPack(f"{name}: {field}", value=name, hint=f"give {wanted}")


def _wrong(pack: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(pack.manifest, PackManifest):
        yield (
            f"manifest is of type {_kind(pack.manifest)}",
            "a PackManifest: PackManifest.from_yaml(…)",
        )
    if not callable(pack.context):
        yield f"context is of type {_kind(pack.context)}", "a function of the context, or none"
    if pack.background is not None and not callable(pack.background):
        yield f"background is of type {_kind(pack.background)}", "an async function of the context"
    if pack.toolset is not None and not callable(pack.toolset):
        yield (
            f"toolset is of type {_kind(pack.toolset)}",
            "a function of the configuration, or none",
        )
    if pack.tools_in is not None and not callable(pack.tools_in):
        yield (
            f"tools_in is of type {_kind(pack.tools_in)}",
            "a function of the configuration and the workspace, or none",
        )
    if not _is_texts(pack.provides):
        yield f"provides is {pack.provides!r}", "surfaces as a list of strings"
    if not isinstance(pack.handlers, Mapping):
        yield f"handlers is of type {_kind(pack.handlers)}", "a mapping: {kind: handler}"
    else:
        yield from _handlers(pack)


def _handlers(pack: Any) -> Iterator[tuple[str, str]]:
    for kind, handler in pack.handlers.items():
        if not isinstance(kind, str):
            yield f"a key of handlers is of type {_kind(kind)}", "the kind as a string"
        elif isinstance(handler, Subscription):
            yield from _subscription(kind, handler)
        elif not callable(handler):
            yield f"the handler of {kind} is of type {_kind(handler)}", "an async function"


def _subscription(kind: str, choices: Any) -> Iterator[tuple[str, str]]:
    if not callable(choices.handler):
        yield f"the handler of {kind} is of type {_kind(choices.handler)}", "an async function"
    if choices.partition_key is not None and not callable(choices.partition_key):
        yield f"partition_key of {kind} is no function", "a function of the event"
    if choices.payload is not None and not _is_type(choices.payload):
        yield f"payload of {kind} is no type", "a pydantic model, dataclass or msgspec struct"
    deadline_s, attempts = choices.deadline_s, choices.max_attempts
    if deadline_s is not None and not (
        isinstance(deadline_s, (int, float)) and 0 < deadline_s <= DEADLINE_MAX_S
    ):
        yield f"deadline_s of {kind} is {deadline_s!r}", "seconds, more than 0, at most a day"
    if attempts is not None and not (isinstance(attempts, int) and attempts > 0):
        yield f"max_attempts of {kind} is {attempts!r}", "a whole number from 1"


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)  # pyright: ignore[reportUnknownVariableType]  # foreign code holds anything


def _is_type(value: object) -> bool:
    return isinstance(value, type) or get_origin(value) is not None


def _kind(value: object) -> str:
    return type(value).__name__
