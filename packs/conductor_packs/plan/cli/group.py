"""`conductor plan`: shared plans on the command line.

Promise: each operation of the pack is one command with the same words. Refusal: nothing is decided
here; a command reads its options, does its operation and prints the answer.
"""

from __future__ import annotations

from typing import Any

import click

from conductor_packs.plan.cli.frame import (
    PlanGroup,
    file_of,
    place_options,
    root_of,
    show,
    take_place,
    with_desk,
)
from conductor_packs.plan.cli.health import health_command
from conductor_packs.plan.cli.pictures import picture_commands
from conductor_packs.plan.cli.truth import truth
from conductor_packs.plan.cli.words import field_options, request_fields
from conductor_packs.plan.operations import OPERATIONS, Desk, Operation, perform
from conductor_packs.plan.questions import Answer

_HELP = """Share plans with other agents: items, links, claims.

Answers are JSON on standard output; a refusal is a JSON object on standard error.
"""
_CODES = (
    "Exit codes: 0 ok, 1 conflict or refused, 2 wrong request, 3 not found, 4 the tables are not "
    "what the journal says, 5 a scenario's conflict did not happen, 6 someone else holds it."
)


def _run(operation: Operation, given: dict[str, Any]) -> None:
    ctx = click.get_current_context()
    place = take_place(ctx, given)
    key, dry_run = given.pop("idempotency_key", None), given.pop("dry_run", False)
    fields = request_fields(operation, given)

    async def work(desk: Desk) -> Answer:
        return await perform(operation, fields, desk, key=key, dry_run=dry_run)

    show(with_desk(ctx, place, work, create=operation.access == "write"))


def _command(operation: Operation) -> click.Command:
    def callback(**given: Any) -> None:
        _run(operation, given)

    parameters = [*field_options(operation), *place_options()]
    if operation.access == "write":
        parameters += [
            click.Option(["--idempotency-key"], metavar="KEY", help="Do it once for this key."),
            click.Option(["--dry-run"], is_flag=True, help="Say what would be done; do nothing."),
        ]
    return click.Command(
        operation.command, params=parameters, callback=callback, help=operation.summary
    )


def _init_db(**given: Any) -> None:
    """Make the tables."""
    ctx = click.get_current_context()
    place = take_place(ctx, given)

    async def work(desk: Desk) -> Answer:
        await desk.plans.create_tables()
        return {"initialized": True}

    answer = with_desk(ctx, place, work, create=True)
    show({"db_path": str(file_of(root_of(ctx, place), place)), **answer})


def _nothing(**_given: Any) -> None:
    """Do nothing: the commands look at the group's options themselves."""


plan = PlanGroup(
    "plan",
    params=place_options()[:3],
    help=_HELP,
    epilog=_CODES,
    callback=_nothing,
    commands=[
        click.Command(
            "init-db", params=place_options(), callback=_init_db,
            help="Make the tables beside the journal; what is there already stays as it is.",
        ),
        *map(_command, OPERATIONS),
        *picture_commands(),
        health_command(),
        truth,
    ],
)  # fmt: skip
