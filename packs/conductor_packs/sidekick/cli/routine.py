"""`conductor sidekick routine …`.

Promise: each command is one tool call; `run` shows a plan and calls nothing. Refusal: no schedule
is computed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from conductor_packs.sidekick.cli.calling import Given, calls
from conductor_packs.sidekick.cli.show import print_record, print_rows, shown

_steps = click.option(
    "--step", "steps", multiple=True, metavar="TOOL[=JSON]",
    help='A tool and its input, in order: task:list or task:create={"title": "x"}.',
)  # fmt: skip


@click.group()
def routine() -> None:
    """Keep lists of tool calls."""


def _one(data: Mapping[str, Any]) -> None:
    record = dict(data["routine"])
    steps = record.pop("steps", [])
    print_record(record, first=("id", "name", "cron", "enabled"))
    _print_steps(steps)
    for warning in data.get("warnings", ()):
        click.echo(shown(f"warning: {warning}"), err=True)


def _print_steps(steps: Sequence[Mapping[str, Any]]) -> None:
    for index, step in enumerate(steps):
        click.echo(shown(f"  {index}  {step['tool']}  {json.dumps(step['input'])}"))


def _many(data: Mapping[str, Any]) -> None:
    print_rows(
        ["id", "on", "steps", "cron", "name"],
        [
            (item["id"], item["enabled"], len(item["steps"]), item.get("cron"), item["name"])
            for item in data["items"]
        ],
        nothing="no routines",
    )


def _plan(data: Mapping[str, Any]) -> None:
    click.echo(shown(f"{data['routine_id']}  {data['name']}: planned, nothing was called"))
    _print_steps(data["plan"])


def _gone(data: Mapping[str, Any]) -> None:
    click.echo(f"deleted: {data['deleted_id']}")


def read_steps(words: Sequence[str]) -> list[dict[str, Any]]:
    """Read `TOOL` and `TOOL=JSON`.

    Raises:
        click.BadParameter: The JSON is no object.
    """
    return [_step(word) for word in words]


def _step(word: str) -> dict[str, Any]:
    tool, separator, text = word.partition("=")
    if not separator:
        return {"tool": tool}
    try:
        given: object = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{tool}: {error}", param_hint="--step") from None
    if not isinstance(given, dict):
        raise click.BadParameter(f"{tool}: not a JSON object", param_hint="--step")
    return {"tool": tool, "input": given}


@routine.command()
@click.argument("name")
@_steps
@click.option("--cron", metavar="EXPR", help="When it is due: five fields, in UTC.")
@click.option("--disabled", is_flag=True, help="Keep it, but never run it.")
@calls("routine:create", _one, changes=True)
def create(name: str, steps: tuple[str, ...], cron: str | None, disabled: bool) -> Given:
    """Keep a routine called NAME."""
    enabled = False if disabled else None
    return {"name": name, "steps": read_steps(steps), "cron": cron, "enabled": enabled}


@routine.command("list")
@click.option("--enabled-only", is_flag=True, default=None, help="Only what may run.")
@click.option("--limit", type=int, metavar="N", help="At most so many.")
@calls("routine:list", _many)
def list_(**given: Any) -> Given:
    """List routines."""
    return given


@routine.command()
@click.argument("routine_id", metavar="ID")
@calls("routine:run", _plan)
def run(routine_id: str) -> Given:
    """Show the calls that a routine plans; nothing is called."""
    return {"id": routine_id}


@routine.command()
@click.argument("routine_id", metavar="ID")
@click.option("--name", metavar="TEXT")
@_steps
@click.option("--cron", metavar="EXPR", help="When it is due: five fields, in UTC.")
@click.option("--enable/--disable", "enabled", default=None, help="Disabled, it never runs.")
@calls("routine:update", _one, changes=True)
def update(routine_id: str, steps: tuple[str, ...], **given: Any) -> Given:
    """Change the named fields of a routine; --disable stops it."""
    return {"id": routine_id, "steps": read_steps(steps), **given}


@routine.command()
@click.argument("routine_id", metavar="ID")
@calls("routine:delete", _gone, changes=True)
def delete(routine_id: str) -> Given:
    """Remove a routine; needs an approval."""
    return {"id": routine_id}
