"""How a request's fields are spelled on the command line.

Promise: every field of every request has an option of the same name, with its type and one line of
help. Refusal: a value is only read here; whether it is right, the request itself says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import click
import msgspec
from msgspec import inspect

from conductor_packs.plan.errors import PlanInputInvalid
from conductor_packs.plan.operations import ApplyScenario, Operation
from conductor_packs.plan.requests import Patch, Request

HELP: Final[Mapping[str, str]] = {
    "plan_id": "The plan.",
    "item_id": "The item.",
    "link_id": "The link; a new one gets an id by itself.",
    "title": "What it is about.",
    "owner_agent": "Who answers for the plan.",
    "status": "ACTIVE or ARCHIVED.",
    "kind": "For example TASK, CHECK or NOTE.",
    "state": "Where it begins.",
    "priority": "The lower, the sooner.",
    "assigned_to": "Who alone may claim it.",
    "due_ts": "When it is due: ISO 8601 with a time zone.",
    "estimate": "Minutes of work.",
    "expected_version": "The version that was read.",
    "to_state": "Where it goes.",
    "token": "The token of the claim.",
    "payload": "What is asked for: a JSON object.",
    "result": "What execution gave: a JSON object.",
    "error": "Why execution failed.",
    "from_item_id": "The item that waits, or is the part.",
    "to_item_id": "The item that is waited for, or is the whole.",
    "link_type": "What the link means.",
    "ttl_s": "Seconds that the lease lasts without a heartbeat.",
    "paths": "A path that nobody else may reserve; may be repeated.",
    "actor": "Only what this agent may claim.",
    "limit": "How many at most.",
    "order": "A JSON object with at least wo_id and title.",
    "source": "Where it came from.",
    "target": "Who takes it.",
    "wo_id": "The work order.",
}
_OPTION: Final = {"paths": "--path", "actor": "--for"}


def field_options(operation: Operation) -> list[click.Parameter]:
    """Return the options, or the argument, that an operation takes for itself."""
    if operation.request is ApplyScenario:
        return [click.Argument(["path"])]
    found: list[click.Parameter] = []
    for field in _fields(operation.request):
        if field.name == "patch":
            found += [_option(inner, required=False) for inner in _fields(Patch)]
            found.append(_clear())
        else:
            found.append(_option(field, required=field.required))
    return found


def request_fields(operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a command's parameters into the fields of a request.

    Raises:
        PlanInputInvalid: A JSON object is none.
    """
    names = {field.name for field in _fields(operation.request)}
    fields = {name: _read(name, value) for name, value in given.items() if name in names
              and value is not None and value != ()}  # fmt: skip
    if "patch" in names:
        inner = {field.name for field in _fields(Patch)}
        patch = {
            name: value for name, value in given.items() if name in inner and value is not None
        }
        fields["patch"] = patch | dict.fromkeys(given["clear"])
    return fields


def _read(name: str, value: Any) -> Any:
    if name in {"payload", "result", "order"}:
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise PlanInputInvalid(f"--{name} is no JSON: {error}") from None
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # click gives strings


def _fields(kind: type[Request]) -> tuple[inspect.Field, ...]:
    described = cast("inspect.StructType", inspect.type_info(kind))
    return described.fields


def _option(field: inspect.Field, *, required: bool) -> click.Option:
    choices, number, many = _kinds(field.type)
    shape: click.ParamType[Any] = click.INT if number else click.STRING
    if choices:
        shape = click.Choice(sorted(choices), case_sensitive=False)
    flag = _OPTION.get(field.name, f"--{field.name.replace('_', '-')}")
    return click.Option(
        [flag, field.name], type=shape, required=required, multiple=many,
        metavar=None if choices else "N" if number else "TEXT",
        help=HELP.get(field.name, ""),
    )  # fmt: skip


def _kinds(kind: inspect.Type) -> tuple[list[str], bool, bool]:
    """Return (words to choose from, whether it is a number, whether it may be repeated)."""
    parts = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    bare = [part.type if isinstance(part, inspect.Metadata) else part for part in parts]
    choices = [
        str(value) for part in bare if isinstance(part, inspect.LiteralType)
        for value in part.values
    ]  # fmt: skip
    number = any(isinstance(part, inspect.IntType) for part in bare)
    return choices, number, any(isinstance(part, inspect.ListType) for part in bare)


def _clear() -> click.Option:
    return click.Option(
        ["--clear", "clear"], multiple=True,
        type=click.Choice(["assigned_to", "due_ts", "estimate"]),
        help="Empty this field; may be repeated.",
    )  # fmt: skip
