"""Options that many commands share, so that they are spelled and explained once.

Promise: the same words and defaults everywhere. Refusal: nothing is resolved or opened here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def workspace_option(function: F) -> F:
    """Add `--workspace`; the parameter is a Path."""
    return click.option(
        "--workspace", "-w",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(), envvar="CONDUCTOR_WORKSPACE", metavar="DIR",
        help="The workspace; default: the current directory.",
    )(function)  # fmt: skip


def json_option(function: F) -> F:
    """Add `--json`; the parameter is `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(
        function
    )


def config_option(function: F) -> F:
    """Add `--config`; the parameter is `config_file`."""
    return click.option(
        "--config", "config_file",
        type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Settings file; default: conductor.toml in the workspace.",
    )(function)  # fmt: skip


def set_option(function: F) -> F:
    """Add `--set NAME=VALUE`; the parameter is `assignments`."""
    return click.option(
        "--set", "assignments", multiple=True, metavar="NAME=VALUE",
        help="Set one setting, for example dispatch.deadline_s=5.",
    )(function)  # fmt: skip


def traceparent_option(function: F) -> F:
    """Add `--traceparent`; the parameter is `traceparent`, checked."""
    return click.option(
        "--traceparent", callback=_traceparent, metavar="W3C",
        help="The trace that the event belongs to: 00-<trace id>-<span id>-01.",
    )(function)  # fmt: skip


def _traceparent(_: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    from conductor_sdk.trace_context import parse_traceparent

    if text is not None and parse_traceparent(text) is None:
        raise click.BadParameter(f"{text!r} is not 00-<32 hex digits>-<16 hex digits>-<flags>")
    return text


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Turn `NAME=VALUE` words into dotted names and values.

    Raises:
        click.BadParameter: A word has no `=`.
    """
    from conductor_sidecar.config import parse_value

    flags: dict[str, Any] = {}
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals:
            raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--set")
        flags[name.strip()] = parse_value(text)
    return flags
